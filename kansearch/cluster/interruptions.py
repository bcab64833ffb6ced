"""Interruptions of a search by no trial's fault: a full disk, a database out of reach, a cluster whose nodes died.

A trial that meets one does not fail: it is left unfinished, for `kansearch resume`. A worker reports it as
`{"interruption": reason}`. The driver raises `InterruptionError`. Ray Tune wraps it, and `resumable` unwraps it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kansearch.errors import InterruptionError, causes

__all__ = ["INTERRUPTION", "interruption", "resumable"]

INTERRUPTION = "interruption"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def interruption(error: BaseException, place: object) -> str | None:
    """Why `error`, raised while a trial wrote to `place`, is no fault of the trial; None where it is."""
    for each in causes(error):
        if isinstance(each, OSError) and each.errno in _FULL:
            return f"cannot write to {place}: {os.strerror(each.errno)}"
    return None


@contextmanager
def resumable(again: str) -> Iterator[None]:
    """Run a search: an interruption, however deep in another error, comes out as one line that says how to go on.

    again: the command that does.
    """
    try:
        yield
    except Exception as error:
        found = next((each for each in causes(error) if isinstance(each, InterruptionError)), None)
        if found is None:
            raise
        raise InterruptionError(f"{found}; nothing is lost, go on with `{again}`") from error
