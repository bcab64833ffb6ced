"""A formula that has the shape of a network: sums of c·f(a·x + b), and products of two such sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trials.saved.symbolic.library import LIBRARY, Array, Function

__all__ = ["Edge", "Formula", "Node", "Place", "Sum", "fit", "relative_error"]

_FAR = 1e3
"""The residual, in standard deviations of the target, where a formula has no value."""
Place = tuple[int, int, int, int]
"""An edge: its layer, its node there, its sum in a product, its place in the sum."""


@dataclass(frozen=True)
class Edge:
    """c·f(a·x + b), where x is the value of a node of the layer before, or an input."""

    source: int
    name: str
    a: float
    b: float
    c: float

    @property
    def function(self) -> Function:
        return LIBRARY[self.name]


@dataclass(frozen=True)
class Sum:
    edges: tuple[Edge, ...]
    bias: float


Node = tuple[Sum, ...]
"""A sum, or the two factors of a product."""


@dataclass(frozen=True)
class Formula:
    """Layers of nodes; the last has one node of one sum."""

    layers: tuple[tuple[Node, ...], ...]

    def places(self) -> Iterator[tuple[Place, Edge]]:
        for i, layer in enumerate(self.layers):
            for j, node in enumerate(layer):
                for k, each in enumerate(node):
                    for m, edge in enumerate(each.edges):
                        yield (i, j, k, m), edge

    def sums(self) -> Iterator[Sum]:
        for layer in self.layers:
            for node in layer:
                yield from node

    @property
    def constants(self) -> Array:
        """For each sum its bias, and a, b, c of its edges."""
        return np.array(
            [v for each in self.sums() for v in (each.bias, *(w for e in each.edges for w in (e.a, e.b, e.c)))]
        )

    def with_constants(self, constants: Sequence[float] | Array) -> Formula:
        given = iter([float(each) for each in constants])

        def of_sum(each: Sum) -> Sum:
            bias = next(given)
            return Sum(tuple(replace(e, a=next(given), b=next(given), c=next(given)) for e in each.edges), bias)

        return Formula(tuple(tuple(tuple(of_sum(each) for each in node) for node in layer) for layer in self.layers))

    def changed(self, place: Place, edge: Edge | None, bias: float = 0.0) -> Formula:
        """The formula with another edge in a place, or none, and something added to its sum's bias."""
        i, j, k, m = place
        old = self.layers[i][j][k]
        edges = [*old.edges[:m], *([edge] if edge else []), *old.edges[m + 1 :]]
        node = list(self.layers[i][j])
        node[k] = Sum(tuple(edges), old.bias + bias)
        layer = list(self.layers[i])
        layer[j] = tuple(node)
        return Formula((*self.layers[:i], tuple(layer), *self.layers[i + 1 :]))

    @property
    def complexity(self) -> int:
        """One for each sum and product, and each edge's function's."""
        return sum(edge.function.complexity for _, edge in self.places()) + sum(1 for _ in self.sums())

    def nodes(self, x: Array) -> list[list[Array]]:
        """The values (N,) of each node of each layer, the inputs' first; not finite where a function is not."""
        with np.errstate(all="ignore"):
            values = [list(x.T)]
            for layer in self.layers:
                values.append([self._node(node, values[-1]) for node in layer])
        return values

    @staticmethod
    def _node(node: Node, before: Sequence[Array]) -> Array:
        value: Array | float = 1.0
        for each in node:
            total: Array = np.full(len(before[0]), each.bias)
            for edge in each.edges:
                total = total + edge.c * edge.function.value(edge.a * before[edge.source] + edge.b)
            value = value * total
        return np.asarray(value)

    def __call__(self, x: Array) -> Array:
        """(N, F) -> (N,)"""
        return self.nodes(x)[-1][0]

    def slopes(self, x: Array) -> tuple[Array, Array]:
        """Values (N,), and their derivatives by each of `constants`, (N, P)."""
        with np.errstate(all="ignore"):
            values = self.nodes(x)
            columns: list[list[Array]] = []
            above = [np.ones(len(x))]
            for i in reversed(range(len(self.layers))):
                before = values[i]
                below = [np.zeros(len(x)) for _ in before]
                own: list[Array] = []
                for node, grad in zip(self.layers[i], above, strict=True):
                    factors = [self._node((each,), before) for each in node]
                    for k, each in enumerate(node):
                        through = grad * factors[1 - k] if len(node) == 2 else grad
                        own.append(through)
                        for edge in each.edges:
                            x_in = before[edge.source]
                            u = edge.a * x_in + edge.b
                            steep = through * edge.c * edge.function.slope(u)
                            own += [steep * x_in, steep, through * edge.function.value(u)]
                            below[edge.source] = below[edge.source] + steep * edge.a
                columns.append(own)
                above = below
            return values[-1][0], np.stack([each for own in reversed(columns) for each in own], 1)


def fit(formula: Formula, x: Array, y: Array, steps: int = 100, free: NDArray[np.bool_] | None = None) -> Formula:
    """The formula with the constants of least squares, as far as `steps` evaluations get (Levenberg-Marquardt).

    free: which of `constants` may change; None: all.
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    constants, scale = formula.constants, float(y.std()) or 1.0
    chosen = np.ones(len(constants), bool) if free is None else free
    if not chosen.any() or chosen.sum() > len(x):
        return formula

    def put(part: Array) -> Formula:
        constants[chosen] = part
        return formula.with_constants(constants)

    def residual(part: Array) -> Array:
        with np.errstate(all="ignore"):
            off = (put(part)(x) - y) / scale
        return np.clip(np.where(np.isfinite(off), off, _FAR), -_FAR, _FAR)

    def jacobian(part: Array) -> Array:
        with np.errstate(all="ignore"):
            slopes = put(part).slopes(x)[1][:, chosen] / scale
        return np.clip(np.where(np.isfinite(slopes), slopes, 0.0), -1e12, 1e12)

    start = constants[chosen].copy()
    found = least_squares(
        residual, start, jacobian, method="lm", x_scale="jac", max_nfev=steps, ftol=1e-14, xtol=1e-14, gtol=1e-14
    )
    before = float(np.square(residual(start)).sum())
    return put(found.x if 2 * found.cost <= before else start)


def relative_error(formula: Callable[[Array], Array], x: Array, y: Array, scale: float) -> float:
    """√ mean ((ŷ - y) / scale)²; infinite where a value is not finite."""
    off = (formula(x) - y) / scale
    return float(np.sqrt(np.square(off).mean())) if np.isfinite(off).all() else float("inf")
