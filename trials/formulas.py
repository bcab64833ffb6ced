"""Formulas as text: a small grammar of arithmetic, checked before anything is computed. Loads no torch.

    formula = Formula("exp(sin(pi * x) + y^2)")
    formula.names                                  # ("x", "y")
    formula({"x": numpy.zeros(3), "y": numpy.ones(3)})

Numbers, names, pi, the operators + - * / ** (or ^), brackets and `FUNCTIONS`: nothing else is a formula. Text is parsed
by Python's own parser, and its tree is walked by functions of this module: no text is ever run as code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["FUNCTIONS", "Formula", "FormulaError"]

FUNCTIONS = {
    **{name: name for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh")},
    **{name: name for name in ("exp", "log", "sqrt", "abs")},
    "ln": "log",
}
"""The functions of one argument that a formula may call, each with numpy's name of it."""
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide", ast.Pow: "power"
}  # fmt: skip
_CONSTANTS = {"pi": 3.141592653589793}
_LONGEST, _DEEPEST = 2000, 60


class FormulaError(ValueError):
    """A text is no formula; the message names the column, from 1, and what stands there."""


class Formula:
    """A checked formula. Raises FormulaError."""

    def __init__(self, text: str) -> None:
        self.text = text
        python = text.replace("^", "**").strip()
        if len(text) > _LONGEST:
            raise FormulaError(f"{len(text)} characters; at most {_LONGEST} are allowed")
        try:
            self._root = ast.parse(python, mode="eval").body
        except SyntaxError as error:
            raise FormulaError(f"column {error.offset or 1}: not a formula: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise FormulaError(f"not a formula: {error}") from None
        self.names = tuple(dict.fromkeys(_checked(self._root, 0)))

    def __call__(self, values: Mapping[str, Any]) -> Any:
        """The value for arrays (N,) by name, float64; not finite where the formula is not. Raises KeyError."""
        import numpy as np

        with np.errstate(all="ignore"):
            return _value(self._root, values, np)


def _checked(node: ast.AST, depth: int) -> Iterator[str]:
    """Yield the names of variables below a node. Raises FormulaError for whatever is not of the grammar."""
    if depth > _DEEPEST:
        raise FormulaError(f"nested more than {_DEEPEST} deep")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return
    if isinstance(node, ast.Name):
        if node.id in FUNCTIONS:
            raise FormulaError(f"column {node.col_offset + 1}: {node.id} is a function; write {node.id}(...)")
        if node.id not in _CONSTANTS:
            yield node.id
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        yield from _checked(node.operand, depth + 1)
    elif isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        yield from _checked(node.left, depth + 1)
        yield from _checked(node.right, depth + 1)
    elif isinstance(node, ast.Call):
        yield from _checked(_argument(node), depth + 1)
    else:
        raise FormulaError(
            f"column {getattr(node, 'col_offset', 0) + 1}: numbers, names, pi, + - * / ** and "
            f"{', '.join(FUNCTIONS)} are what a formula has"
        )


def _argument(node: ast.Call) -> ast.expr:
    """The one argument of a call of a known function."""
    place = f"column {node.col_offset + 1}"
    if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
        named = f"{node.func.id} is" if isinstance(node.func, ast.Name) else "that is"
        raise FormulaError(f"{place}: {named} no function here; known are {', '.join(FUNCTIONS)}")
    if len(node.args) != 1 or node.keywords or isinstance(node.args[0], ast.Starred):
        raise FormulaError(f"{place}: {node.func.id} takes one argument")
    return node.args[0]


def _value(node: ast.AST, values: Mapping[str, Any], np: Any) -> Any:
    if isinstance(node, ast.Constant):
        return np.float64(node.value)
    if isinstance(node, ast.Name):
        return _CONSTANTS[node.id] if node.id in _CONSTANTS else values[node.id]
    if isinstance(node, ast.UnaryOp):
        operand = _value(node.operand, values, np)
        return -operand if isinstance(node.op, ast.USub) else operand
    if isinstance(node, ast.BinOp):
        function: Callable[[Any, Any], Any] = getattr(np, _OPERATORS[type(node.op)])
        return function(_value(node.left, values, np), _value(node.right, values, np))
    assert isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return getattr(np, FUNCTIONS[node.func.id])(_value(node.args[0], values, np))
