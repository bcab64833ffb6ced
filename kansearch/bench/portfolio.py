"""A portfolio: configurations that were good on recorded benchmarks, as the first proposals of a new search.

Each recording but those of the search's own data set counts. One after the other the configuration is chosen that adds
most hypervolume for its device-seconds, both summed over the recordings that trained it to its end, seeds averaged. So
the first ones are those that pay at once, and none repeats what another one does. A configuration is projected into the
search's space (`kansearch.bench.projection`) before that; those that are the same there are one.

A greedy portfolio over known tasks is what Auto-sklearn 2.0 starts with: Feurer et al. 2022, arXiv 2007.04074.
"""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kansearch.bench.projection import projected
from kansearch.bench.table import CURVES, FOLDER, RecordedRun, Recording, load_recording, recordings
from kansearch.errors import InputError
from kansearch.space import Branch, GivenSuggest, RandomSuggest, Scalar, SearchSpace, Tree
from kansearch.space.samplers import SAMPLERS
from kansearch.study.objectives import costs

__all__ = ["Portfolio", "portfolio"]

_MOST = 10
_SHARE = 5
"""At most this many proposals, and one in so many of the search's trials."""
_Proposal = Mapping[str, Scalar]


@dataclass(frozen=True)
class Portfolio:
    """Hyperparameters to try first, in their order, and the recordings that they were chosen on."""

    proposals: tuple[_Proposal, ...] = ()
    recordings: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """One line that says how many there are and from where; empty without any."""
        if not self.proposals:
            return ""
        noun = "configuration" if len(self.proposals) == 1 else "configurations"
        where = " and ".join(filter(None, (", ".join(self.recordings[:-1]), self.recordings[-1])))
        return (
            f"start: {len(self.proposals)} {noun} to try first, the best of recorded searches on {where}; "
            "search.start=none turns this off"
        )

    def document(self) -> dict[str, Any]:
        """The part that a study keeps: see `kansearch.study.history.History.warm_start`. Empty without proposals."""
        if not self.proposals:
            return {}
        return {"recordings": list(self.recordings), "proposals": [dict(each) for each in self.proposals]}


def portfolio(space: SearchSpace, folder: Path = FOLDER) -> Portfolio:
    """The portfolio of a space; empty where its `search.start` wants none, its sampler does not learn, or nothing fits
    it."""
    if space.search.start == "none" or not SAMPLERS[space.search.sampler].learns:
        return Portfolio()
    there = [load_recording(name, folder) for name in recordings(folder)]
    used = [each for each in there if each.space.dataset != space.dataset and _family(each) in _families(space)]
    tables = [table for table in (_Table(each, space) for each in used) if table.rows]
    chosen = _chosen(tables, space, min(_MOST, max(1, space.search.trials // _SHARE)))
    return Portfolio(tuple(chosen), tuple(table.name for table in tables) if chosen else ())


def _family(recording: Recording) -> str:
    return str(recording.runs[0].config["model"]["family"])


def _families(space: SearchSpace) -> set[str]:
    """The families of networks that a space draws."""
    model: Tree = space.tree.get("model", {})
    options = model.options.values() if isinstance(model, Branch) else [model]
    return {str(each.get("family", "plain")) for each in options if isinstance(each, Mapping)}


class _Table:
    """A recording as a space sees it: costs and relative device-seconds of each proposal that it trained."""

    def __init__(self, recording: Recording, space: SearchSpace) -> None:
        self.name = recording.name
        self.proposals: dict[str, _Proposal] = {}
        self.rows: dict[str, list[float]] = {}
        self.seconds: dict[str, float] = {}
        groups: dict[str, list[dict[str, float]]] = {}
        for run in recording.runs:
            if run.state == "complete" and (proposal := projected(space, run.config)):
                key = json.dumps(proposal, sort_keys=True)
                self.proposals[key] = proposal
                groups.setdefault(key, []).append(_metrics(run))
        objectives = {str(name): direction for name, direction in space.objectives.items()}
        for key, rows in groups.items():
            values = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
            known = all(name in values for name in objectives)
            if known and all(values.get(str(name), bound) <= bound for name, bound in space.constraints.items()):
                self.rows[key], self.seconds[key] = costs(objectives, values), values["seconds"]
        usual = float(np.mean(list(self.seconds.values()))) if self.seconds else 1.0
        self.seconds = {key: seconds / usual for key, seconds in self.seconds.items()}


def _metrics(run: RecordedRun) -> dict[str, float]:
    """The measurements of a complete run after its last epoch, as a trial's."""
    values = {name: float(run.curves[name][-1]) for name in CURVES}
    sizes = {"parameters": run.parameters, "flops": run.flops, "peak_memory_mib": run.peak_memory_mib}
    known = {name: float(size) for name, size in sizes.items() if size is not None}
    return {**values, "seconds": float(run.curves["seconds"].sum()), **known}


def _chosen(tables: Sequence[_Table], space: SearchSpace, count: int) -> list[_Proposal]:
    """At most `count` proposals, each the one that adds most for its cost; none that is enqueued, or not valid."""
    proposals = {key: proposal for table in tables for key, proposal in table.proposals.items() if key in table.rows}
    fronts: list[list[list[float]]] = [[] for _ in tables]
    chosen: list[_Proposal] = []
    left = sorted((-_worth(tables, fronts, key), key) for key in proposals)
    while left and len(chosen) < count:
        _, best = heapq.heappop(left)
        worth = _worth(tables, fronts, best)  # it was more before others were chosen, never less
        if left and worth < -left[0][0]:
            heapq.heappush(left, (-worth, best))
        elif proposals[best] not in space.enqueued and _valid(space, proposals[best]):
            chosen.append(proposals[best])
            for table, front in zip(tables, fronts, strict=True):
                front += [table.rows[best]] if best in table.rows else []
    return chosen


def _worth(tables: Sequence[_Table], fronts: Sequence[list[list[float]]], key: str) -> float:
    """Hypervolume that a proposal adds for its device-seconds, where it was trained."""
    pairs = [(table, front) for table, front in zip(tables, fronts, strict=True) if key in table.rows]
    gain = sum(_volume([*front, table.rows[key]]) - _volume(front) for table, front in pairs)
    return gain / sum(table.seconds[key] for table, _ in pairs)


def _volume(points: Sequence[Sequence[float]]) -> float:
    import moocore

    return float(moocore.hypervolume(np.array(points), ref=[1.0] * len(points[0]))) if points else 0.0


def _valid(space: SearchSpace, proposal: _Proposal) -> bool:
    """Whether its values go together; what it leaves out is drawn once."""
    try:
        space.sample(GivenSuggest(proposal, RandomSuggest(random.Random(0))))
    except InputError:
        return False
    return True
