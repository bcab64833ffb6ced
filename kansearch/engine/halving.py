"""Asynchronous successive halving for several objectives: which trials go on past which epoch. No Ray, no clock.

    rung k of bracket s      after  min_epochs · η^(s + k)  epochs, η = reduction_factor, below the trial's full number
    trials of bracket s      those whose number is s modulo `brackets`; each bracket keeps rungs of its own.
                             Of trials merged from other studies: whose number was s there
    a trial goes on          if it is among the best ⌊n / η⌋ of the n trials seen at the rung, itself included, or if
                             none of them dominates it

Of two trials the one of lower non-dominated rank comes first; of equal ranks the one with the larger crowding distance.
Then it is the one with the lower draw of a generator seeded with `seed` and the trial's number. So the order of the
trials at a rung does not depend on when each arrived; a decision does, as those who arrive later are not waited for.

A non-dominated trial is never stopped, so no network is for being less accurate than a larger one. Without that rule a
front of more than n / η trials would lose some at each rung. In simulated searches half as many trials completed with η
= 4, and reached less. Of exact copies one alone counts as non-dominated. With one objective it is the rule of ASHA in
its stopping variant.

Objectives are compared after the rung's epoch, so those known before training, such as `parameters`, are exact at every
rung. Crowding distances are taken on the scale on which hypervolume is (`kansearch.study.objectives.costs`).

Sources. ASHA: Li et al. 2018, arXiv 1810.05934. Brackets: Hyperband, Li et al. 2016, arXiv 1603.06560. Non-dominated
rank and crowding distance: NSGA-II, Deb et al. 2002, doi 10.1109/4235.996017. Both in successive halving: Schmucker et
al. 2021, arXiv 2106.12639.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from kansearch.space import Direction, SearchSettings
from kansearch.study.objectives import costs
from kansearch.study.records import TrialRecord

__all__ = ["Decision", "Halving", "Rung", "build_halving", "crowding_distance", "values_at"]

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """The decision about a trial at a rung: it was `rank`-th, from 1, of `seen` trials."""

    epoch: int
    rank: int
    seen: int
    goes_on: bool

    def __str__(self) -> str:
        return f"epoch {self.epoch}: rank {self.rank} of {self.seen}"


@dataclass
class Rung:
    """The trials seen after one epoch, in order of arrival; `signed` and `costs` are rows of points to be minimised."""

    epoch: int
    numbers: list[int] = field(default_factory=list)
    signed: list[list[float]] = field(default_factory=list)
    costs: list[list[float]] = field(default_factory=list)


class Halving:
    """Decides at each rung; remembers every trial it saw and every decision it gave.

    Args:
        objectives: direction of each; one alone makes it plain ASHA.
        min_epochs: epochs of the first rung.
        reduction_factor: η >= 2; about one in η trials goes on.
        brackets: 1: every trial meets every rung. The trials of bracket s skip the first s rungs.
        seed: of the last ties.
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction],
        *,
        min_epochs: int = 1,
        reduction_factor: int = 3,
        brackets: int = 1,
        seed: int = 0,
    ) -> None:
        if min_epochs < 1 or reduction_factor < 2 or brackets < 1 or not objectives:
            raise ValueError("min_epochs and brackets must be >= 1, reduction_factor >= 2, and there is an objective")
        self._objectives = dict(objectives)
        self._min_epochs = min_epochs
        self._factor = reduction_factor
        self._brackets = brackets
        self._draw = cache(lambda number: float(np.random.default_rng([seed, number]).random()))
        self._rungs: dict[tuple[int, int], Rung] = {}
        self._met: dict[int, dict[int, Decision | None]] = {}  # by trial and epoch; None: it went on unjudged

    @property
    def rungs(self) -> Mapping[tuple[int, int], Rung]:
        """Each rung that a trial has reached, by bracket and epoch."""
        return self._rungs

    def decisions(self, number: int) -> Mapping[int, Decision]:
        """Decisions about a trial, by epoch."""
        return {epoch: decision for epoch, decision in self._met.get(number, {}).items() if decision is not None}

    def epochs_of_rungs(self, number: int, epochs: int) -> Iterator[int]:
        """Where trial `number` is judged if it is to train `epochs` in all."""
        epoch = self._min_epochs * self._factor ** (number % self._brackets)
        while epoch < epochs:
            yield epoch
            epoch *= self._factor

    def decide(self, record: TrialRecord) -> Decision | None:
        """Judge a trial at each rung that it reached and was not judged at yet.

        Returns the last decision given now, or the one that stopped it earlier; None where there is neither.
        """
        last = next((decision for decision in self.decisions(record.number).values() if not decision.goes_on), None)
        for epoch in self._reached(record):
            if last is not None and not last.goes_on:
                break
            if epoch not in self._met.get(record.number, {}):
                last = self._judge(record, epoch)
        return last

    def replay(self, records: Iterable[TrialRecord]) -> None:
        """Take up what a study holds: every rung as it was, every decision that was noted.

        A running trial that stands at a rung without a noted decision has not been judged there: it will be.
        """
        for record in records:
            for epoch in self._reached(record):
                noted = record.rungs.get(str(epoch))
                if noted is None and record.state == "running" and epoch == record.epochs:
                    continue
                self._enter(record, epoch)
                if noted is not None:
                    self._met[record.number][epoch] = Decision(epoch, *noted)

    def noted(self, number: int) -> dict[str, tuple[int, int, bool]]:
        """Verdicts of a trial as `TrialRecord.rungs` keeps them: rank, trials seen, whether it goes on, by epoch."""
        return {str(each.epoch): (each.rank, each.seen, each.goes_on) for each in self.decisions(number).values()}

    # -- a rung -------------------------------------------------------------------------------------------------------

    def _reached(self, record: TrialRecord) -> Iterator[int]:
        rungs = self.epochs_of_rungs(record.first_number, record.stored.epochs)
        return (epoch for epoch in rungs if epoch <= record.epochs)

    def _enter(self, record: TrialRecord, epoch: int) -> Rung:
        rung = self._rungs.setdefault((record.first_number % self._brackets, epoch), Rung(epoch))
        values = values_at(record, epoch, self._objectives)
        self._met.setdefault(record.number, {})[epoch] = None
        rung.numbers.append(record.number)
        signs = {name: -1.0 if direction == "maximize" else 1.0 for name, direction in self._objectives.items()}
        rung.signed.append([inf if isnan(value) else signs[name] * value for name, value in values.items()])
        rung.costs.append([1.0 if isnan(cost) else cost for cost in costs(self._objectives, values)])
        return rung

    def _judge(self, record: TrialRecord, epoch: int) -> Decision:
        rung = self._enter(record, epoch)
        rank, on_front = self._rank(rung)
        seen = len(rung.numbers)
        decision = Decision(epoch, rank, seen, on_front or rank <= seen // self._factor)
        self._met[record.number][epoch] = decision
        return decision

    def _rank(self, rung: Rung) -> tuple[int, bool]:
        """Place of the trial that came last in `rung`, from 1; whether none there dominates it or is preferred to it as
        a copy."""
        import moocore

        ranks = moocore.pareto_rank(np.array(rung.signed))
        peers = np.flatnonzero(ranks == ranks[-1])
        draws = np.array([self._draw(rung.numbers[peer]) for peer in peers])
        crowding = crowding_distance(np.array([rung.costs[peer] for peer in peers]), draws)
        order = np.lexsort((draws, -crowding))
        rank = int((ranks < ranks[-1]).sum()) + int(np.flatnonzero(order == len(peers) - 1)[0]) + 1
        return rank, bool(ranks[-1] == 0 and crowding[-1] > 0)


def build_halving(settings: SearchSettings, objectives: Mapping[str, Direction]) -> Halving | None:
    """The scheduler of `settings`; None where nobody stops trials early."""
    if settings.scheduler == "none":
        return None
    first = next(iter(objectives))
    return Halving(
        {first: objectives[first]} if settings.scheduler == "asha" else objectives,
        min_epochs=settings.min_epochs,
        reduction_factor=settings.reduction_factor,
        brackets=settings.brackets,
        seed=settings.seed,
    )


def crowding_distance(points: _Floats, draws: _Floats) -> _Floats:
    """Crowding distance of each row of `points` (n, m) among all of them, which do not dominate each other.

    Sum over the objectives of (next larger value - next smaller value) / (largest - smallest); infinite for a row that
    holds the smallest or the largest value of an objective. Of equal rows all but the one with the lowest draw have
    distance 0 and are no neighbours: a second copy adds nothing.
    """
    order = np.lexsort((draws, *points.T[::-1]))
    first = np.ones(len(points), dtype=bool)
    first[1:] = (points[order][1:] != points[order][:-1]).any(axis=1)
    kept = order[first]
    distance = np.zeros(len(points))
    for values in points[kept].T:
        ranking = np.argsort(values, kind="stable")
        ordered = values[ranking]
        gaps = np.full(len(ordered), np.inf)
        if ordered[-1] > ordered[0]:
            gaps[1:-1] = (ordered[2:] - ordered[:-2]) / (ordered[-1] - ordered[0])
            gaps[(ordered == ordered[0]) | (ordered == ordered[-1])] = np.inf
        distance[kept[ranking]] += gaps
    return distance


def values_at(record: TrialRecord, epoch: int, objectives: Mapping[str, Direction]) -> dict[str, float]:
    """Objectives after `epoch` epochs; `seconds` adds up over them, what was not measured is NaN."""
    upto = [result for result in record.curve if result["epoch"] <= epoch]
    values = {**upto[-1], "seconds": sum(result["seconds"] for result in upto)}
    return {name: float("nan") if values.get(name) is None else float(values[name]) for name in objectives}
