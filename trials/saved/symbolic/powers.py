"""Products of a function of one input and a function of another: which power of them is simple?

p·q that a function f reads says no more than p^k·q^k that f(·^(1/k)) reads, and training ends at any k. Here k is
chosen so that both factors come as near as can be to a function of the library, if no factor clearly changes its sign.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from trials.saved.symbolic.edges import fit_edge
from trials.saved.symbolic.extract import DrawnEdge, DrawnNode
from trials.saved.symbolic.library import LIBRARY, Array

__all__ = ["with_simple_powers"]

_POWERS = np.concatenate([np.geomspace(0.1, 10, 21), -np.geomspace(0.1, 10, 21)])
_BEYOND = 0.03
"""Share of its range by which a factor may change its sign; the fit that follows puts it right."""
_MULTIPLES = tuple(sign * each for sign in (1, -1) for each in (1.0, 0.5, 2.0, 1 / 3, 3.0))
_SHAPES: tuple[Callable[[Array], Array], ...] = (
    lambda x: x, lambda x: x**2, lambda x: x**3, lambda x: 1 / x, lambda x: x**-2.0, np.sqrt, lambda x: x**-0.5, np.log,
)  # fmt: skip
"""The shapes that a factor should have, but for a scale and a constant."""


def with_simple_powers(drawn: list[list[DrawnNode]]) -> list[list[DrawnNode]]:
    """The same network with such powers of its products, each edge drawn anew that reads one."""
    layers = [list(layer) for layer in drawn]
    for i, layer in enumerate(layers[:-1]):
        for j, node in enumerate(layer):
            values = [_of_one_sign(edges[0].y + bias) for edges, bias in node.sums if len(edges) == 1]
            if len(values) != 2 or not all(len(each) for each in values):
                continue
            readers = [e for above in layers[i + 1] for edges, _ in above.sums for e in edges if e.source == j]
            power = _best_power([edges[0].x for edges, _ in node.sums], values, readers)
            layer[j] = DrawnNode(
                tuple(
                    ((replace(edges[0], y=np.abs(v) ** power),), 0.0)
                    for (edges, _), v in zip(node.sums, values, strict=True)
                )
            )
            product = np.abs(values[0] * values[1]) ** power
            layers[i + 1] = [_reading(above, j, product) for above in layers[i + 1]]
    return layers


def _of_one_sign(values: Array) -> Array:
    """The values, moved to one side of 0 where they are a little beyond it; none where they lie on both sides."""
    low, high = float(values.min()), float(values.max())
    slack = _BEYOND * (high - low)
    if low < 0 < high:
        values = values - low if -low < slack else values - high if high < slack else values[:0]
    return values


def _best_power(inputs: list[Array], values: list[Array], readers: list[DrawnEdge]) -> float:
    """The power with which the factors are simple, and of its multiples the one with which their readers are, too."""
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    with np.errstate(all="ignore"):
        shapes = [[shape for f in _SHAPES if np.isfinite(shape := f(x)).all()] for x in inputs]

    def left(power: float) -> float:
        with np.errstate(all="ignore"):
            powers = [np.abs(v) ** power for v in values]
        if not all(np.isfinite(each).all() for each in powers):
            return 1e3
        return float(sum(np.log(_left(each, own) + 1e-9) for each, own in zip(powers, shapes, strict=True)))

    near = min(_POWERS.tolist(), key=left)
    bounds = sorted((near / 1.26, near * 1.26))
    best = float(minimize_scalar(left, bounds=bounds, method="bounded", options={"xatol": 1e-5}).x)
    product = np.abs(values[0] * values[1])

    def all_left(power: float) -> float:
        fits = [fit_edge(product**power, edge.y, 1)[0] for edge in readers]
        own = [math.log(each.left + 1e-9) + math.log(2) * LIBRARY[each.name].complexity for each in fits]
        return left(power) + sum(own)

    return min((best * each for each in _MULTIPLES), key=all_left)


def _left(values: Array, shapes: list[Array]) -> float:
    """The share of the values' variance that the best line through a shape leaves."""
    return min(1 - float(np.corrcoef(values, each)[0, 1]) ** 2 for each in shapes)


def _reading(node: DrawnNode, source: int, values: Array) -> DrawnNode:
    return DrawnNode(
        tuple(
            (tuple(replace(edge, x=values) if edge.source == source else edge for edge in edges), bias)
            for edges, bias in node.sums
        )
    )
