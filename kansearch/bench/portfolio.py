"""A portfolio: configurations that were good on recorded benchmarks, as the first proposals of a new search.

From each recording but those of the search's own data set: the front of its complete runs, seeds averaged, by the
search's objectives; of that, members evenly spread over the logarithm of the parameters; each projected into the
search's space.

    a number                     the nearest one that the space draws, by ratio where both are positive
    an option or a branch        the same one; where the space lacks it, the sampler proposes
    what the space fixes         stays as it is; networks of another family are left out
    epochs, seed                 the search's own
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kansearch.bench.projection import projected
from kansearch.bench.table import CURVES, FOLDER, RecordedRun, Recording, load_recording, recordings
from kansearch.errors import InputError
from kansearch.space import Branch, GivenSuggest, RandomSuggest, Scalar, SearchSpace, Tree
from kansearch.space.samplers import SAMPLERS
from kansearch.study.objectives import signed

__all__ = ["Portfolio", "portfolio"]

_MOST = 10
_SHARE = 5
"""At most this many proposals, and one in so many of the search's trials."""


@dataclass(frozen=True)
class Portfolio:
    """Hyperparameters to try first, in their order, and how many come from each recording."""

    proposals: tuple[Mapping[str, Scalar], ...] = ()
    sources: Mapping[str, int] = field(default_factory=dict)

    @property
    def line(self) -> str:
        """One line that says which there are and from where; empty without any."""
        if not self.proposals:
            return ""
        where = ", ".join(f"{name} ({count})" for name, count in self.sources.items())
        return (
            f"start: {len(self.proposals)} configurations to try first, from the fronts of recorded searches: {where}; "
            "`search.start: none` turns them off"
        )

    def document(self) -> dict[str, Any]:
        """What a study keeps of it, as of another study's front: see `kansearch.study.history.History.warm_start`."""
        if not self.proposals:
            return {}
        return {"recordings": dict(self.sources), "proposals": [dict(each) for each in self.proposals]}


def portfolio(space: SearchSpace, folder: Path = FOLDER) -> Portfolio:
    """The portfolio of a space; empty where its `search.start` or sampler wants none, or no recording has anything
    for it."""
    count = min(_MOST, max(1, space.search.trials // _SHARE))
    if space.search.start == "none" or SAMPLERS[space.search.sampler].exhaustive:
        return Portfolio()
    others = [each for each in _others(space, folder) if _family(each) in _families(space.tree.get("model", {}))]
    chosen: list[Mapping[str, Scalar]] = []
    sources = {}
    for place, recording in enumerate(others):
        wanted = -(-(count - len(chosen)) // (len(others) - place))
        new = _proposals(recording, space, wanted, [*space.enqueued, *chosen])
        chosen += new
        sources[recording.name] = len(new)
    return Portfolio(tuple(chosen), {name: number for name, number in sources.items() if number})


def _others(space: SearchSpace, folder: Path) -> Iterator[Recording]:
    """The recordings of other data sets."""
    for name in recordings(folder):
        recording = load_recording(name, folder)
        if recording.space.dataset != space.dataset:
            yield recording


def _family(recording: Recording) -> str:
    return str(recording.runs[0].config["model"]["family"])


def _families(model: Tree) -> set[str]:
    """The families of networks that a space draws."""
    if isinstance(model, Branch):
        return set().union(*map(_families, model.options.values()))
    return {str(model.get("family", "plain"))} if isinstance(model, Mapping) else set()


def _proposals(
    recording: Recording, space: SearchSpace, count: int, before: Sequence[Mapping[str, Scalar]]
) -> list[Mapping[str, Scalar]]:
    """At most `count` members of a recording's front in a space, smallest first; none that is among those `before`."""
    found: list[tuple[float, Mapping[str, Scalar]]] = []
    for run, sizes in _front(recording, space):
        proposal = projected(space, run.config)
        known = [*before, *(each for _, each in found)]
        if proposal and proposal not in known and _valid(space, proposal):
            found.append((sizes, proposal))
    return [found[place][1] for place in _evenly([size for size, _ in found], count)]


def _front(recording: Recording, space: SearchSpace) -> list[tuple[RecordedRun, float]]:
    """A run of each configuration of the front, with the logarithm of its parameters, smallest first. None where a
    metric was not recorded; those that broke a constraint are left out."""
    groups: dict[int, list[dict[str, float]]] = {}
    first: dict[int, RecordedRun] = {}
    for run in recording.runs:
        if run.state == "complete":
            groups.setdefault(run.index, []).append(_metrics(run))
            first.setdefault(run.index, run)
    means = {index: _means(group) for index, group in groups.items()}
    names = [str(name) for name in space.objectives]
    kept = {
        index: values
        for index, values in means.items()
        if all(name in values for name in names)
        and all(values.get(str(name), bound) <= bound for name, bound in space.constraints.items())
    }
    if not kept:
        return []
    import moocore

    directions = {str(name): direction for name, direction in space.objectives.items()}
    best = moocore.is_nondominated(signed(directions, list(kept.values())))
    members = [index for index, keep in zip(kept, best, strict=True) if keep]
    members.sort(key=lambda index: kept[index]["parameters"])
    return [(first[index], float(np.log(kept[index]["parameters"]))) for index in members]


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _metrics(run: RecordedRun) -> dict[str, float]:
    """The measurements of a complete run after its last epoch, as a trial's."""
    values = {name: float(run.curves[name][-1]) for name in CURVES}
    sizes = {"parameters": run.parameters, "flops": run.flops, "peak_memory_mib": run.peak_memory_mib}
    known = {name: float(size) for name, size in sizes.items() if size is not None}
    return {**values, "seconds": float(run.curves["seconds"].sum()), **known}


def _evenly(places: Sequence[float], count: int) -> list[int]:
    """Indices of `count` ascending numbers, each nearest to one of evenly spaced ones; all where they are few."""
    if len(places) <= count:
        return list(range(len(places)))
    left = set(range(len(places)))
    for wanted in np.linspace(places[0], places[-1], count):
        left.remove(min(left, key=lambda index: (abs(places[index] - wanted), index)))
    return sorted(set(range(len(places))) - left)


def _valid(space: SearchSpace, proposal: Mapping[str, Scalar]) -> bool:
    """Whether its values go together; what it leaves out is drawn once."""
    try:
        space.sample(GivenSuggest(proposal, RandomSuggest(random.Random(0))))
    except InputError:
        return False
    return True
