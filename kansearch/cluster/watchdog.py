"""`Watchdog`: which running trials have been silent for too long. Knows no Ray; its clock is an argument."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kansearch.cluster.trainable import REPORT_SECONDS
from kansearch.space import SearchSettings

__all__ = ["Watchdog"]

_FIRST_REPORT = 12
"""Before its first report a trial may take so many times `hang_minimum`: it loads, and its epochs are not known yet."""


@dataclass
class _Watched:
    heard: float
    slowest: float | None = None


class Watchdog:
    """Expects a report of each trial within max(`hang_minimum`, `hang_factor` times its slowest epoch).

    A worker reports every `REPORT_SECONDS`, which are added.

    Args:
        settings: the limits.
        clock: seconds, monotonic.
    """

    def __init__(self, settings: SearchSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._minimum, self._factor = settings.hang_minimum, settings.hang_factor
        self._clock = clock
        self._watched: dict[int, _Watched] = {}

    def started(self, trial: int) -> None:
        """A trial is given to a worker."""
        self._watched[trial] = _Watched(self._clock())

    def heard(self, trial: int, seconds: Sequence[float]) -> None:
        """A trial reported epochs that took so long, or something else."""
        watched = self._watched.get(trial)
        if watched is None:
            return
        watched.heard = self._clock()
        if seconds:
            watched.slowest = max(*seconds, watched.slowest or 0.0)

    def ended(self, trial: int) -> None:
        """A trial is to be watched no more."""
        self._watched.pop(trial, None)

    def silent(self) -> Iterator[tuple[int, str]]:
        """Trials to be given up, each with the reason, once."""
        now = self._clock()
        for trial, watched in list(self._watched.items()):
            limit = self._limit(watched)
            if limit is not None and now - watched.heard > limit:
                self.ended(trial)
                yield trial, f"hung: no report for {now - watched.heard:.0f} s, {self._expected(watched)}"

    def _limit(self, watched: _Watched) -> float | None:
        if self._minimum is None:
            return None
        if watched.slowest is None:
            return _FIRST_REPORT * self._minimum
        return max(self._minimum, self._factor * watched.slowest) + REPORT_SECONDS

    def _expected(self, watched: _Watched) -> str:
        if watched.slowest is None:
            return "not one yet"
        return f"its slowest epoch took {watched.slowest:.1f} s"
