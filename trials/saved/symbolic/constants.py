"""The constants of a formula: those that say nothing are fixed, and those near simple numbers are rounded.

Of c·(a·x + b)² the scale a says what c says already, of exp(a·x + b) the shift b does, and a node's scale and shift are
those of what reads it. `canonical` fixes them, so that what is left has one best value and can be told from a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray

from trials.saved.symbolic.formula import Edge, Formula, Node, Sum, fit
from trials.saved.symbolic.library import Array

__all__ = ["Exact", "canonical", "rounded"]

_FACTORS: dict[str, float] = {"1": 1.0, "pi": math.pi, "pi^2": math.pi**2, "1/pi": 1 / math.pi, "1/pi^2": math.pi**-2,
            "1/sqrt(2*pi)": (2 * math.pi) ** -0.5, "sqrt(2)": math.sqrt(2)}  # fmt: skip
_LARGEST = 12
"""The largest denominator of a fraction."""
_CHANCE = 0.5
"""Numbers as short as the one chosen that may be expected within a standard error."""
_FLOOR = 1e-9
"""Relative error below which two formulas are equally good."""
_ODD = ("x^3", "tanh", "arctan", "arcsin", "arctanh", "sin")
_EVEN = ("x^2", "x^4", "gaussian")


@dataclass(frozen=True)
class Exact:
    """A fraction times a power of pi, or what else `_FACTORS` names."""

    fraction: Fraction
    factor: str = "1"

    @property
    def value(self) -> float:
        return float(self.fraction) * _FACTORS[self.factor]

    @property
    def bits(self) -> float:
        """The length of its digits: about 2 to this power numbers are as short."""
        p, q = abs(self.fraction.numerator), self.fraction.denominator
        return math.log2(p + 1) + math.log2(q) + (0.0 if self.factor == "1" else 3.0)


def canonical(formula: Formula) -> tuple[Formula, NDArray[np.bool_]]:
    """The same function with each constant fixed that says nothing of its own, and which are free (see `constants`)."""
    layers = [list(layer) for layer in formula.layers]
    fixed: set[tuple[int, int, int, int, str]] = set()
    for i in range(len(layers)):
        layers[i] = [tuple(_plain_sum(each) for each in node) for node in layers[i]]
        if i == len(layers) - 1:
            break
        for j, node in enumerate(layers[i]):
            readers = [e for above in layers[i + 1] for each in above for e in each.edges if e.source == j]
            layers[i][j], scale, shift, keys = _plain_node(node, readers)
            fixed.update((i, j, *key) for key in keys)
            if len(readers) == 1 and readers[0].name == "exp":
                fixed.update((i + 1, p, k, m, "a") for p, k, m in _places(layers[i + 1], j))
            layers[i + 1] = [tuple(_reading(each, j, scale, shift) for each in above) for above in layers[i + 1]]
    plain = Formula(tuple(tuple(layer) for layer in layers))
    free = []
    for i, layer in enumerate(plain.layers):
        for j, node in enumerate(layer):
            for k, each in enumerate(node):
                last = i == len(plain.layers) - 1
                free.append(last or (len(node) == 2 and bool(each.edges)))
                for m, e in enumerate(each.edges):
                    free.append(e.function.scales and (i, j, k, m, "a") not in fixed)
                    free.append(e.function.shifts)
                    free.append((i, j, k, m, "c") not in fixed)
    return plain, np.array(free)


def _places(layer: list[Node], source: int) -> Iterator[tuple[int, int, int]]:
    """Where the edges stand that read a node."""
    for p, node in enumerate(layer):
        for k, each in enumerate(node):
            for m, e in enumerate(each.edges):
                if e.source == source:
                    yield p, k, m


def _plain_sum(each: Sum) -> Sum:
    bias, edges = each.bias, []
    for e in each.edges:
        a, b, c = e.a, e.b, e.c
        if a == 0 and e.name != "x":  # it is a number
            bias += c * float(e.function.value(np.array([b]))[0])
            edges.append(Edge(e.source, "x", 1.0, 0.0, 0.0))
            continue
        if e.name == "x":
            bias, a, b, c = bias + c * b, 1.0, 0.0, c * a
        elif e.name == "exp":
            b, c = 0.0, c * math.exp(min(b, 700.0))
        elif e.name == "log":
            bias, a, b = bias + c * math.log(abs(a)), math.copysign(1.0, a), b / abs(a)
        elif not e.function.scales:
            size = abs(a)
            a, b, c = math.copysign(1.0, a), b / size, c * float(e.function.value(np.array([size]))[0])
        if a < 0 and e.name in (*_ODD, *_EVEN):
            a, b, c = -a, -b, (-c if e.name in _ODD else c)
        if e.name == "sin":
            b = math.remainder(b, 2 * math.pi)
        edges.append(Edge(e.source, e.name, a, b, c))
    return Sum(tuple(edges), bias)


def _plain_node(node: Node, readers: list[Edge]) -> tuple[Node, float, float, list[tuple[int, int, str]]]:
    """A hidden node of plain scale, and without a shift where it is a sum; what the node was is scale · node + shift.
    Then which constants are fixed: the sum, the edge's place in it, and the name."""
    plain, scale, shift, keys = [], 1.0, 0.0, []
    alone = readers[0] if len(readers) == 1 and readers[0].name == "exp" else None
    for k, each in enumerate(node):
        if len(node) == 1:
            each, shift = replace(each, bias=0.0), each.bias
        if not each.edges:
            plain.append(Sum((), 1.0))
            scale *= each.bias
            continue
        main = max(range(len(each.edges)), key=lambda m: abs(each.edges[m].c))
        if alone is not None and k == len(node) - 1:
            size = 1 / (alone.a * scale) if alone.a * scale else 1.0
        else:
            size = abs(each.edges[main].c) or 1.0
            keys.append((k, main, "c"))
        plain.append(Sum(tuple(replace(e, c=e.c / size) for e in each.edges), each.bias / size))
        scale *= size
    return tuple(plain), scale, shift, keys


def _reading(each: Sum, source: int, scale: float, shift: float) -> Sum:
    """A sum whose edges from `source` read (what was there - shift) / scale."""
    edges = [replace(e, a=e.a * scale, b=e.b + e.a * shift) if e.source == source else e for e in each.edges]
    return Sum(tuple(edges), each.bias)


def rounded(formula: Formula, x: Array, y: Array, free: NDArray[np.bool_]) -> tuple[Formula, dict[int, Exact]]:
    """The formula with free constants at simple numbers wherever the rows (N, F), (N,) allow it, and those numbers by
    their place in `constants`; the others are fitted again.

    A number is taken if the error grows by no more than the Bayesian information criterion allows. It is so short that
    chance alone would not bring one as near.
    """
    free = free.copy()
    formula = fit(formula, x, y, 200, free)
    exact: dict[int, Exact] = {}
    refused: set[tuple[int, Exact]] = set()
    best = _loss(formula, x, y)
    while True:
        choices = _choices(formula, x, y, free, refused)
        if not choices:
            return formula, exact
        _, index, number = choices[0]
        constants, fewer = formula.constants, free.copy()
        constants[index], fewer[index] = number.value, False
        tried = fit(formula.with_constants(constants), x, y, 60, fewer)
        loss = _loss(tried, x, y)
        if loss <= best + math.log(len(x)) + 2:
            formula, free, exact[index] = tried, fewer, number
            best = loss
        else:
            refused.add((index, number))


def _loss(formula: Formula, x: Array, y: Array) -> float:
    with np.errstate(all="ignore"):
        square = float(np.square((formula(x) - y) / (y.std() or 1.0)).mean())
    return len(x) * math.log(square + _FLOOR**2) if math.isfinite(square) else math.inf


def _choices(
    formula: Formula, x: Array, y: Array, free: NDArray[np.bool_], refused: set[tuple[int, Exact]]
) -> list[tuple[float, int, Exact]]:
    """Simple numbers near the free constants: the shortest first."""
    values, slopes = formula.slopes(x)
    scale = float(y.std()) or 1.0
    chosen = np.flatnonzero(free)
    if not np.isfinite(slopes).all() or not len(chosen):
        return []
    j = slopes[:, chosen] / scale
    noise = max(float(np.square((values - y) / scale).mean()), _FLOOR**2)
    size = np.sqrt(np.square(j).sum(0)) + 1e-300
    covariance = np.linalg.pinv((j / size).T @ (j / size), rcond=1e-12)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0) * noise) / size
    found = []
    for index, sigma in zip(chosen.tolist(), spread.tolist(), strict=True):
        value = float(formula.constants[index])
        least = 1e-7 * abs(value)
        width = max(3 * sigma, least)
        zero = Exact(Fraction(0))
        if abs(value) <= 2 * width and (index, zero) not in refused:
            found.append((-1.0, index, zero))
        for number in _near(value, width) if value else ():
            if (index, number) not in refused and 2**number.bits * 2 * max(sigma, least) / abs(value) < _CHANCE:
                found.append((number.bits, index, number))
    return sorted(found, key=lambda each: (each[0], each[1]))


def _near(value: float, width: float) -> Iterator[Exact]:
    numbers, values = _numbers()
    low, high = np.searchsorted(values, [abs(value) - width, abs(value) + width])
    for number in numbers[low : min(high, low + 200)]:
        yield number if value > 0 else Exact(-number.fraction, number.factor)


@cache
def _numbers() -> tuple[list[Exact], Array]:
    """Simple positive numbers, and their values, ascending."""
    fractions = {Fraction(p, q) for q in range(1, _LARGEST + 1) for p in range(1, 101)}
    numbers = [Exact(each, factor) for each in fractions for factor in _FACTORS]
    numbers.sort(key=lambda each: each.value)
    return numbers, np.array([each.value for each in numbers])
