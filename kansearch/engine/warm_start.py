"""The worth of another study's trials to this one: results its sampler may learn from, configurations to try first.

    start = warm_start(other.records(), study.space, other.space)

A trial is a result here if this study, by drawing its configuration, would have trained exactly it: the same data,
split, epochs and seed too. Every measured metric is known, so the two may have different objectives; `seconds`,
`images_per_second` and `peak_memory_mib` are those of the machine that measured them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kansearch.errors import UnreadableConfigError
from kansearch.space import Mismatch, Point, Scalar, SearchSpace, point_of
from kansearch.study.front import front_of
from kansearch.study.records import TrialRecord

__all__ = ["Observation", "WarmStart", "warm_start"]

_OWN = frozenset({"data", "epochs", "seed"})  # a proposal is trained again, on this study's own


@dataclass(frozen=True)
class Observation:
    """A finished trial: its hyperparameters in this study's space, and the value of each of this study's objectives."""

    hyperparameters: Mapping[str, Scalar]
    values: Mapping[str, float]


@dataclass(frozen=True)
class WarmStart:
    """The trials that a study can take from another.

    Attributes:
        observations: the complete trials that are results here, by number.
        proposals: hyperparameters of the other's front, in its order, each once. The sampler proposes those that
            are missing.
        skipped: how many trials are left out of either and the commonest reason, in one line; empty if none is.
    """

    observations: tuple[Observation, ...]
    proposals: tuple[Mapping[str, Scalar], ...]
    skipped: str


def warm_start(records: Sequence[TrialRecord], space: SearchSpace, other: SearchSpace) -> WarmStart:
    """Return what a study of `space` can take from `records`, all trials of a study of `other`.

    Data, epochs and seed of a proposal are this study's where it fixes them. What `space` puts in its queue itself is
    not proposed again, and nothing is taken that breaks a constraint of `space` by what was measured.
    """
    complete = [record for record in records if record.state == "complete"]
    front = front_of(complete, {str(name): direction for name, direction in other.objectives.items()})
    observed = [_observation(record, space) for record in complete]
    proposed = [_proposal(record, space) for record in front]
    proposals: list[Mapping[str, Scalar]] = []
    for each in proposed:
        if not isinstance(each, Mismatch) and each and each not in (*space.enqueued, *proposals):
            proposals.append(each)
    notes = (
        _left_out("complete trials are no results here", complete, observed),
        _left_out("front trials cannot be proposed here", front, proposed),
    )
    observations = tuple(each for each in observed if isinstance(each, Observation))
    return WarmStart(observations, tuple(proposals), "; ".join(filter(None, notes)))


def _observation(record: TrialRecord, space: SearchSpace) -> Observation | Mismatch:
    point = _point(record, space, frozenset())
    if point.mismatches:
        return point.mismatches[0]
    metrics = record.metrics
    for name in space.objectives:
        if not math.isfinite(metrics.get(name, math.nan)):
            return Mismatch(name, "it has no value")
    return Observation(point.hyperparameters, {name: float(metrics[name]) for name in space.objectives})


def _proposal(record: TrialRecord, space: SearchSpace) -> Mapping[str, Scalar] | Mismatch:
    point = _point(record, space, _OWN)
    return point.mismatches[0] if point.mismatches else point.hyperparameters


def _point(record: TrialRecord, space: SearchSpace, ignore: frozenset[str]) -> Point:
    """The trial's place in the space; what breaks a constraint has none."""
    try:
        config = record.config
    except UnreadableConfigError as error:
        return Point(mismatches=(Mismatch(error.path, error.reason),))
    metrics = record.metrics
    for name, bound in space.constraints.items():
        if metrics.get(name, bound) > bound:
            return Point(mismatches=(Mismatch(name, f"{metrics[name]:,.10g} is over the constraint {bound:,.10g}"),))
    return point_of(space.tree, config.model_dump(mode="json"), ignore)


def _left_out(what: str, records: Sequence[TrialRecord], found: Sequence[object]) -> str:
    """How many of `records` were not `found`, and the place where that went wrong most often, with its first case."""
    missed = [(record, each) for record, each in zip(records, found, strict=True) if isinstance(each, Mismatch)]
    if not missed:
        return ""
    path, count = Counter(each.path for _, each in missed).most_common(1)[0]
    record, first = next(pair for pair in missed if pair[1].path == path)
    mostly = "" if count == len(missed) else "mostly "
    return f"{len(missed)} of {len(records)} {what}, {mostly}for {path} (trial {record.number}: {first.reason})"
