"""The functions of the library that come near an edge's: c·f(a·x + b) + d by least squares from several starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from trials.saved.symbolic.library import LIBRARY, Array, Function

__all__ = ["EdgeFit", "fit_edge", "fit_function"]

_POINTS = 200
_REFINED = 3
"""Starts of each function that are refined."""


@dataclass(frozen=True)
class EdgeFit:
    """A function with its constants, and the share of the edge's variance that it leaves."""

    name: str
    a: float
    b: float
    c: float
    d: float
    left: float


def fit_edge(x: Array, y: Array, limit: int | None = None, names: Sequence[str] = tuple(LIBRARY)) -> list[EdgeFit]:
    """The library's functions for an edge with values y (N,) at x (N,): what leaves least, best first.

    A function's complexity counts against it as a factor of what it leaves. limit: so many at most. names: the
    functions that are tried.
    """
    if np.array_equal(x, y):
        return [EdgeFit("x", 1.0, 0.0, 1.0, 0.0, 0.0)]
    found = [best for name in names if (best := fit_function(name, x, y))]
    found.sort(key=lambda each: (each.left + 1e-9) * 2.0 ** LIBRARY[each.name].complexity)
    return found[:limit]


def fit_function(name: str, x: Array, y: Array) -> EdgeFit | None:
    """One function for an edge; None where it has no value at some x whatever its constants."""
    step = max(len(x) // _POINTS, 1)
    order = np.argsort(x, kind="stable")[::step]
    x, y = x[order], y[order]
    spread = float(np.square(y - y.mean()).sum())
    if not spread or x[0] == x[-1]:
        return EdgeFit("x", 1.0, 0.0, 0.0, float(y.mean()), 0.0)
    return _best(LIBRARY[name], x, y, spread)


def _best(function: Function, x: Array, y: Array, spread: float) -> EdgeFit | None:
    starts = []
    for a, b in _starts(function, x):
        with np.errstate(all="ignore"):
            u = a * x + b
            values = function.value(u)
        if function.name == "sin":  # sine and cosine together are a sine of any phase
            solved = np.linalg.lstsq(np.stack([values, np.cos(u), np.ones_like(x)], 1), y, rcond=None)[0]
            b, c, d = float(np.arctan2(solved[1], solved[0])), float(np.hypot(solved[0], solved[1])), float(solved[2])
            values = np.sin(u + b)
        elif np.isfinite(values).all():
            centred = values - values.mean()
            size = float(centred @ centred)
            c = float(centred @ y / size) if size > 1e-300 else 0.0
            d = float(y.mean() - c * values.mean())
        else:
            continue
        left = float(np.square(c * values + d - y).sum()) / spread
        if np.isfinite(left):
            starts.append(EdgeFit(function.name, a, b, c, d, left))
    starts.sort(key=lambda each: each.left)
    refined = [_refined(function, each, x, y, spread) for each in starts[:_REFINED]]
    return min(refined, key=lambda each: each.left, default=None)


def _refined(function: Function, start: EdgeFit, x: Array, y: Array, spread: float) -> EdgeFit:
    from trials.saved.symbolic.formula import Edge, Formula, Sum, fit

    formula = Formula((((Sum((Edge(0, start.name, start.a, start.b, start.c),), start.d),),),))
    free = np.array([True, function.scales, function.shifts, True])
    better = fit(formula, x[:, None], y, 40, free)
    edge = better.layers[0][0][0].edges[0]
    left = float(np.square(better(x[:, None]) - y).sum()) / spread
    if not left <= start.left:
        return start
    return EdgeFit(start.name, edge.a, edge.b, edge.c, better.layers[0][0][0].bias, left)


def _starts(function: Function, x: Array) -> Iterator[tuple[float, float]]:
    """Values of a and b to begin with."""
    low, high = float(x[0]), float(x[-1])
    wide = high - low
    if not function.shifts and not function.scales:
        yield 1.0, 0.0
    elif not function.scales and function.domain == "all":
        yield 1.0, 0.0
        for share in (-3, -1, -0.3, 0, 0.25, 0.5, 0.75, 1, 1.3, 2, 4):
            yield 1.0, -(low + share * wide)
    elif not function.scales:
        for sign, least in ((1.0, low), (-1.0, -high)):
            if least > 0:
                yield sign, 0.0
            for share in (0.003, 0.03, 0.1, 0.3, 1, 3, 10):
                yield sign, share * wide - least
    elif function.name == "sin":
        for turn in np.linspace(0.5, 40, 80):
            yield float(turn) / wide, 0.0
    elif not function.shifts:
        for reach in (0.1, 0.3, 1, 2, 4, 8, 16):
            for sign in (1, -1):
                a = sign * reach / wide
                yield a, 0.0
    elif function.domain == "unit":
        ends = (-0.999, -0.9, -0.6, -0.2, 0.2, 0.6, 0.9, 0.999)
        for first in ends:
            for last in ends:
                if first < last:
                    a = (last - first) / wide
                    yield a, first - a * low
    else:
        for reach in np.geomspace(0.5, 16, 11).tolist():
            for share in (-2, -1, -0.7, -0.5, -0.3, -0.1, 0, 0.15, 0.3, 0.5, 0.7, 0.85, 1, 1.1, 1.3, 1.5, 1.7, 2, 3):
                yield reach / wide, -reach / wide * (low + share * wide)
