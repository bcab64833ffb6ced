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
from typing import IO

from kansearch.errors import KansearchError, StudyBusyError

__all__ = ["driver_lock", "held_file", "holder", "reader_lock"]

_NAME = "driver.lock"


@contextmanager
def driver_lock(folder: Path) -> Iterator[None]:
    """Hold the study in `folder` for this process.

    Raises:
        StudyBusyError: another live process holds it; the message names its pid and host.
        KansearchError: the lock can't be written, or the file system has no locks.
    """
    with held_file(folder / _NAME, folder.name):
        yield


@contextmanager
def held_file(path: Path, study: str) -> Iterator[None]:
    """Hold the file `path`, which is made if need be, as the driver of `study`. Raises as `driver_lock`."""
    with _opened(path) as file:
        if not _locked(file, fcntl.LOCK_EX, path):
            raise StudyBusyError(_busy(path, study))
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
        if not _locked(file, fcntl.LOCK_SH, path):
            raise StudyBusyError(_busy(path, folder.name))
        yield


def holder(folder: Path) -> str | None:
    """Who runs the study in `folder` now, as `process PID on HOST`; None when nobody does."""
    path = folder / _NAME
    return _describe(path) if path.exists() and not _may_be_read(path) else None


def _busy(path: Path, study: str) -> str:
    """Why the lock can't be had."""
    if _may_be_read(path):
        return f"study '{study}' is being read by `kansearch merge`; try again once that is done"
    return f"study '{study}' is being run by {_describe(path)}"


def _may_be_read(path: Path) -> bool:
    with path.open() as file:
        return _locked(file, fcntl.LOCK_SH, path)


def _opened(path: Path) -> IO[str]:
    try:
        return open(path, "a+", opener=lambda name, flags: os.open(name, flags, 0o600))
    except OSError as error:
        raise KansearchError(f"cannot write {path}: {error.strerror}") from error


def _locked(file: IO[str], kind: int, path: Path) -> bool:
    """Take a lock without waiting; False where somebody else has it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # such as a network file system that was mounted without
        raise KansearchError(
            f"cannot lock {path}: {error.strerror}; kansearch needs a file system with locks: keep studies on a local "
            "disk (`--home DIR`), or mount this one with locks"
        ) from error
    return True


def _describe(path: Path) -> str:
    text = path.read_text()
    if not text:  # between the lock and the line that names its holder
        return "another process"
    owner = json.loads(text)
    return f"process {owner['pid']} on {owner['host']}"
