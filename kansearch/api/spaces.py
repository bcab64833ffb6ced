"""`load_space`: a search space from a dict, a YAML file, or the name of one that comes with kansearch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kansearch import space
from kansearch.errors import InputError

__all__ = ["Source", "as_overrides", "load_space"]

Source = space.SearchSpace | Mapping[str, Any] | str | Path


def load_space(source: Source, overrides: Mapping[str, Any] | None = None) -> space.SearchSpace:
    """Read and check a search space.

    Args:
        source: a mapping with the keys of a search-space file, a path of one, or a shipped space's name, such as
            `quickstart`. A string that ends in .yaml or .yml is a path.
        overrides: values by dotted key, such as `{"search.trials": 8, "model.width": {"int": [4, 16]}}`. They replace
            what the source says.

    Returns:
        The search space. Its `source` is the YAML text; a mapping is written out as such a text.

    Raises:
        SpaceError: everything that is wrong, a line each. The lines of a mapping's errors count in its YAML text.
        InputError: there is no such file or shipped space, or a value is of a type that YAML doesn't have.
    """
    settings = as_overrides(overrides)
    if isinstance(source, space.SearchSpace):
        return space.parse_space(source.source, source.file, [*source.overrides, *settings])
    if isinstance(source, Mapping):
        return space.parse_space(_text(source), "<dict>", settings)
    return space.load_space(source if isinstance(source, Path) else space.find_space(source), settings)


def as_overrides(overrides: Mapping[str, Any] | None) -> list[str]:
    """Write values by dotted key as `KEY=VALUE`, as the command line takes them. Raises InputError."""
    try:
        return [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"overrides: {error}; give numbers, strings, lists and dicts") from error


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice out twice, without an anchor."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(source: Mapping[str, Any]) -> str:
    try:
        return yaml.dump(dict(source), Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    except yaml.representer.RepresenterError as error:
        reason = f"cannot be written as YAML: {error.args[-1]!r} is of type {type(error.args[-1]).__name__}"
        raise InputError(f"the search space {reason}; give numbers, strings, lists and dicts") from error
    except RecursionError as error:
        raise InputError("the search space contains itself; write the value out") from error
