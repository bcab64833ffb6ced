"""A configuration as YAML, with what each field means behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel

__all__ = ["commented_yaml"]

_COLUMN = 48


def commented_yaml(config: BaseModel, indent: int = 0) -> str:
    """Every field of a configuration, a line each: `key: value`, and as a comment its description.

    The YAML is read back to the same configuration by `kansearch.space.load_config`.
    """
    return "".join(f"{line}\n" for line in _lines(config, indent))


def _lines(config: BaseModel, indent: int) -> Iterator[str]:
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        nested = isinstance(value, BaseModel)
        line = " " * indent + f"{name}:" + ("" if nested else f" {_scalar(value)}")
        yield f"{line.ljust(_COLUMN)}  # {field.description}" if field.description else line
        if nested:
            yield from _lines(value, indent + 2)


def _scalar(value: Any) -> str:
    """A plain value, or a list of them, on one line."""
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=2**20)
    return text.removesuffix("\n").removesuffix("\n...")
