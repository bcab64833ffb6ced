"""One live driver a study: an advisory lock on `driver.lock`, which the kernel drops when its holder dies.

Who reads a whole study for another one shares the lock with other readers, so that no driver changes it meanwhile.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kansearch.errors import KansearchError, StudyBusyError

__all__ = ["driver_lock", "holder", "reader_lock"]

_NAME = "driver.lock"


@contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Hold the study in `folder` for this process.

    Raises:
        StudyBusyError: another live process holds it; the message names its pid and host.
        KansearchError: the lock can't be written.
    """
    path = folder / _NAME
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyBusyError(_busy(folder)) from None
        file.truncate(0)
        try:
            os.write(file.fileno(), json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
        except OSError as error:
            raise KansearchError(f"cannot write {path}: {error.strerror}") from error
        yield
        file.truncate(0)


@contextmanager
def reader_lock(folder: Path) -> Iterator[None]:
    """Keep drivers from the study in `folder`, of which nothing is changed.

    Raises:
        StudyBusyError: a live process runs it; the message names its pid and host.
    """
    path = folder / _NAME
    if not path.exists():  # no driver ever was here
        yield
        return
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StudyBusyError(_busy(folder)) from None
        yield


def holder(folder: Path) -> str | None:
    """Who runs the study in `folder` now, as `process PID on HOST`; None when nobody does."""
    path = folder / _NAME
    return _describe(path) if path.exists() and not _may_be_read(path) else None


def _busy(folder: Path) -> str:
    """Why the lock can't be had."""
    path = folder / _NAME
    if _may_be_read(path):
        return f"study '{folder.name}' is being read by `kansearch merge`; try again once that is done"
    return f"study '{folder.name}' is being run by {_describe(path)}"


def _may_be_read(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def _describe(path: Path) -> str:
    text = path.read_text()
    if not text:  # between the lock and the line that names its holder
        return "another process"
    owner = json.loads(text)
    return f"process {owner['pid']} on {owner['host']}"
