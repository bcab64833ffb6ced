"""Reads a file with one complete configuration, as strictly as a search space: every issue with its line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kansearch import __version__
from kansearch.errors import InputError, SpaceError
from kansearch.space.check import Checker
from kansearch.space.files import read_text
from kansearch.space.grammar import config_grammar
from kansearch.space.nodes import Issues, MapNode, Mark, compose
from kansearch.space.presets import expand_presets
from kansearch.space.tables import describe_tables
from kansearch.space.weights import pin_weights, plain
from trials.config import TrialConfig

__all__ = ["load_config", "load_source", "parse_config"]

_UNREAD = ("source", "retrain")  # where a configuration comes from, and how it was trained


def load_config(path: Path) -> TrialConfig:
    """The configuration under `config` in a file that `kansearch export` or `kansearch retrain` wrote.

    Raises InputError if the file cannot be read, or a newer version wrote it in a way that this one does not know;
    SpaceError with everything wrong in it.
    """
    return parse_config(read_text(path), str(path))


def load_source(path: Path) -> dict[str, Any]:
    """The mapping under `source` in such a file, as it stands there; empty where there is none.

    It says where the configuration comes from. Raises InputError if the file cannot be read, SpaceError with
    everything wrong in its YAML.
    """
    issues = Issues()
    root = compose(read_text(path), str(path), issues)
    if issues.found:
        raise SpaceError(issues.found)
    source = plain(root).get("source") if isinstance(root, MapNode) else None
    return dict(source) if isinstance(source, dict) else {}


def parse_config(text: str, file: str) -> TrialConfig:
    """Read a configuration as `load_config` does, from the file's text; `file` is its name in errors."""
    issues = Issues()
    root = compose(text, file, issues)
    if not isinstance(root, MapNode):
        if not issues.found:
            issues.add(Mark(file), "", "must be a mapping with `config`; `kansearch export` writes such a file")
        raise SpaceError(issues.found)
    root, _ = pin_weights(expand_presets(root, issues), issues)
    root, _ = describe_tables(root, issues)
    grammar = config_grammar()
    entries = {key: entry for key, entry in root.entries.items() if key not in _UNREAD}
    tree = Checker(issues, grammar).check(grammar, MapNode(root.mark, entries), "")
    if isinstance(tree, dict) and not issues.found:
        try:
            return TrialConfig.model_validate(tree["config"])
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                issues.add(root.mark, ".".join(map(str, ("config", *detail["loc"]))), detail["msg"])
    _check_version(root, file)
    _check_blocks(root, file)
    raise SpaceError(issues.found)


def _check_version(root: MapNode, file: str) -> None:
    """Raises InputError where a file that cannot be read is from a newer version."""
    source = plain(root).get("source")
    versions = source.get("versions") if isinstance(source, dict) else None
    written = versions.get("kansearch") if isinstance(versions, dict) else None
    if isinstance(written, str) and _parts(written) > _parts(__version__):
        raise InputError(f"{file}: written by kansearch {written[:40]}, this is {__version__}; upgrade to read it")


def _check_blocks(root: MapNode, file: str) -> None:
    """A file from before KANs and plain networks had the same blocks is told apart: `affine` could be null then. Raises
    InputError."""
    config = plain(root).get("config")
    model = config.get("model") if isinstance(config, dict) else None
    if isinstance(model, dict) and model.get("affine", True) is None:
        raise InputError(
            f"{file}: written by an earlier kansearch, whose networks had other blocks: model.affine is null; "
            "set it to true or false to build the network of this version"
        )


def _parts(version: str) -> list[int]:
    """1.10.2.dev3 -> [1, 10, 2]"""
    numbers: list[int] = []
    for part in version.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return numbers
