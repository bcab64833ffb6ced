"""A formula as sympy has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trials.saved.symbolic.constants import Exact
from trials.saved.symbolic.formula import Formula
from trials.saved.symbolic.library import Array

__all__ = ["complexity_of", "expression_of", "symbols_of"]

_SAME = 1e-12
"""Difference of numbers that are the same."""


def symbols_of(names: Sequence[str], rows: Array) -> list[Any]:
    """A symbol for each input; positive where all rows (N, F) are, so that powers and logarithms simplify."""
    import sympy

    return [
        sympy.Symbol(name, real=True, positive=True if (rows[:, i] > 0).all() else None) for i, name in enumerate(names)
    ]


def expression_of(formula: Formula, exact: Mapping[int, Exact], symbols: Sequence[Any]) -> Any:
    """The sympy expression of a formula, its rounded constants exact, the shortest of some forms that sympy finds."""
    import sympy

    place = iter(range(len(formula.constants)))

    def constant(value: float) -> Any:
        number = exact.get(next(place))
        if number is None:
            whole = abs(value - round(value)) < _SAME and abs(value) < 2  # what `canonical` has fixed
            return sympy.Integer(round(value)) if whole else sympy.Float(value, 15)
        return sympy.Rational(number.fraction.numerator, number.fraction.denominator) * sympy.sympify(
            number.factor.replace("^", "**")
        )

    values: list[Any] = list(symbols)
    for layer in formula.layers:
        nodes = []
        for node in layer:
            product = sympy.Integer(1)
            for each in node:
                total = constant(each.bias)
                for edge in each.edges:
                    a, b, c = constant(edge.a), constant(edge.b), constant(edge.c)
                    total += c * edge.function.symbol(a * values[edge.source] + b)
                product *= total
            nodes.append(product)
        values = nodes
    return _shortest(values[0])


def _shortest(expression: Any) -> Any:
    import sympy

    forms = [expression]
    for change in (sympy.powsimp, sympy.factor_terms, sympy.expand, sympy.together):
        forms.append(change(expression))
    forms.append(sympy.powsimp(sympy.expand_log(expression)))
    forms.append(sympy.factor_terms(forms[3]))
    return min(forms, key=complexity_of)


def complexity_of(expression: Any) -> int:
    """Operators, functions, variables and constants of an expression, each one."""
    import sympy

    return sum(1 for _ in sympy.preorder_traversal(expression))
