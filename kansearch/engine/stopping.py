"""Why a search stops before its budget is used up: a signal, or the end of its wall time. Who is told of its end."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from kansearch.errors import SearchInterrupted
from kansearch.study.study import Study

__all__ = ["Stop", "Timer", "telling_the_end"]

_NOTE_SECONDS = 10.0


class Stop:
    """Whether no more trials may start.

    Args:
        seconds_left: wall time until the end of the time budget; None: there is no such end.
    """

    def __init__(self, seconds_left: float | None) -> None:
        self.signal: int | None = None
        self._deadline = None if seconds_left is None else time.monotonic() + seconds_left

    @property
    def out_of_time(self) -> bool:
        """Whether the time budget has ended."""
        return self._deadline is not None and time.monotonic() >= self._deadline

    def __call__(self) -> bool:
        return self.signal is not None or self.out_of_time

    def check(self, again: str) -> None:
        """Raise SearchInterrupted where a signal came; `again` is the command that goes on."""
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            raise SearchInterrupted(f"stopped by {name}; go on with `{again}`", 128 + self.signal)

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of dying of them; a second one dies."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for each in before:
            signal.signal(each, note)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


class _Ended(Protocol):
    def ended(self, outcome: str) -> None: ...


@contextmanager
def telling_the_end(
    observers: Sequence[_Ended], interruption: type[BaseException] = SearchInterrupted
) -> Iterator[None]:
    """Tell the observers how the block ended: finished, interrupted (by `interruption`), or failed."""
    outcome = "failed"
    try:
        yield
        outcome = "finished"
    except interruption:
        outcome = "interrupted"
        raise
    finally:
        for observer in observers:
            observer.ended(outcome)


class Timer:
    """Counts wall time against a study's time budget; of a driver that is killed some seconds at most are lost."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._noted = time.monotonic()

    def __enter__(self) -> Timer:
        return self

    def __exit__(self, *error: object) -> None:
        self.note()

    def tick(self) -> None:
        """Note the time now and then; to be called often."""
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self.note()

    def note(self) -> None:
        """Commit the wall time since the last note."""
        now = time.monotonic()
        self._study.add_elapsed(now - self._noted)
        self._noted = now
