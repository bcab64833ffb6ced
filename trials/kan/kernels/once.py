"""One process compiles a kernel, and the others wait for it: all workers of a search want the same ones at once.

    with compiled_once(key, folder, version):
        launch()  # compiles, or loads what another process compiled

A file for each kernel, beside Triton's own cache, is locked meanwhile and says afterwards that there is one. Once it
does, nobody waits any more. The system releases the lock of a process that dies, and the next one compiles.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = ["compiled_once"]

_loaded: set[Hashable] = set()
"""Keys of what this process has launched."""


@contextmanager
def compiled_once(key: Hashable, folder: Callable[[], Path], version: Callable[[], str]) -> Iterator[None]:
    """Launch a kernel inside; the first time alone, unless some process has compiled it before.

    Args:
        key: which kernel, as its `repr` tells all processes alike.
        folder: where kernels are kept. Where it cannot be written or locked, nobody waits.
        version: what a kernel is compiled from and for.
    """
    if key in _loaded:
        yield
        return
    name = hashlib.sha256(f"{version()} {key!r}".encode()).hexdigest()
    file = _locked(folder() / f"kansearch-{name[:32]}.lock")
    if file is None:
        yield
    else:
        with file:  # closing it gives the lock back, whether the kernel was compiled or not
            yield
            with suppress(OSError):  # on a full disk the next process waits once more
                file.write(b"compiled")
    _loaded.add(key)


def _locked(path: Path) -> IO[bytes] | None:
    """The file, locked; None where the kernel is compiled, meanwhile or before, or where there can be no lock."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab", buffering=0)
    except OSError:  # a cache that only others write is a cache all the same
        return None
    try:
        if not _compiled(file):
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _compiled(file):
                return file
    except OSError:  # a network's file system without locks
        pass
    file.close()
    return None


def _compiled(file: IO[bytes]) -> bool:
    return os.fstat(file.fileno()).st_size > 0
