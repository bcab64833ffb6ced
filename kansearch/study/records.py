"""`TrialRecord`: what is known of one trial, read from the study, the same for every command, table and MLflow run."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kansearch.study.stored_config import StoredConfig
from trials.config import TrialConfig

__all__ = ["BEST", "FINISHED", "Proposal", "Rungs", "State", "TrialRecord"]

State = Literal["running", "complete", "pruned", "fail", "infeasible"]
Rungs = Mapping[str, tuple[int, int, bool]]
"""Decisions of a scheduler about a trial, by epoch: the trial's rank, the trials compared, whether it went on."""

FINISHED: frozenset[State] = frozenset({"complete", "pruned", "fail"})
"""States that use up the budget of trials; an infeasible configuration trains nothing and uses none."""

BEST = ("best_accuracy", "best_epoch")
"""Figures of a trial beside its metrics: the best validation accuracy, and its epoch."""


@dataclass(frozen=True)
class Proposal:
    """A configuration that a sampler drew: from which values out of which distributions (Optuna's), and its notes.

    `sequence` is where a sampler stands afterwards that goes through a sequence, such as qmc.
    """

    config: TrialConfig
    hyperparameters: Mapping[str, Any]
    distributions: Mapping[str, Any]
    notes: Mapping[str, Any]
    sequence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialRecord:
    """One trial. `values` holds each objective after the last epoch, and is empty unless `state` is complete."""

    number: int
    state: State
    reason: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)
    stored: StoredConfig = field(default_factory=lambda: StoredConfig({}))
    curve: Sequence[Mapping[str, Any]] = ()
    rungs: Rungs = field(default_factory=dict)
    losses: Sequence[str] = ()
    """Why its workers were lost, each time that it was to go on from its checkpoint."""
    held_seconds: float | None = None
    """Device-seconds from hand-out on, over all of its workers; None where epochs alone were timed."""
    source: Mapping[str, Any] | None = None
    """Origin of a trial that was merged into this study: the `study` that trained it, and its `number` there."""

    @property
    def config(self) -> TrialConfig:
        """Its configuration. Raises UnreadableConfigError."""
        return self.stored.config

    @property
    def first_number(self) -> int:
        """Its number in the study that trained it."""
        return self.number if self.source is None else int(self.source["number"])

    @property
    def key(self) -> Hashable:
        """The key that tells it apart from the others that are kept with it."""
        return self.number

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return int(self.curve[-1]["epoch"]) if self.curve else 0

    @property
    def seconds(self) -> float:
        """Device-seconds used so far: from hand-out on where that is known, else those of its epochs."""
        return self.training_seconds if self.held_seconds is None else self.held_seconds

    @property
    def training_seconds(self) -> float:
        """Device-seconds of its epochs."""
        return float(sum(result["seconds"] for result in self.curve))

    @property
    def metrics(self) -> dict[str, float]:
        """The last epoch's measurements, device-seconds so far, and the best validation accuracy with its epoch."""
        if not self.curve:
            return {}
        metrics = {key: value for key, value in self.curve[-1].items() if key != "epoch" and value is not None}
        metrics["seconds"] = self.seconds
        measured = [result for result in self.curve if result.get("accuracy") is not None]
        if measured:
            best = max(measured, key=lambda result: float(result["accuracy"]))
            metrics |= dict(zip(BEST, (best["accuracy"], best["epoch"]), strict=True))
        return metrics

    def document(self) -> dict[str, Any]:
        """The JSON object that `trials --json` and `front --json` print; `source` is there after a merge alone."""
        document = {
            "number": self.number,
            "state": self.state,
            "reason": self.reason,
            "epochs": self.epochs,
            "values": dict(self.values),
            "metrics": self.metrics,
            "config": dict(self.stored.document),
            "seconds": self.seconds,
        }
        return document if self.source is None else {**document, "source": dict(self.source)}
