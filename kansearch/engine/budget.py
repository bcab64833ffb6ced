"""`Budget`: what a search has spent, what it may still spend, and whether it still gets anywhere.

    trials            finished trials                       no more are started, those that run go on
    patience          finished trials without a larger      likewise
                      hypervolume
    epochs_budget     epochs of all trials                  those that run are stopped
    device_budget     device-seconds of all trials          likewise

The wall time is the launcher's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kansearch.space import Direction, SearchSettings
from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import FINISHED, TrialRecord

__all__ = ["Budget"]

_NOTICEABLE = 1e-9  # of hypervolume; less is rounding


class Budget:
    """Adds up what trials spend.

    Args:
        settings: the bounds.
        objectives: direction of each.
        records: what a study has spent already, by number.
    """

    def __init__(
        self, settings: SearchSettings, objectives: Mapping[str, Direction], records: Sequence[TrialRecord] = ()
    ) -> None:
        self._settings = settings
        self._objectives = objectives
        self._front: list[TrialRecord] = []
        self._hypervolume = 0.0
        self._idle = 0
        self.finished = 0
        """Trials that used up a place."""
        self.epochs = sum(record.epochs for record in records)
        """Epochs of all trials, those of unfinished ones too."""
        self.seconds = sum(record.seconds for record in records)
        """Device-seconds of all trials, from hand-out on."""
        self.training_seconds = sum(record.training_seconds for record in records)
        """Seconds of all epochs."""
        for record in records:
            if record.state in FINISHED:
                self.finish(record)

    def spend(self, before: TrialRecord, after: TrialRecord) -> None:
        """A trial went on."""
        self.epochs += after.epochs - before.epochs
        self.seconds += after.seconds - before.seconds
        self.training_seconds += after.training_seconds - before.training_seconds

    def finish(self, record: TrialRecord) -> None:
        """One more finished trial."""
        self.finished += 1
        self._idle += 1
        if record.state != "complete" or self._settings.patience is None:
            return
        self._front = front_of([*self._front, record], self._objectives)
        volume = hypervolume(self._front, self._objectives)
        if volume > self._hypervolume + _NOTICEABLE:
            self._hypervolume, self._idle = volume, 0

    def full(self, running: int) -> bool:
        """Whether no trial may be started beside `running` ones."""
        patience = self._settings.patience
        stuck = patience is not None and self._idle >= patience
        return self.finished + running >= self._settings.trials or stuck

    @property
    def overspent(self) -> str | None:
        """Which budget has ended, and with it the trials that run."""
        epochs, seconds = self._settings.epochs_budget, self._settings.device_budget
        if epochs is not None and self.epochs >= epochs:
            return f"the budget of {epochs:,} epochs"
        if seconds is not None and self.seconds >= seconds:
            return f"the budget of {seconds:,.0f} device-seconds"
        return None
