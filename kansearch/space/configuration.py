"""Reads a file with one complete configuration, as strictly as a search space: every issue with its line and column."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from kansearch.errors import SpaceError
from kansearch.space.check import Checker
from kansearch.space.files import read_text
from kansearch.space.grammar import config_grammar
from kansearch.space.nodes import Issues, MapNode, Mark, compose
from kansearch.space.presets import expand_presets
from kansearch.space.weights import pin_weights
from trials.config import TrialConfig

__all__ = ["load_config", "parse_config"]


def load_config(path: Path) -> TrialConfig:
    """The configuration under `config` in a file that `kansearch export` wrote; its `source` is left unread.

    Raises InputError if the file cannot be read, SpaceError with everything wrong in it.
    """
    return parse_config(read_text(path), str(path))


def parse_config(text: str, file: str) -> TrialConfig:
    """As `load_config`, from the file's text; `file` is its name in errors."""
    issues = Issues()
    root = compose(text, file, issues)
    if not isinstance(root, MapNode):
        if not issues.found:
            issues.add(Mark(file), "", "must be a mapping with `config`; `kansearch export` writes such a file")
        raise SpaceError(issues.found)
    root, _ = pin_weights(expand_presets(root, issues), issues)
    grammar = config_grammar()
    entries = {key: entry for key, entry in root.entries.items() if key != "source"}
    tree = Checker(issues, grammar).check(grammar, MapNode(root.mark, entries), "")
    if isinstance(tree, dict) and not issues.found:
        try:
            return TrialConfig.model_validate(tree["config"])
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                issues.add(root.mark, "config." + ".".join(map(str, detail["loc"])), detail["msg"])
    raise SpaceError(issues.found)
