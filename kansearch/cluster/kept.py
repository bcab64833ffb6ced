"""Whose weights are kept: those of the front's trials, as long as they are on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kansearch.cluster.checkpoints import Checkpoints
from kansearch.space import Direction
from kansearch.study.front import front_of
from kansearch.study.records import TrialRecord

__all__ = ["KeptWeights"]


class KeptWeights:
    """Removes what trials that have ended leave behind, but for the weights of the front's.

    Made when a driver starts, from the study's records: what a killed one had no time to remove goes then.
    """

    def __init__(
        self, objectives: Mapping[str, Direction], checkpoints: Checkpoints, records: Iterable[TrialRecord]
    ) -> None:
        self._objectives, self._checkpoints = objectives, checkpoints
        complete = [record for record in records if record.state == "complete"]
        self._front = front_of(complete, self._objectives)
        on_front = {record.number for record in self._front}
        for number in checkpoints.weights() & {record.number for record in complete} - on_front:
            checkpoints.forget_weights(number)

    def ended(self, record: TrialRecord) -> None:
        """Remove what is not needed any more now that this trial has ended."""
        self._checkpoints.forget(record)
        if record.state != "complete":
            return
        known = sorted([*self._front, record], key=lambda each: each.number)
        self._front = front_of(known, self._objectives)
        for number in {each.number for each in known} - {each.number for each in self._front}:
            self._checkpoints.forget_weights(number)
