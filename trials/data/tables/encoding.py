"""From a table's columns to a network's inputs: numbers as they are, categories one-hot.

An input is named `age`, or `city=Rome`, which is 1 where the city is Rome and else 0. Which inputs there are is decided
by the rows that are trained on alone: a category that occurs nowhere there is 0 in all of its column's inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from trials.data.errors import DataFileError
from trials.data.tables.columns import RawTable, as_numbers

__all__ = ["MOST_CATEGORIES", "class_labels", "encode", "input_columns", "input_names"]

MOST_CATEGORIES = 100
"""Categories of a column, at most: more are an id or free text."""


def input_names(
    table: RawTable, names: Sequence[str], categorical: Sequence[str], rows: NDArray[np.int64]
) -> tuple[str, ...]:
    """The inputs that columns of a table make, as `rows` have them. Raises DataFileError."""
    return tuple(each for name in names for each in _inputs(table, name, name in categorical, rows))


def _inputs(table: RawTable, name: str, named: bool, rows: NDArray[np.int64]) -> Iterator[str]:
    cells = table.cells(name)
    wrong = as_numbers(cells[rows])[1]
    if not named and not len(wrong):
        yield name
        return
    if not named and len(wrong) < len(rows) / 2:
        row = int(rows[wrong[0]])
        raise DataFileError(
            f"{table.place(row, name)}: '{cells[row]}' is not a finite number, as {len(rows) - len(wrong)} others are; "
            "correct it, or list the column under data.categorical if it holds names"
        )
    categories = sorted(set(map(_text, cells[rows].tolist())))
    if len(categories) > MOST_CATEGORIES:
        raise DataFileError(
            f"{table.file}: column '{name}' has {len(categories)} categories, and {MOST_CATEGORIES} is the most; list "
            "it under data.ignore if it is an id or free text"
        )
    for category in categories:
        yield f"{name}={category}"


def encode(table: RawTable, inputs: Sequence[str]) -> NDArray[np.float64]:
    """The rows of a table as a network takes them: (N, F). Raises DataFileError."""
    encoded = np.zeros((len(table), len(inputs)))
    texts: dict[str, NDArray[np.str_]] = {}
    for index, each in enumerate(inputs):
        name, is_category, category = each.partition("=")
        if not is_category:
            encoded[:, index] = table.numbers(name)
            continue
        if name not in texts:
            texts[name] = np.array([_text(cell) for cell in table.cells(name).tolist()], np.str_)
        encoded[:, index] = texts[name] == category
    return encoded


def input_columns(inputs: Sequence[str]) -> list[str]:
    """The columns of a table that inputs are made from, each once."""
    return list(dict.fromkeys(each.partition("=")[0] for each in inputs))


def class_labels(table: RawTable, name: str, labels: Sequence[str]) -> NDArray[np.int64]:
    """The number of each row's class among `labels`, (N,). Raises DataFileError for another class."""
    cells = table.cells(name)
    numbers = {label: number for number, label in enumerate(labels)}
    found = np.array([numbers.get(_text(cell), -1) for cell in cells.tolist()], np.int64)
    if len(other := np.flatnonzero(found < 0)):
        row = int(other[0])
        raise DataFileError(
            f"{table.place(row, name)}: class '{_text(cells[row])}' is none of the training split's: "
            f"{', '.join(labels[:12])}"
        )
    return found


def class_names_of(table: RawTable, name: str, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """The classes that occur in `rows`: numbers in their order, else text in its own. Raises DataFileError."""
    cells = table.cells(name)
    found = set(map(_text, cells[rows].tolist()))
    numeric = not len(as_numbers(np.array(sorted(found), np.str_))[1])
    if len(found) > MOST_CATEGORIES:
        raise DataFileError(
            f"{table.file}: target '{name}' has {len(found)} classes, and {MOST_CATEGORIES} is the most; for numbers "
            "write task: regression"
        )
    if len(found) < 2:
        raise DataFileError(f"{table.file}: target '{name}' has one class alone: {next(iter(found))}")
    return tuple(sorted(found, key=float) if numeric else sorted(found))


def _text(cell: object) -> str:
    """A category's name: text, or a number without a fraction that is 0."""
    if isinstance(cell, float):
        return f"{cell:.15g}"
    return str(cell)
