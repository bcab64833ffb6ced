"""The curve of a trial, its epochs' measurements in their order, as attributes of its Optuna trial.

    curve       the first 8 epochs
    curve:8     the next 8, and so on

A report rewrites the block in which the curve ends, at most 8 epochs, however long the curve is. A block replaces what
an earlier one says from its place on: so a study is read, and goes on, whose `curve` was one block of any length.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["blocks", "read_curve"]

_NAME = "curve"
_BLOCK = 8
"""Epochs of a block: some 3 kB of JSON, which fit into one page of SQLite (4,096 B)."""

Epoch = Mapping[str, Any]


def read_curve(attributes: Mapping[str, Any]) -> Sequence[Epoch]:
    """Return the curve that the attributes of a trial hold."""
    starts = sorted(int(name.removeprefix(f"{_NAME}:")) for name in attributes if name.startswith(f"{_NAME}:"))
    first: Sequence[Epoch] = attributes.get(_NAME, ())
    if not starts:
        return first
    curve = list(first)
    for start in starts:
        curve[start:] = attributes[_key(start)]
    return curve


def blocks(curve: Sequence[Epoch], known: int) -> dict[str, Sequence[Epoch]]:
    """Return the attributes to write for a curve whose first `known` epochs are written."""
    first = known - known % _BLOCK
    return {_key(start): list(curve[start : start + _BLOCK]) for start in range(first, len(curve), _BLOCK)}


def _key(start: int) -> str:
    return f"{_NAME}:{start}" if start else _NAME
