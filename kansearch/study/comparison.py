"""Studies of one data set beside each other: their fronts, hypervolumes, and what each found that the others did not.

A trial of a study's front is its own find where no trial of the others is at least as good in every objective. By how
much is told twice:

    gain     value of the first objective beyond the best of the others' trials that are as good in all further ones
    volume   hypervolume of the others' front with the trial, minus that without

All of it is of values at selection, with the reference point of `kansearch.study.objectives`. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed
from kansearch.study.front import front_of, hypervolume
from kansearch.study.objectives import signed
from kansearch.study.records import TrialRecord

__all__ = ["Find", "Side", "Studies", "compare_studies"]

Studies = Mapping[str, tuple[Sequence[TrialRecord], Sequence[Confirmed]]]
"""For each study, by its name, its trials, and those of them that were confirmed."""


@dataclass(frozen=True)
class Find:
    """A trial on the front of its study that the other studies have nothing as good as."""

    trial: TrialRecord
    gain: float | None
    """How much better its first objective is; None where no trial of the others is as good in the further ones."""
    volume: float
    """The hypervolume that the others would gain with it."""
    confirmed: Confirmed | None = None


@dataclass(frozen=True)
class Side:
    """One of the studies."""

    name: str
    records: Sequence[TrialRecord]
    confirmed: Sequence[Confirmed]
    front: Sequence[TrialRecord]
    hypervolume: float
    finds: Sequence[Find]

    @property
    def tried(self) -> int:
        """How many of its trials were trained at all."""
        return sum(bool(record.curve) for record in self.records)

    @property
    def complete(self) -> int:
        """How many of its trials are complete."""
        return sum(record.state == "complete" for record in self.records)

    @property
    def seconds(self) -> float:
        """Device-seconds of all its trials."""
        return sum(record.seconds for record in self.records)

    def document(self) -> dict[str, Any]:
        """Return the study as JSON."""
        return {
            "study": self.name,
            "trials": self.tried,
            "complete": self.complete,
            "seconds": self.seconds,
            "front": [record.number for record in self.front],
            "hypervolume": self.hypervolume,
            "finds": [
                {"number": find.trial.number, "values": dict(find.trial.values), "gain": find.gain, "adds": find.volume}
                for find in self.finds
            ],
        }


def compare_studies(studies: Studies, objectives: Mapping[str, Direction]) -> list[Side]:
    """Compare studies that have the same objectives, in their order."""
    fronts = {name: front_of(trials, objectives) for name, (trials, _) in studies.items()}
    found = []
    for name, (trials, rows) in studies.items():
        others = [record for other, front in fronts.items() if other != name for record in front]
        finds = _finds(fronts[name], front_of(others, objectives), rows, objectives)
        found.append(Side(name, trials, rows, fronts[name], hypervolume(fronts[name], objectives), finds))
    return found


def _finds(
    front: Sequence[TrialRecord],
    others: Sequence[TrialRecord],
    rows: Sequence[Confirmed],
    objectives: Mapping[str, Direction],
) -> list[Find]:
    again = {row.trial.number: row for row in rows if row.complete}
    known, volume = signed(objectives, [each.values for each in others]), hypervolume(others, objectives)
    found = []
    for record in front:
        point = signed(objectives, [record.values])[0]  # less is better
        if others and (known <= point).all(axis=1).any():
            continue
        as_good = known[(known[:, 1:] <= point[1:]).all(axis=1), 0] if others else known.ravel()
        gain = float(as_good.min() - point[0]) if len(as_good) else None
        adds = hypervolume(front_of([*others, record], objectives), objectives) - volume
        found.append(Find(record, gain, adds, again.get(record.number)))
    return found
