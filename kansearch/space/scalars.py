"""The meaning of a plain YAML word here: numbers are numbers, and only true and false are booleans.

PyYAML's own rules (YAML 1.1) read `1e-3` as text, `012` as ten, `1:30` as ninety and `on` as true.
"""

from __future__ import annotations

import re

from kansearch.space.distributions import Scalar

__all__ = ["LARGEST_INTEGER", "read_scalar"]

LARGEST_INTEGER = 2**63 - 1

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys((".inf", "+.inf", ".Inf", "+.Inf"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN"), float("nan")),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)", re.ASCII)
_LEADING_ZERO = re.compile(r"([-+]?)0+_?([0-9][0-9_]*)", re.ASCII)
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*(_[0-9]+)*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)


def read_scalar(text: str) -> Scalar:
    """The value of an unquoted word. Raises ValueError, with the way out, for one that could be misread."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if match := _LEADING_ZERO.fullmatch(text):
        sign, digits = match.groups()
        raise ValueError(f"a leading zero is ambiguous; write {sign}{digits} for a number, '{text}' in quotes for text")
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _integer(text: str) -> int:
    if len(text) > 30 or abs(value := int(text)) > LARGEST_INTEGER:
        raise ValueError(f"integer too large; at most {LARGEST_INTEGER}")
    return value
