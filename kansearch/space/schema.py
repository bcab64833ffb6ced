"""The JSON Schema of a search-space file, for editors: completion, descriptions, and most of what the loader checks.

Generated from the same grammar as the checks. What a schema cannot say (low <= high, duplicate keys, values that do not
go together) is left to `kansearch validate`.
"""

from __future__ import annotations

from typing import Any

from kansearch.space.grammar import Leaf, ListOf, OneOf, Record, Shape, space_grammar
from kansearch.space.presets import PRESET_KEY
from trials.presets import PRESETS

__all__ = ["json_schema"]

_PRESET = {
    "type": "object",
    "description": "a published network; what stands beside its name is put in its place",
    "properties": {PRESET_KEY: {"enum": list(PRESETS)}},
    "required": [PRESET_KEY],
}
_NUMERIC = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


def json_schema() -> dict[str, Any]:
    """JSON Schema, draft 2020-12, of a search-space file."""
    definitions: dict[str, Any] = {}
    root = _Writer(definitions).record(space_grammar())
    root["properties"]["objectives"] = {**root["properties"]["objectives"], "minProperties": 1}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "kansearch search space"}
    return {**head, **root, "$defs": dict(sorted(definitions.items()))}


class _Writer:
    """Writes shapes; records go to `definitions` once, by title."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.definitions = definitions

    def shape(self, shape: Shape) -> dict[str, Any]:
        if isinstance(shape, ListOf):
            schema = self._list(shape)
        else:
            schema = self._leaf(shape) if isinstance(shape, Leaf) else self._mapping(shape)
        return {**schema, **_notes(shape)}

    def record(
        self, record: Record, key: str | None = None, name: str | None = None, usual: bool = False
    ) -> dict[str, Any]:
        """A mapping with known keys; `key` is the one that holds `name`, if the record is one of several; the usual one
        need not be named."""
        properties = {field: self.shape(each) for field, each in record.fields.items()}
        required = list(record.required)
        if key is not None:
            properties = {key: {"const": name}, **properties}
            required = required if usual else [key, *required]
        schema = {"type": "object", "properties": properties, "additionalProperties": False}
        return {**schema, "required": required} if required else schema

    def _mapping(self, shape: Record | OneOf) -> dict[str, Any]:
        """A record, or one of several, or a choice between such."""
        plain: list[dict[str, Any]]
        if isinstance(shape, OneOf):
            short = [name for name, each in shape.members.items() if not each.required]
            plain = [{"enum": short}] if short else []
            plain += [
                self._reference(each, shape.key, name, name == shape.usual) for name, each in shape.members.items()
            ]
            plain += [_PRESET] if shape.key == "family" else []
        else:
            plain = [self._reference(shape)]
        if shape.nullable:
            plain.append({"type": "null"})
        choice = [] if shape.fixed else [_choice({"anyOf": plain} if len(plain) > 1 else plain[0])]
        options = [*plain, *choice]
        return {"anyOf": options} if len(options) > 1 else options[0]

    def _list(self, shape: ListOf) -> dict[str, Any]:
        return {"type": "array", "items": self._reference(shape.item), "uniqueItems": True}

    def _reference(
        self, record: Record, key: str | None = None, name: str | None = None, usual: bool = False
    ) -> dict[str, Any]:
        title = record.title if key is None else f"{record.title}.{name}"
        if title not in self.definitions:
            described = {"description": record.description} if record.description else {}
            self.definitions[title] = {**described, **self.record(record, key, name, usual)}
        return {"$ref": f"#/$defs/{title}"}

    def _leaf(self, leaf: Leaf) -> dict[str, Any]:
        """A plain value, or each distribution that the field's type allows."""
        plain = {key: each for key, each in leaf.adapter.json_schema().items() if key != "title"}
        if leaf.fixed:
            return plain
        options = [*plain.get("anyOf", [plain]), _choice(plain)]
        if int in leaf.kinds or float in leaf.kinds:
            options.append(_range("int", _number(plain, "integer")))
        if float in leaf.kinds:
            options.append(_range("float", _number(plain, "number")))
        return {"anyOf": options}


def _notes(shape: Shape) -> dict[str, Any]:
    described = {"description": shape.description} if shape.description else {}
    return described if shape.default is ... else {**described, "default": shape.default}


def _choice(option: dict[str, Any]) -> dict[str, Any]:
    options = {"type": "array", "items": option, "minItems": 1, "uniqueItems": True}
    return {
        "type": "object",
        "description": "one of the listed options",
        "properties": {"choice": options},
        "required": ["choice"],
        "additionalProperties": False,
    }


def _range(kind: str, end: dict[str, Any]) -> dict[str, Any]:
    step = {
        "type": end["type"],
        "exclusiveMinimum": 0,
        "description": "distance of the values from low on; not with log",
    }
    log = {"type": "boolean", "default": False, "description": "spread the draws evenly over orders of magnitude"}
    return {
        "type": "object",
        "description": "from low to high, both included",
        "properties": {kind: {"type": "array", "items": end, "minItems": 2, "maxItems": 2}, "log": log, "step": step},
        "required": [kind],
        "additionalProperties": False,
    }


def _number(plain: dict[str, Any], kind: str) -> dict[str, Any]:
    """The field's bounds, for a number of the given kind."""
    parts = [each for each in plain.get("anyOf", [plain]) if each.get("type") in ("integer", "number")]
    return {"type": kind, **{key: each for key, each in parts[0].items() if key in _NUMERIC}}
