"""Files that are written whole or not at all, and the first line of an error that has several."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["as_json", "first_line", "one_line", "replacing", "typed_line", "write_whole"]

_LONGEST = 300
"""Characters of a failure's reason."""


@contextmanager
def replacing(path: Path, *, durable: bool = False, mode: int = 0o666) -> Iterator[Path]:
    """Yield an empty file beside `path`; it replaces `path` when the block ends, and is removed where the block fails.

    A reader sees the old file or the new one. The yielded name ends as `path` does, and is this thread's own.

    Args:
        path: the file to write; its folder is there.
        durable: also survive a crash of the machine: the file and its folder are synced.
        mode: permissions of the file, less the umask.

    Raises:
        OSError: a file can't be written.
    """
    begun = path.with_name(f".{os.getpid()}.{threading.get_native_id()}.{path.name}")
    os.close(os.open(begun, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode))
    try:
        yield begun
        if durable:
            _sync(begun)
        os.replace(begun, path)
    except BaseException:
        begun.unlink(missing_ok=True)
        raise
    if durable:
        _sync(path.parent)


def write_whole(path: Path, content: str | bytes, *, durable: bool = False, mode: int = 0o666) -> None:
    """Write a file by `replacing`; text is encoded in UTF-8. Raises OSError."""
    with replacing(path, durable=durable, mode=mode) as begun:
        begun.write_bytes(content.encode() if isinstance(content, str) else content)


def as_json(document: Any) -> str:
    """Return the text of a JSON file."""
    return json.dumps(document, indent=2) + "\n"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type where it has no message."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def typed_line(error: BaseException) -> str:
    """Return `ErrorType: first line of its message`; the name of its type where it has no message."""
    name, line = type(error).__name__, first_line(error)
    return name if line == name else f"{name}: {line}"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def one_line(error: BaseException, more: str = "") -> str:
    """Return `typed_line` and `more` behind it; at most 300 characters, the first cut short."""
    text, room = typed_line(error), _LONGEST - len(more)
    return (text if len(text) <= room else text[: room - 1] + "…") + more
