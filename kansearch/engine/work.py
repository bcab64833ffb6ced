"""The face between what hands out trainings and what runs them: a search or a confirmation, and Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from trials.config import TrialConfig
from trials.results import EPOCH_FIELDS

__all__ = ["Assignment", "Work", "epoch_of"]


@dataclass(frozen=True)
class Assignment:
    """A trial to run: its number, its configuration, and how many times the usual resources it gets."""

    number: int
    config: TrialConfig
    shares: int = 1


class Work(Protocol):
    """The work to run. Its numbers are its own; each is live from `ask` until its end is told."""

    @property
    def live(self) -> frozenset[int]:
        """Numbers of what runs now."""

    @property
    def overspent(self) -> str | None:
        """Why everything that runs must stop; None while it need not."""

    @property
    def exhausted(self) -> bool:
        """Whether there will be nothing more to ask for."""

    def ask(self) -> Assignment | None:
        """Return the trial to run next; None to be asked again later."""

    def rungs(self, number: int) -> list[int]:
        """Epochs after which `tell` may stop it."""

    def tell(self, number: int, results: Sequence[Mapping[str, Any]], seconds: float) -> bool:
        """Commit epochs, after `seconds` in its worker. True: stop it."""

    def grow(self, max_concurrent: int) -> None:
        """Let more run at once."""

    def fail(self, number: int, reason: str) -> None:
        """Commit a bad end."""

    def lost(self, number: int, reason: str) -> None:
        """Commit that its worker is gone."""

    def out_of_memory(self, number: int, reason: str) -> None:
        """Commit that it ran out of memory."""


def epoch_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch's measurements, out of all that Ray Tune says of it."""
    return {name: result.get(name) for name in EPOCH_FIELDS}
