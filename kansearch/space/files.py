"""Where search-space files are, and how their text is read."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import kansearch
from kansearch.errors import InputError, SpaceError, SpaceIssue

__all__ = ["MAX_BYTES", "find_space", "read_text", "shipped_spaces"]

MAX_BYTES = 2**20
_SUFFIXES = (".yaml", ".yml")


def find_space(name_or_path: str) -> Path:
    """A path if it ends in .yaml or .yml, else the shipped space of that name. InputError for an unknown name."""
    if name_or_path.endswith(_SUFFIXES):
        return Path(name_or_path)
    shipped = {name: path for name, _, path in shipped_spaces()}
    if name_or_path in shipped:
        return shipped[name_or_path]
    hint = _did_you_mean(name_or_path, shipped)
    raise InputError(
        f"no search space is named '{name_or_path[:100]}'{hint or ';'} kansearch comes with {', '.join(shipped)}, "
        "and a file of your own is given by its path, ending in .yaml or .yml"
    )


def shipped_spaces() -> list[tuple[str, str, Path]]:
    """Name, one-line description and path of each search space that comes with kansearch."""
    return [(path.stem, _description(path), path) for path in sorted(_folder().glob("*.yaml"))]


def read_text(path: Path) -> str:
    """The text of a file. Raises InputError if there is none, SpaceError with the place of a byte that is not UTF-8."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder; give a file in it")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_nearby(path)}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise InputError(f"{path}: larger than 1 MiB; a search space is a short YAML file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        reason = f"not UTF-8 text (byte 0x{data[error.start]:02X}); save the file as UTF-8"
        raise SpaceError([SpaceIssue(str(path), line, column, "", reason)]) from None


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _nearby(path: Path) -> str:
    """Name what a path that leads nowhere may have meant; empty where nothing is like it."""
    if path.stem in {name for name, _, _ in shipped_spaces()}:
        return f"; the shipped space is named without suffix: {path.stem}"
    there = [each.name for each in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    return _did_you_mean(path.name, there)


def _folder() -> Path:
    """The folder of the shipped spaces: inside an installed package, beside the package in a checkout."""
    package = Path(kansearch.__file__).parent
    inside = package / "search_spaces"
    return inside if inside.is_dir() else package.parent / "search_spaces"


def _description(path: Path) -> str:
    with path.open(encoding="utf-8") as file:
        first = file.readline().strip()
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""
