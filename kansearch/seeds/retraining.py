"""The settings of a retraining, and the observers that are told of its progress."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from kansearch.study.seeds import SeedRecord
from kansearch.study.stored_config import StoredConfig
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
    identity: str = ""
    """The folder's own, which stays; `kansearch.seeds.claim.claim` gives it."""

    @property
    def numbers(self) -> range:
        """The seeds."""
        return range(self.config.seed, self.config.seed + self.seeds)

    def config_of(self, seed: int) -> TrialConfig:
        """The configuration that names the seed."""
        return self.config.model_copy(update={"seed": seed})

    def folder(self, seed: int) -> Path:
        """Where a seed's model is written."""
        return self.out / f"seed-{seed}"

    def record(self, seed: int) -> SeedRecord:
        """Return what the folder knows of a seed. Raises OSError, and ValueError where a file there is damaged."""
        record = SeedRecord(0, "running", stored=StoredConfig.of(self.config_of(seed)), seed=seed)
        if not (self.folder(seed) / "metrics.json").exists():
            return record
        curve, test = (json.loads((self.folder(seed) / name).read_text()) for name in ("curve.json", "metrics.json"))
        return replace(record, state="complete", curve=curve, test=test)

    def train(self, seed: int, folder: Path, **where: Any) -> Iterator[dict[str, Any]]:
        """Train a seed in `folder` and keep it there; its results and more arguments: `train_seed`."""
        from trials.training import train_seed

        return train_seed(
            self.config_of(seed), folder, keep=True, hold_out=self.hold_out, data_dir=self.data_dir, **where
        )

    @property
    def study(self) -> str | None:
        """The study that the configuration was found by, where it says so."""
        name = self.source.get("study")
        return name if isinstance(name, str) else None


class Observer(Protocol):
    """Is told how a retraining goes."""

    def started(self, retraining: Retraining, records: Sequence[SeedRecord]) -> None:
        """It begins, or goes on: with these seeds, those that are trained already as they are."""

    def changed(self, record: SeedRecord) -> None:
        """An epoch was trained; with the last one the seed was measured, and is complete."""

    def ended(self, outcome: str) -> None:
        """The folder is complete (finished), a signal stopped it (interrupted), or something went wrong (failed)."""
