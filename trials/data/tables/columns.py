"""The columns of a table's file, as they stand in it: CSV, Parquet or .npz. Errors name file, line and column."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.data.errors import DataFileError

__all__ = ["Cells", "RawTable", "as_numbers", "plain_cells", "read_columns"]

Cells = NDArray[Any]
"""A column: text (N,), or numbers (N,), float64."""
_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_SEPARATORS = ",;\t"
_SHOWN = 40


@dataclass(frozen=True)
class RawTable:
    """Columns by name, all of one length."""

    file: Path
    columns: Mapping[str, Cells]
    lines: Sequence[int] | None
    """The line of each row in a text file, from 1; None: rows have numbers alone."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def check(self, named: Sequence[str], needed: Sequence[str]) -> None:
        """Raises DataFileError where a column that is named is not there, or one that is needed is not complete."""
        for name in named:
            if name not in self.columns:
                shown = ", ".join(list(self.columns)[:12])
                line = ":1" if self.lines is not None else ""
                raise DataFileError(f"{self.file}{line}: has no column '{name}'; its columns are {shown}")
        for name in needed:
            self.cells(name)

    def cells(self, name: str) -> Cells:
        """A column, complete. Raises DataFileError where there is none, or where a value is missing."""
        self.check([name], [])
        cells = self.columns[name]
        missing = np.flatnonzero(_missing(cells))
        if len(missing):
            more = f" ({len(missing)} of {len(cells)} rows lack it)" if len(missing) > 1 else ""
            raise DataFileError(
                f"{self.place(int(missing[0]), name)} is missing{more}; fill it in, remove such rows, or list the "
                "column under data.ignore"
            )
        return cells

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of finite numbers (N,). Raises DataFileError, which names the first cell that is none."""
        cells = self.cells(name)
        numbers, wrong = as_numbers(cells)
        if len(wrong):
            shown = str(cells[wrong[0]])[:_SHOWN]
            raise DataFileError(f"{self.place(int(wrong[0]), name)}: '{shown}' is not a finite number")
        return numbers

    def place(self, row: int, name: str) -> str:
        """Where a cell stands."""
        if self.lines is not None:
            return f"{self.file}:{self.lines[row]}: column '{name}'"
        return f"{self.file}: row {row + 1}, column '{name}'"


def as_numbers(cells: Cells) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The cells as numbers, NaN where one is no finite number, and the rows of those."""
    if cells.dtype.kind != "U":
        numbers = cells.astype(np.float64)
    else:
        try:
            numbers = cells.astype(np.float64)
        except ValueError:
            numbers = np.array([_number(cell) for cell in cells.tolist()], np.float64)
    wrong = np.flatnonzero(~np.isfinite(numbers))
    return np.where(np.isfinite(numbers), numbers, np.nan), wrong


def read_columns(file: Path) -> RawTable:
    """The columns of a .csv (or .tsv, .txt), .parquet or .npz file. Raises DataFileError, which names it."""
    kinds = {".npz": _arrays, ".parquet": _parquet, ".pq": _parquet}
    try:
        table = kinds[file.suffix.lower()](file) if file.suffix.lower() in kinds else _text(file)
    except OSError as error:
        raise DataFileError(f"{file}: cannot be read: {error.strerror or error}") from error
    if not len(table):
        raise DataFileError(f"{file}: has no rows")
    for name in table.columns:
        if "=" in name or not name.strip():
            raise DataFileError(f"{file}:1: a column is named '{name}'; give it a name without '='")
    return table


def _text(file: Path) -> RawTable:
    """A header, and a line for each row, its cells separated by what the header has most of: comma, semicolon, tab."""
    with file.open(encoding="utf-8-sig", newline="") as opened:
        try:
            start = opened.readline()
            separator = max(_SEPARATORS, key=start.count)
            opened.seek(0)
            rows = list(_rows(file, csv.reader(opened, delimiter=separator, skipinitialspace=True, strict=True)))
        except UnicodeDecodeError as error:
            raise DataFileError(f"{file}: not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if not rows:
        raise DataFileError(f"{file}: is empty; a header with the columns' names is needed")
    (_, header), *rest = rows
    header = [name.strip() for name in header]
    if twice := [name for index, name in enumerate(header) if name in header[:index]]:
        raise DataFileError(f"{file}:1: column '{twice[0]}' is there twice")
    for line, row in rest:
        if len(row) != len(header):
            raise DataFileError(f"{file}:{line}: {len(row)} cells where the header has {len(header)} columns")
    columns = zip(*(row for _, row in rest), strict=True) if rest else [()] * len(header)
    cells = {name: np.char.strip(np.array(column, np.str_)) for name, column in zip(header, columns, strict=True)}
    return RawTable(file, cells, [line for line, _ in rest])


def _rows(file: Path, reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with the line it begins on."""
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begins, row
            begins = reader.line_num + 1
    except csv.Error as error:
        raise DataFileError(f"{file}:{begins}: not a row of a CSV file: {error}") from error


def _parquet(file: Path) -> RawTable:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file)
    except (pyarrow.ArrowException, ValueError) as error:
        raise DataFileError(f"{file}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    columns = {name: plain_cells(table.column(name).to_pylist(), file, name) for name in table.column_names}
    return RawTable(file, columns, None)


def _arrays(file: Path) -> RawTable:
    """An array (N,) for each column; one (N, K) has K columns, its name with 0 to K - 1 behind it."""
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{file}: not a readable .npz file of plain arrays: {error}") from error
    columns: dict[str, Cells] = {}
    for name, array in arrays.items():
        if array.ndim not in (1, 2):
            raise DataFileError(f"{file}: array '{name}' is {array.shape}; (N,) or (N, K) is needed")
        parts = {name: array} if array.ndim == 1 else {f"{name}{k}": array[:, k] for k in range(array.shape[1])}
        columns |= {each: plain_cells(part.tolist(), file, each) for each, part in parts.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise DataFileError(f"{file}: its arrays are not of one length")
    return RawTable(file, columns, None)


def plain_cells(values: list[Any], file: Path, name: str) -> Cells:
    """A column of a typed file: numbers, or text; None, and text of nothing, is missing."""
    if all((isinstance(value, (int, float)) and not isinstance(value, bool)) or value is None for value in values):
        return np.array([np.nan if value is None else value for value in values], np.float64)
    if any(isinstance(value, (list, dict, bytes)) for value in values):
        raise DataFileError(f"{file}: column '{name}' holds {type(values[0]).__name__}s; numbers or text are needed")
    return np.array(["" if value is None else str(value) for value in values], np.str_)


def _missing(cells: Cells) -> NDArray[np.bool_]:
    if cells.dtype.kind != "U":
        return np.isnan(cells.astype(np.float64))
    return np.isin(np.char.lower(cells), list(_MISSING))


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
