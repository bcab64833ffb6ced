"""The settings of a retraining, and the observers that are told of its progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trials.config import TrialConfig

__all__ = ["Observer", "Retraining"]


@dataclass(frozen=True)
class Retraining:
    """One `kansearch retrain`."""

    config: TrialConfig
    """Configuration to train, with its number of epochs and what it starts from."""
    out: Path
    """Folder to write into, made if missing. A run that was interrupted there goes on."""
    seeds: int = 1
    """Number of seeds, at least 1: `config.seed`, `config.seed + 1`, ..."""
    data_dir: Path | None = None
    """Where to look for the data set first."""
    hold_out: bool = False
    """Train on the training part alone and measure the validation part after each epoch; else on both."""
    processes: int = 1
    """Number of processes that train one model together, each on a device of its own."""
    address: str | None = None
    """Address of a Ray cluster to train on; None: this machine."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """Where the configuration comes from, as `kansearch export` wrote it."""
    trusted: tuple[str, ...] = ()
    """Functions that `data.function` may name."""

    @property
    def numbers(self) -> range:
        """The seeds."""
        return range(self.config.seed, self.config.seed + self.seeds)

    def folder(self, seed: int) -> Path:
        """Where a seed's model is written."""
        return self.out / f"seed-{seed}"

    @property
    def study(self) -> str | None:
        """The study that the configuration was found by, where it says so."""
        name = self.source.get("study")
        return name if isinstance(name, str) else None


class Observer(Protocol):
    """Is told what happens."""

    def started(self, retraining: Retraining, identity: str) -> None:
        """It begins, or goes on; `identity` is the same then."""

    def epoch(self, seed: int, result: Mapping[str, Any]) -> None:
        """An epoch was trained, or was found trained: the row of an `EpochResult`."""

    def trained(self, seed: int, metrics: Mapping[str, Any]) -> None:
        """A seed is trained and measured, or was found so: what its metrics.json holds."""

    def ended(self, metrics: Mapping[str, Any] | None) -> None:
        """The folder is complete, with these metrics; None: it was interrupted, or something went wrong."""
