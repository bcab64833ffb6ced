"""What several commands share: opening a study, where to print."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from kansearch.console import (
    terminal,
)
from kansearch.errors import UnknownStudyError
from kansearch.study.study import Study

__all__ = ["check_name", "console_for", "open_study", "print_json"]

_NOTHING_SHOWN = Console(quiet=True)


def open_study(home: Path, name: str) -> Study:
    check_name(home, name)
    return Study.open(home, name)


def check_name(home: Path, name: str) -> None:
    """A study is named, not reached by a path."""
    if "/" in name:
        path = Path(name)
        elsewhere = f"`--home {shlex.quote(str(path.parent))}` names another folder of studies"
        hint = f"did you mean '{path}'?" if path.name == str(path) else elsewhere
        raise UnknownStudyError(f"no study '{name}' in {home}: a study's name has no '/'; {hint}")


def print_json(document: Any) -> None:
    """A list has one element a line, which for thousands of trials is much faster than indenting them."""
    if isinstance(document, list):
        print("[" + ",\n ".join(map(json.dumps, document)) + "]")
    else:
        print(json.dumps(document, indent=2))


def console_for(as_json: bool) -> Console:
    return _NOTHING_SHOWN if as_json else terminal()
