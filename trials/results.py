"""Results of a trial: one `EpochResult` an epoch, and names of its files. What trials gain by sharing a GPU, `Sharing`.

Loads no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trials.metrics import METRICS

__all__ = ["CHECKPOINT", "EPOCH_FIELDS", "FILES", "MANIFEST", "TEST", "WEIGHTS", "EpochResult", "Sharing"]

CHECKPOINT = "checkpoint.pt"
WEIGHTS, MANIFEST = "model.safetensors", "model.json"
FILES = (WEIGHTS, MANIFEST, "curve.json", "metrics.json")
"""Files of a seed that is kept, in the order in which to copy them: the last one says that the others are whole."""
TEST = "test"
"""Key of the test split's figures in the last epoch of a final training."""
EPOCH_FIELDS = ("epoch", *METRICS, "learning_rate")
"""Names in the row of an epoch, which studies and checkpoints keep."""


@dataclass(frozen=True)
class EpochResult:
    """Measurements at the end of one epoch. Each metric is an attribute too, such as `result.accuracy`."""

    epoch: int
    """Epochs trained so far, from 1."""
    learning_rate: float
    """Learning rate at the epoch's last step."""
    measured: Mapping[str, float]
    """Metrics of `trials.metrics.METRICS` by their names. Those of held-out samples are not there where none is held
    out, nor those of pixels where a sample has one class."""

    def __getattr__(self, name: str) -> Any:
        """Return a metric by its name; None where it was not measured."""
        if name not in METRICS:
            raise AttributeError(f"an EpochResult has no metric {name!r}")
        return self.measured.get(name)

    def row(self) -> dict[str, Any]:
        """Return the values of `EPOCH_FIELDS` by their names, JSON-able; None for a metric that was not measured."""
        measured = {name: self.measured.get(name) for name in METRICS}
        return {"epoch": self.epoch, **measured, "learning_rate": self.learning_rate}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> EpochResult:
        """Make the result of a row, which may be of another version: metrics that it lacks were not measured."""
        measured = {name: row[name] for name in METRICS if row.get(name) is not None}
        return cls(row["epoch"], row["learning_rate"], measured)


@dataclass(frozen=True)
class Sharing:
    """The gain of some configurations from sharing a GPU."""

    gpu: str
    """The device's name."""
    memory_mib: float
    """All of its memory, MiB."""
    trial_mib: Sequence[float]
    """Estimated peak memory of each configuration, MiB."""
    speed_ups: Mapping[int, float]
    """How much faster the timed configurations are done with so many of them at a time than one by one."""
    step_seconds: Sequence[float]
    """Seconds of a step of each timed configuration alone; empty where none could be timed, and `speed_ups` with it."""
    waiting: int
    """Configurations that wait for the host in each step, and are not timed: L-BFGS."""
