"""`data: {dataset: table, file: x.csv}` -> the same with its inputs, classes and number of rows, read from the file.

A configuration then says all that its network needs, wherever it is built, and a file that has changed is noticed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Node, ScalarNode
from kansearch.space.weights import plain
from trials.config import TableDataConfig
from trials.data.errors import DataError

__all__ = ["describe_tables"]

_FOUND = ("columns", "labels", "samples")
_DRAWN = ("batch_size", "augment", "pixels")


def describe_tables(root: MapNode, issues: Issues) -> tuple[MapNode, tuple[str, ...]]:
    """The nodes with what a table's file says, and the overrides by which the same is meant ever after.

    A relative path is taken from the file that names it, in a `--set` from the current folder. What is wrong with the
    table goes to `issues`. Data that say their columns are left as they are, and so is what is no table.
    """
    if isinstance(inner := root.entries["config"].node if "config" in root.entries else None, MapNode):
        changed, _ = describe_tables(inner, issues)
        return _with(root, "config", changed), ()
    data = root.entries["data"].node if "data" in root.entries else None
    if not isinstance(data, MapNode) or plain(data).get("dataset") != "table" or "columns" in data.entries:
        return root, ()
    named = data.entries["file"].node if "file" in data.entries else None
    if not isinstance(named, ScalarNode) or not isinstance(named.value, str):
        return root, ()
    start = Path() if named.mark.file.startswith("--set") else Path(named.mark.file).parent
    file = (start / named.value).resolve()
    try:
        config = TableDataConfig.model_validate({**_fields(data), "file": str(file)})
    except ValidationError:
        return root, ()  # which the checker explains, with each key's place
    try:
        found = _described(config)
    except (DataError, ValueError) as error:
        issues.add(named.mark, "data.file", str(error).replace(str(file), named.value))
        return _with(root, "data", _with(data, "file", Broken(named.mark))), ()
    overrides = []
    for key in ("file", *_FOUND):
        value = getattr(found, key)
        data = _with(data, key, _node(named, value))
        overrides.append(f"data.{key}={json.dumps(value)}")
    return _with(root, "data", data), tuple(overrides)


def _described(config: TableDataConfig) -> TableDataConfig:
    from trials.data.files import locate
    from trials.data.tables.table import described

    file = locate(config.source)
    assert file is not None
    return described(config, file).model_copy(update={"file": str(file)})


def _fields(data: MapNode) -> dict[str, Any]:
    """The plain values of the data's keys that decide what a table is; what is drawn does not."""
    values = plain(data)
    known = TableDataConfig.model_fields.keys() - set(_DRAWN)
    return {name: value for name, value in values.items() if name in known and not isinstance(value, dict)}


def _with(node: MapNode, key: str, value: Node) -> MapNode:
    mark = node.entries[key].mark if key in node.entries else value.mark
    return replace(node, entries={**node.entries, key: Entry(mark, value)})


def _node(place: ScalarNode, value: Any) -> Node:
    """A value as a node at the place of another."""
    if isinstance(value, tuple):
        return ListNode(place.mark, tuple(ScalarNode(place.mark, each) for each in value))
    return ScalarNode(place.mark, value)
