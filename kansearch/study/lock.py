"""One live driver a study: an advisory lock on `driver.lock`, which the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kansearch.errors import KansearchError, StudyBusyError

__all__ = ["driver_lock", "holder"]


@contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Hold the study in `folder` for this process.

    Raises:
        StudyBusyError: another live process holds it; the message names its pid and host.
        KansearchError: the lock can't be written.
    """
    path = folder / "driver.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyBusyError(f"study '{folder.name}' is being run by {_describe(path)}") from None
        file.truncate(0)
        try:
            os.write(file.fileno(), json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except OSError as error:
            raise KansearchError(f"cannot write {path}: {error.strerror}") from error
        yield
        file.truncate(0)


def holder(folder: Path) -> str | None:
    """Who runs the study in `folder` now, as `process PID on HOST`; None when nobody does."""
    path = folder / "driver.lock"
    if not path.exists():
        return None
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _describe(path)
    return None


def _describe(path: Path) -> str:
    text = path.read_text()
    if not text:  # between the lock and the line that names its holder
        return "another process"
    owner = json.loads(text)
    return f"process {owner['pid']} on {owner['host']}"
