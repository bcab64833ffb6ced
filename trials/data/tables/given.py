"""Rows that are given to a trained model, in the kinds of file that a table may be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.config import DataConfig
from trials.data.names import feature_names
from trials.data.tables.columns import RawTable, plain_cells, read_columns
from trials.data.tables.encoding import encode, input_columns

__all__ = ["GivenRows", "read_rows", "rows_of"]


@dataclass(frozen=True)
class GivenRows:
    """A file's rows: as they stand in it, and as the network takes them, (N, F)."""

    table: RawTable
    inputs: NDArray[np.float64]
    unknown: tuple[str, ...]
    """Columns with a category that no row of the training had: their inputs are all 0 there."""


def read_rows(file: Path, config: DataConfig) -> GivenRows:
    """The rows of a file for a model that was trained on the data of `config`; its target need not be there.

    Raises DataFileError, which names file, line and column.
    """
    return _given(read_columns(file), config)


def rows_of(columns: Mapping[str, Iterable[Any]], config: DataConfig) -> GivenRows:
    """The same of columns by name, such as a pandas DataFrame. Raises DataFileError."""
    name = Path(type(columns).__name__)
    cells = {str(key): plain_cells(list(columns[key]), name, str(key)) for key in columns}
    return _given(RawTable(name, cells, None), config)


def _given(table: RawTable, config: DataConfig) -> GivenRows:
    features = feature_names(config)
    assert features is not None
    table.check(input_columns(features), input_columns(features))
    inputs = encode(table, features)
    unknown = []
    for name in input_columns(features):
        own = [index for index, each in enumerate(features) if each.startswith(f"{name}=")]
        if own and (inputs[:, own].sum(1) == 0).any():
            unknown.append(name)
    return GivenRows(table, inputs, tuple(unknown))
