"""`Usage`: how much of the time that a search had its workers and GPUs it used them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Usage"]


@dataclass(frozen=True)
class Usage:
    """Seconds had and seconds used; usages add up."""

    slot_seconds: float = 0.0
    """Wall time, times the trials that might have run at once."""
    trial_seconds: float = 0.0
    """That trials spent in their epochs."""
    gpus: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Seconds watched and seconds idle of each GPU of the driver's machine; idle: no kernel ran on it."""

    def __add__(self, other: Usage) -> Usage:
        gpus = dict(self.gpus)
        for name, (watched, idle) in other.gpus.items():
            before = gpus.get(name, (0.0, 0.0))
            gpus[name] = (before[0] + watched, before[1] + idle)
        return Usage(self.slot_seconds + other.slot_seconds, self.trial_seconds + other.trial_seconds, gpus)

    @property
    def busy(self) -> float | None:
        """Share of the slots' time that trials trained in; None where none was measured."""
        return min(1.0, self.trial_seconds / self.slot_seconds) if self.slot_seconds else None

    @property
    def idle(self) -> dict[str, float]:
        """Idle share of each GPU, by its name."""
        return {name: idle / watched for name, (watched, idle) in self.gpus.items() if watched}

    @property
    def line(self) -> str | None:
        """A line for the user; None where nothing was measured."""
        if self.busy is None:
            return None
        gpus = [f"{name} idle {share:.0%}" for name, share in self.idle.items()]
        return ", ".join([f"workers training {self.busy:.0%} of the time", *gpus])

    def document(self) -> dict[str, Any]:
        """Return it as JSON, from which it can be made again."""
        gpus = {name: list(seconds) for name, seconds in self.gpus.items()}
        return {"slot_seconds": self.slot_seconds, "trial_seconds": self.trial_seconds, "gpus": gpus}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Usage:
        gpus = {name: (seconds[0], seconds[1]) for name, seconds in document.get("gpus", {}).items()}
        return cls(document.get("slot_seconds", 0.0), document.get("trial_seconds", 0.0), gpus)
