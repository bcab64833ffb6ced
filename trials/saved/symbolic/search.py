"""Which function each edge of a formula gets, judged by the whole formula's validation error."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from trials.saved.symbolic.edges import EdgeFit, fit_edge, fit_function
from trials.saved.symbolic.extract import DrawnNode
from trials.saved.symbolic.formula import Edge, Formula, Place, Sum, fit, relative_error
from trials.saved.symbolic.library import LIBRARY, Array

__all__ = ["Judged", "Samples", "search", "starts_of"]

_CANDIDATES = 6
"""Functions tried on each edge, besides those beside its own on the ladder of powers."""
_LADDER = ("x^4", "x^3", "x^2", "x", "sqrt", "log", "1/sqrt", "1/x", "1/x^2", "1/x^3")
_FLEXIBLE = 4
"""The complexity of functions that come near to any smooth edge."""
_PROMISING = 0.5
"""Score for each held-out row by which a choice may be behind, after a few steps, and is fitted on."""
_SHORT, _LONG = 15, 120
"""Steps of fine-tuning: of each choice, and of one that is good."""
_FLOOR = 1e-9
"""Relative error below which formulas are equally good."""


Key = tuple[int, int, int, int]
"""An edge by its layer, its node there, its sum in a product, and its source."""


@dataclass(frozen=True)
class Samples:
    """Rows (N, F) and targets (N,) in the user's units, for fitting and for judging."""

    x: Array
    y: Array
    held_x: Array
    held_y: Array

    @property
    def scale(self) -> float:
        return float(self.y.std()) or 1.0


@dataclass(frozen=True)
class Judged:
    formula: Formula
    error: float
    """Relative error on the rows held out."""
    score: float


def judge(formula: Formula, samples: Samples) -> Judged:
    """A formula's validation error, and its score: n log(error² + floor²) + log(n) · complexity, the lower the
    better, as in the Bayesian information criterion."""
    error = relative_error(formula, samples.held_x, samples.held_y, samples.scale)
    count = len(samples.held_y)
    if not math.isfinite(error):
        return Judged(formula, error, math.inf)
    return Judged(formula, error, count * math.log(error**2 + _FLOOR**2) + math.log(count) * formula.complexity)


def starts_of(drawn: list[list[DrawnNode]]) -> tuple[list[Formula], dict[Key, list[EdgeFit]]]:
    """The formula of each edge's own best function, that of its best simple function, and the candidates of each."""
    candidates = {
        (i, j, k, edge.source): fit_edge(edge.x, edge.y)
        for i, nodes in enumerate(drawn)
        for j, node in enumerate(nodes)
        for k, (edges, _) in enumerate(node.sums)
        for edge in edges
    }
    plain = {
        place: next((each for each in fits if LIBRARY[each.name].complexity < _FLEXIBLE), fits[0])
        for place, fits in candidates.items()
    }
    return [_formula(drawn, {place: fits[0] for place, fits in candidates.items()}), _formula(drawn, plain)], candidates


def _formula(drawn: list[list[DrawnNode]], chosen: dict[Key, EdgeFit]) -> Formula:
    def of_sum(i: int, j: int, k: int) -> Sum:
        edges, bias = drawn[i][j].sums[k]
        fits = [chosen[i, j, k, e.source] for e in edges]
        made = [Edge(e.source, f.name, f.a, f.b, f.c) for e, f in zip(edges, fits, strict=True)]
        return Sum(tuple(made), bias + sum(f.d for f in fits))

    return Formula(
        tuple(
            tuple(tuple(of_sum(i, j, k) for k in range(len(node.sums))) for j, node in enumerate(nodes))
            for i, nodes in enumerate(drawn)
        )
    )


def search(drawn: list[list[DrawnNode]], samples: Samples, seconds: float = 60.0) -> list[Judged]:
    """Formulas from the edges' own functions on, changed one edge at a time; the best one comes last.

    Every formula is there that was the best of its start when it was found, and some of fewer edges than the best. It
    ends where no change of an edge is any better, where a formula is exact, or after so many seconds of processor time.
    """
    until = time.process_time() + seconds
    starts, candidates = starts_of(drawn)
    begun = [judge(fit(each, samples.x, samples.y, _LONG), samples) for each in dict.fromkeys(starts)]
    found: list[Judged] = []
    for start in sorted(begun, key=lambda each: each.score):
        found += _climb(start, candidates, samples, until)
        if min(each.error for each in found) <= _FLOOR:
            break
    found += _simpler(min(found, key=lambda each: each.score), samples)
    return sorted(found, key=lambda each: -each.score)


def _climb(best: Judged, candidates: dict[Key, list[EdgeFit]], samples: Samples, until: float) -> list[Judged]:
    """The start, and every better formula on the way up."""
    found = [best]
    while best.error > _FLOOR:
        before = best
        for key, fits in candidates.items():
            if (where := _where(best.formula, key)) is None:
                continue
            for name in _names(where[1].name, fits):
                if time.process_time() > until or best.error <= _FLOOR:
                    return found
                if (where := _where(best.formula, key)) is None or where[1].name == name:
                    continue
                for changed in _changes(best.formula, *where, name, fits, samples):
                    tried = judge(fit(changed, samples.x, samples.y, _SHORT), samples)
                    if tried.score < best.score + _PROMISING * len(samples.held_y):
                        tried = judge(fit(tried.formula, samples.x, samples.y, _LONG), samples)
                    if tried.score < best.score - 1e-3:
                        best = tried
                        found.append(best)
        if best.score > before.score - 1.0:
            break
    return found


def _simpler(best: Judged, samples: Samples) -> list[Judged]:
    """Formulas of fewer and fewer edges, each the best that one edge less, or a straight one, makes of the last."""
    found = []
    while sum(1 for _ in best.formula.places()) > 1:
        tried = []
        for place, edge in best.formula.places():
            for name in (None, "x") if edge.name != "x" else (None,):
                for changed in _changes(best.formula, place, edge, name, [], samples):
                    tried.append(judge(fit(changed, samples.x, samples.y, _SHORT), samples))
        nearest = min(tried, key=lambda each: each.error)
        best = judge(fit(nearest.formula, samples.x, samples.y, _LONG), samples)
        if not math.isfinite(best.error):
            break
        found.append(best)
    return found


def _where(formula: Formula, key: Key) -> tuple[Place, Edge] | None:
    """An edge and its place; None where it has been taken out."""
    return next(((place, edge) for place, edge in formula.places() if (*place[:3], edge.source) == key), None)


def _names(now: str, candidates: list[EdgeFit]) -> list[str | None]:
    """The functions to try on an edge; None: no edge."""
    names = [each.name for each in candidates[:_CANDIDATES]]
    if now in _LADDER:
        place = _LADDER.index(now)
        names += [each for each in _LADDER[max(place - 1, 0) : place + 2] if each not in names]
    return [*names, None] if len(candidates) > 1 else []


def _changes(
    formula: Formula, place: Place, now: Edge, name: str | None, candidates: list[EdgeFit], samples: Samples
) -> list[Formula]:
    """The formula with another function on an edge: near to the one before, and as it came from the network."""
    x = formula.nodes(samples.x)[place[0]][now.source]
    y = now.c * now.function.value(now.a * x + now.b)
    if name is None:
        return [formula.changed(place, None, float(y.mean()))]
    own = next((each for each in candidates if each.name == name), None)
    found = []
    for each in (fit_function(name, x, y), own):
        if each is None:
            continue
        with np.errstate(all="ignore"):
            shift = float(np.mean(y - each.c * LIBRARY[each.name].value(each.a * x + each.b)))
        if math.isfinite(shift):
            found.append(formula.changed(place, Edge(now.source, each.name, each.a, each.b, each.c), shift))
    return found
