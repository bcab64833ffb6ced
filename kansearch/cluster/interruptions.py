"""Obstacles that stop a search by no trial's fault: a full disk, a database out of reach, a cluster whose nodes died.

A trial that meets one is not failed but left unfinished, for `kansearch resume`. A worker reports the obstacle as
`{"obstacle": reason}`. The driver raises `ObstacleError`, which Ray Tune wraps and `resumable` brings to light again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from kansearch.errors import ObstacleError, causes

__all__ = ["OBSTACLE", "obstacle", "resumable"]

OBSTACLE = "obstacle"
_FULL = (errno.ENOSPC, errno.EDQUOT)


def obstacle(error: BaseException, place: object) -> str | None:
    """Why `error`, raised while a trial wrote to `place`, is no fault of the trial; None where it is."""
    for each in causes(error):
        if isinstance(each, OSError) and each.errno in _FULL:
            return f"cannot write to {place}: {os.strerror(each.errno)}"
    return None


@contextmanager
def resumable(again: str) -> Iterator[None]:
    """Run a search: an obstacle, however deep in another error, comes out as one line that says how to go on.

    again: the command that does.
    """
    try:
        yield
    except Exception as error:
        found = next((each for each in causes(error) if isinstance(each, ObstacleError)), None)
        if found is None:
            raise
        raise ObstacleError(f"{found}; nothing is lost, go on with `{again}`") from error
