"""What is confirmed as the cells of a table, the same in a terminal and in the report."""

from __future__ import annotations

from collections.abc import Iterable

from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import number
from kansearch.study.seeds import ON_TEST

__all__ = ["cells", "headings"]


def headings(objectives: Iterable[str]) -> list[str]:
    """Trial and seeds, the objectives, those that are measured on images twice: at selection and confirmed; the size
    where it is no objective; the probability of being on the front."""
    return ["trial", "seeds", *(heading for name in _names(objectives) for heading in _headings(name)), "P(front)"]


def cells(row: Confirmed, objectives: Iterable[str]) -> list[str]:
    """A trial's, one under each of `headings`."""
    sure = "-" if row.probability is None else f"{row.probability:.2f}"
    figures = [cell for name in _names(objectives) for cell in _cells(row, name)]
    return [str(row.trial.number), str(len(row.complete)), *figures, sure]


def _names(objectives: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*objectives, "parameters"]))


def _headings(name: str) -> list[str]:
    title = name.replace("_", " ")
    return [f"{title} at selection", f"{title} on test"] if name in ON_TEST else [title]


def _cells(row: Confirmed, name: str) -> list[str]:
    return [number(name, row.trial.values[name]), row.written(name)] if name in ON_TEST else [row.written(name)]
