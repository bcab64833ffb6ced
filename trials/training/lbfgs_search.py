"""A line search for the strong Wolfe conditions, on the host: numbers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

__all__ = ["Point", "strong_wolfe"]

_DECREASE = 1e-4
"""c₁: f(t) <= f(0) + c₁·t·f'(0)."""
_CURVATURE = 0.9
"""c₂: |f'(t)| <= c₂·|f'(0)|."""
_SMALLEST = 1e-9
"""Change of a parameter below which a bracket is not divided further."""


@dataclass(frozen=True)
class Point:
    """A point x + t·d of a line search."""

    t: float
    loss: float
    slope: float
    """gᵀd."""
    largest: float
    """max |g|."""
    gradient: Tensor
    """g, (n,): the buffer that the next evaluation overwrites, or a copy."""

    def copied(self) -> Point:
        """The same point, which outlives the next evaluation."""
        return replace(self, gradient=self.gradient.clone())


def strong_wolfe(
    evaluate: Callable[[float], Point], start: Point, t: float, longest: float, most: int
) -> tuple[Point, int]:
    """The point that a line search accepts, and how many times it called `evaluate(t)`: 1 to `most` + 1 times.

    start: the point at 0, whose gradient no evaluation overwrites. t: the first length tried. longest: max |d|. The
    rules and their constants are those of `torch.optim.LBFGS`, in float64: Nocedal and Wright, Numerical Optimization
    (2006), algorithms 3.5 and 3.6, and minFunc's cubic steps.
    """
    before, point = start, evaluate(t)
    for tried in range(most):
        if point.loss > _line(start, point.t) or (tried > 1 and point.loss >= before.loss):
            return _zoom(evaluate, start, [before, point.copied()], longest, tried + 1, most)
        if _flat(start, point):
            return point, tried + 1
        if point.slope >= 0:
            return _zoom(evaluate, start, [before, point.copied()], longest, tried + 1, most)
        t = _cubic(before, point, (point.t + 0.01 * (point.t - before.t), 10 * point.t))
        before, point = point.copied(), evaluate(t)
    return (start if start.loss <= point.loss else point), most + 1


def _zoom(
    evaluate: Callable[[float], Point], start: Point, bracket: list[Point], longest: float, done: int, most: int
) -> tuple[Point, int]:
    """Divide a bracket until one of its points meets the conditions, and give the lower one."""
    low = _lower(bracket)
    stuck = False
    while done <= most and not abs(bracket[1].t - bracket[0].t) * longest < _SMALLEST:
        t, stuck = _inside(bracket, _cubic(bracket[0], bracket[1]), stuck)
        point = evaluate(t)
        done += 1
        if point.loss > _line(start, t) or point.loss >= bracket[low].loss:
            bracket[1 - low] = point.copied()
            low = _lower(bracket)
            continue
        if _flat(start, point):
            return point, done
        if point.slope * (bracket[1 - low].t - bracket[low].t) >= 0:
            bracket[1 - low] = bracket[low]
        bracket[low] = point.copied()
    return bracket[low], done


def _line(start: Point, t: float) -> float:
    """The loss below which a step of length t decreases it enough."""
    return start.loss + _DECREASE * t * start.slope


def _flat(start: Point, point: Point) -> bool:
    return abs(point.slope) <= -_CURVATURE * start.slope


def _lower(bracket: list[Point]) -> int:
    return 0 if bracket[0].loss <= bracket[1].loss else 1


def _inside(bracket: list[Point], t: float, stuck: bool) -> tuple[float, bool]:
    """t, or a tenth of the bracket from its nearer end, where t is that near twice or not inside; whether t is near."""
    first, last = sorted(point.t for point in bracket)
    margin = 0.1 * (last - first)
    if not min(last - t, t - first) < margin:
        return t, False
    if stuck or t >= last or t <= first:
        return (last - margin if abs(t - last) < abs(t - first) else first + margin), False
    return t, True


def _cubic(a: Point, b: Point, bounds: tuple[float, float] | None = None) -> float:
    """The minimum of the cubic through two points with their slopes, cut to the bounds; their middle where it has none.

    bounds: without them, the two points. Nocedal and Wright (2006), equation 3.59.
    """
    a, b = (a, b) if a.t <= b.t else (b, a)
    low, high = bounds or (a.t, b.t)
    d1 = a.slope + b.slope - 3 * _ratio(a.loss - b.loss, a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    t = b.t - (b.t - a.t) * _ratio(b.slope + d2 - d1, b.slope - a.slope + 2 * d2)
    return min(max(t, low), high)


def _ratio(a: float, b: float) -> float:
    """a / b as floating-point hardware has it: infinite, or no number, where b is 0."""
    return a / b if b else a * math.copysign(math.inf, b)
