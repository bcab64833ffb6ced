"""Which trials of several studies are one study's: each ended trial once, numbered in the order in which they began."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kansearch.study.curve import read_curve

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["Joined", "Place", "join_trials"]

Place = tuple[int, int]
"""A study, by its place among those that are joined, and a trial's number there."""

_RANKS = {"COMPLETE": 0, "PRUNED": 1, "FAIL": 2}


@dataclass(frozen=True)
class Joined:
    """The trials that are taken, by their new numbers; of each study's the number that is left out."""

    trials: Sequence[FrozenTrial]
    """The trials as they were."""
    places: Sequence[Sequence[Place]]
    """Places of each trial: where it was taken from, then where else it is."""
    dropped: Sequence[int]
    """Trials that are taken from another study, which has them too."""
    unfinished: Sequence[int]
    """Trials that had not ended, in no study that has them."""

    @property
    def numbers(self) -> dict[Place, int]:
        """The new number of each trial that is taken, by every place where it is."""
        return {place: number for number, places in enumerate(self.places) for place in places}

    @property
    def repeated(self) -> int:
        """Complete trials whose configuration, its seed included, an earlier one of another study has."""
        owner: dict[str, int] = {}
        complete = [pair for pair in zip(self.trials, self.places, strict=True) if pair[0].state.name == "COMPLETE"]
        return sum(owner.setdefault(_config(trial), places[0][0]) != places[0][0] for trial, places in complete)


def join_trials(studies: Sequence[Sequence[FrozenTrial]]) -> Joined:
    """The ended trials of the studies.

    A trial that began at the same moment with the same configuration as another study's is the same trial: one of the
    two studies goes on from a copy of the other. It is taken where it got furthest, of equals from the first study.
    """
    same: dict[tuple[float, str], list[tuple[FrozenTrial, Place]]] = defaultdict(list)
    for index, trials in enumerate(studies):
        for trial in trials:
            same[_began(trial), _config(trial)].append((trial, (index, trial.number)))
    dropped, unfinished = Counter[int](), Counter[int]()
    taken: list[list[tuple[FrozenTrial, Place]]] = []
    for found in same.values():
        found.sort(key=lambda each: (_rank(each[0]), each[1]))
        if found[0][0].state.is_finished():
            taken.append(found)
            dropped.update(index for _, (index, _) in found[1:])
        else:
            unfinished.update(index for _, (index, _) in found)
    taken.sort(key=lambda found: (_began(found[0][0]), found[0][1]))
    return Joined(
        trials=[found[0][0] for found in taken],
        places=[[place for _, place in found] for found in taken],
        dropped=[dropped[index] for index in range(len(studies))],
        unfinished=[unfinished[index] for index in range(len(studies))],
    )


def _began(trial: FrozenTrial) -> float:
    """s since 1970, to the microsecond; Optuna's times are local, without saying so."""
    return trial.datetime_start.timestamp() if trial.datetime_start is not None else 0.0


def _config(trial: FrozenTrial) -> str:
    return json.dumps(trial.user_attrs.get("config", {}), sort_keys=True)


def _rank(trial: FrozenTrial) -> tuple[int, int]:
    """Smaller for a trial that got further."""
    return _RANKS.get(trial.state.name, len(_RANKS)), -len(read_curve(trial.user_attrs))
