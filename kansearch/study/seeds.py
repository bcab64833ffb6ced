"""`SeedRecord`: one training of a configuration to the end; `SeedStore`: where a study keeps those of its trials.

    <study>/confirm/<trial>/seed-<n>.json       one training: its state, curve, and figures on the test split

A file is written anew whenever its training gets on: whole and on the disk before that is acknowledged, so that
whoever is killed has lost nothing that was told.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from kansearch.errors import InterruptionError, KansearchError
from kansearch.study.records import TrialRecord
from kansearch.study.stored_config import StoredConfig
from trials.files import write_whole
from trials.metrics import EXACT, ON_TEST, ON_VALIDATION, TEST_PREFIX

__all__ = ["SeedRecord", "SeedStore"]

_NO_MEASUREMENT = frozenset({"images", "epochs", *EXACT})
"""Entries among the figures of the test split that were not measured on it."""
_VALIDATION = frozenset(ON_VALIDATION.values())
"""Figures of the validation part, where there is one, which keep their names."""


@dataclass(frozen=True)
class SeedRecord(TrialRecord):
    """A configuration, trained with `seed` on the whole training split, and measured on the test split.

    `config` names that seed. In a confirmation `number` is the trial's, and `values` are the objectives as confirmed.
    """

    seed: int = 0
    test: Mapping[str, Any] = field(default_factory=dict)
    """The test split's figures, as `trials.training.train_seed` tells them; empty unless complete."""

    @property
    def key(self) -> Hashable:
        return self.number, self.seed

    @property
    def lost(self) -> bool:
        """Whether it failed through no fault of its own, as its workers were lost: another try may complete it."""
        return self.state == "fail" and bool(self.losses)

    @property
    def metrics(self) -> dict[str, float]:
        """The last epoch's measurements, and as `test_accuracy` and so on every figure of the test split.

        The validation part's figures, where there is one, keep their names.
        """
        measured = {name: value for name, value in self.test.items() if name not in _NO_MEASUREMENT}
        scalars = {name: value for name, value in measured.items() if isinstance(value, (int, float))}
        return super().metrics | {_named(name): float(value) for name, value in scalars.items()}

    def confirmed(self, objectives: Mapping[str, Any]) -> dict[str, float]:
        """Objectives: those of quality on the test split, the others as this training was."""
        metrics = self.metrics
        return {name: float(metrics[ON_TEST.get(name, name)]) for name in objectives}


def _named(figure: str) -> str:
    return figure if figure in _VALIDATION else f"{TEST_PREFIX}{figure}"


class SeedStore:
    """The trainings for the confirmation of a study, in its folder."""

    def __init__(self, study: Path) -> None:
        self._folder = study / "confirm"

    def records(self) -> list[SeedRecord]:
        """All of them, by trial and seed. Raises KansearchError for a damaged file."""
        found = [self._read(path) for path in self._folder.glob("*/seed-*.json")]
        return sorted(found, key=lambda record: (record.number, record.seed))

    def save(self, record: SeedRecord) -> None:
        """Replace what is kept of this training. Raises InterruptionError where it can't be written."""
        path = self._folder / f"{record.number:05d}" / f"seed-{record.seed}.json"
        document = {each.name: getattr(record, each.name) for each in fields(record)}
        text = json.dumps({"config": document.pop("stored").document, **document})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text, durable=True)
        except OSError as error:
            raise InterruptionError(f"cannot write {path}: {error.strerror or error}") from error

    def _read(self, path: Path) -> SeedRecord:
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            return SeedRecord(stored=StoredConfig(document.pop("config")), **document)
        except (ValueError, TypeError, KeyError) as error:
            raise KansearchError(f"{path} is damaged ({error}); remove it, and that seed is trained again") from error
