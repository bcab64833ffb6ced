"""The functions that an edge of a formula may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["LIBRARY", "Array", "Function"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Function:
    """f in c·f(a·x + b) + d."""

    name: str
    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    symbol: Callable[[Any], Any]
    """The sympy expression of f at one."""
    complexity: int
    domain: Literal["all", "positive", "unit"] = "all"
    """Where it is finite: everywhere, above 0, or between -1 and 1."""
    scales: bool = True
    """Whether a says more than its sign; of x² it doesn't, since c says it."""
    shifts: bool = True
    """Whether b says something; of exp it doesn't, since c says it."""


def _power(exponent: float) -> Callable[[Array], Array]:
    def power(u: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(u**exponent)

    return power


def _power_function(name: str, exponent: float, complexity: int) -> Function:
    from fractions import Fraction

    part = Fraction(exponent).limit_denominator(4)

    def symbol(u: Any) -> Any:
        import sympy

        return u ** sympy.Rational(part.numerator, part.denominator)

    whole = part.denominator == 1 and exponent > 0
    slope = _power(exponent - 1)
    return Function(
        name,
        _power(exponent),
        lambda u: exponent * slope(u),
        symbol,
        complexity,
        domain="all" if whole else "positive",
        scales=False,
    )


def _sympy(name: str) -> Callable[[Any], Any]:
    def symbol(u: Any) -> Any:
        import sympy

        return getattr(sympy, name)(u)

    return symbol


_MEMBERS = [
    Function("x", lambda u: u, np.ones_like, lambda u: u, 1, scales=False, shifts=False),
    _power_function("x^2", 2, 2),
    _power_function("x^3", 3, 3),
    _power_function("x^4", 4, 3),
    _power_function("1/x", -1, 2),
    _power_function("1/x^2", -2, 3),
    _power_function("1/x^3", -3, 3),
    _power_function("sqrt", 0.5, 2),
    _power_function("1/sqrt", -0.5, 3),
    Function("log", np.log, lambda u: 1 / u, _sympy("log"), 3, domain="positive", scales=False),
    Function("exp", np.exp, np.exp, _sympy("exp"), 3, shifts=False),
    Function("sin", np.sin, np.cos, _sympy("sin"), 3),
    Function("tanh", np.tanh, lambda u: 1 - np.tanh(u) ** 2, _sympy("tanh"), 4),
    Function("arctan", np.arctan, lambda u: 1 / (1 + u * u), _sympy("atan"), 4),
    Function("arcsin", np.arcsin, lambda u: 1 / np.sqrt(1 - u * u), _sympy("asin"), 4, domain="unit"),
    Function("arctanh", np.arctanh, lambda u: 1 / (1 - u * u), _sympy("atanh"), 4, domain="unit"),
    Function(
        "gaussian", lambda u: np.exp(-u * u), lambda u: -2 * u * np.exp(-u * u), lambda u: _sympy("exp")(-(u**2)), 4
    ),
]

LIBRARY: dict[str, Function] = {each.name: each for each in _MEMBERS}
"""Every function by its name. Cosines are sines that are shifted."""
