"""Ways to tell the sampler of a trial that was stopped early, to be compared by `kansearch bench`.

worse       without values, as PRUNED: tpe counts it as worse than every complete trial. What searches do
hidden      nothing at all
projected   as if it were complete, with the values that it may be expected to end with: its last error times the
            median ratio, over the complete trials, of the last epoch's error to that epoch's

No class tells a stopped trial as complete with its last values. It is dominated at its rung already, so tpe would count
it as it does with `worse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from kansearch.engine.proposer import Proposer
from kansearch.study.records import TrialRecord

__all__ = ["TELLINGS"]


class _Hidden(Proposer):
    def told(self, record: TrialRecord) -> tuple[str, Sequence[float] | None]:
        return ("FAIL", None) if record.state == "pruned" else super().told(record)


class _Projected(Proposer):
    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._errors: list[list[float]] = []  # of each complete trial, by epoch

    def told(self, record: TrialRecord) -> tuple[str, Sequence[float] | None]:
        if record.state == "complete":
            self._errors.append([1 - result["accuracy"] for result in record.curve])
        if record.state != "pruned":
            return super().told(record)
        last, epochs = record.curve[-1], record.epochs
        gain = median(errors[-1] / max(errors[epochs - 1], 1e-6) for errors in self._errors) if self._errors else 1.0
        values = {**last, "accuracy": 1 - (1 - last["accuracy"]) * gain}
        return "COMPLETE", [float(values[str(name)]) for name in self._space.objectives]


TELLINGS: dict[str, type[Proposer]] = {"worse": Proposer, "hidden": _Hidden, "projected": _Projected}
