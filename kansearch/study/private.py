"""Folders and files that their owner alone may read: a study holds data, paths, and URLs that may hold a password.

What is there already keeps its mode: whoever opened a folder to others meant it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["private_file", "private_folder", "write_private"]


def private_folder(folder: Path) -> None:
    """Make `folder`, and the folders above it that are missing. Raises OSError."""
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(mode=0o700, exist_ok=True)


def private_file(path: Path) -> None:
    """Make an empty file, if there is none yet and its folder is there; whoever fills it finds it."""
    if path.parent.is_dir() and not path.exists():
        path.touch(mode=0o600)


def write_private(path: Path, text: str) -> None:
    """Write a file. Raises OSError."""
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
