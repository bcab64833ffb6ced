"""`predict` for tables: a CSV in, the same CSV with its predictions out."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError
from trials.files import write_whole

if TYPE_CHECKING:
    from trials.data.tables.given import GivenRows
    from trials.saved import Predictor

__all__ = ["PredictedRows", "predict_rows", "takes_rows"]


@dataclass(frozen=True)
class PredictedRows:
    """The rows of some files, with what a model says of each."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str]
    """Remarks for the user, a line each."""

    def text(self) -> str:
        """A CSV file."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return out.getvalue()

    def document(self) -> list[dict[str, Any]]:
        """A JSON object for each row."""
        return [dict(zip(self.header, row, strict=True)) for row in self.rows]

    def write(self, path: Path) -> None:
        """Write the CSV file. Raises KansearchError."""
        try:
            write_whole(path, self.text())
        except OSError as error:
            raise KansearchError(f"cannot write {path}: {error.strerror or error}") from error


def takes_rows(folder: Path) -> bool:
    """Whether the model in a folder takes rows of numbers. Raises KansearchError where there is no model."""
    from trials.config import RowsConfig
    from trials.saved import ModelError, read_config

    try:
        return isinstance(read_config(folder).data, RowsConfig)
    except ModelError as error:
        raise KansearchError(str(error)) from error


def predict_rows(folder: Path, inputs: Sequence[Path], *, batch: int = 512) -> PredictedRows:
    """Predict each row of the files with the model in `folder`.

    Behind the file's own columns stands `predicted_TARGET`, and of classes `probability`.

    Args:
        folder: of `kansearch retrain`, or one seed's in it.
        inputs: .csv, .parquet or .npz files with the columns that the model was trained on, all with the same columns.
        batch: rows at once.

    Raises:
        InputError: a file lacks a column or a value, or is damaged. KansearchError: the model is missing or damaged.
    """
    from trials.data.errors import DataError
    from trials.data.tables.given import read_rows
    from trials.saved import ModelError, Predictor

    try:
        predictor = Predictor(folder)
        given = [read_rows(path, predictor.config.data) for path in inputs]
    except ModelError as error:
        raise KansearchError(str(error)) from error
    except DataError as error:
        raise InputError(str(error)) from error
    header = list(given[0].table.columns)
    for path, each in zip(inputs, given, strict=True):
        if list(each.table.columns) != header:
            raise InputError(f"{path}: has other columns than {inputs[0]}; predict them one by one")
    added = _added(predictor)
    pairs = [pair for each in given for pair in zip(_own(each), _said(each, predictor, batch), strict=True)]
    rows = [[*own, *said] for own, said in pairs]
    notes = [
        f"{each.table.file}: column '{name}' has categories that the training had not; they count as none of its own"
        for each in given
        for name in each.unknown
    ]
    return PredictedRows([*header, *added], rows, notes)


def _added(predictor: Predictor) -> list[str]:
    if predictor.shape.regression:
        return [f"predicted_{name}" for name in predictor.classes]
    target = getattr(predictor.config.data, "target", ("class",))[0]
    return [f"predicted_{target}", "probability"]


def _own(given: GivenRows) -> list[tuple[Any, ...]]:
    return list(zip(*(column.tolist() for column in given.table.columns.values()), strict=True))


def _said(given: GivenRows, predictor: Predictor, batch: int) -> list[list[Any]]:
    rows: list[list[Any]] = []
    for start in range(0, len(given.inputs), batch):
        part = given.inputs[start : start + batch]
        if predictor.shape.regression:
            rows += predictor.numbers(part).tolist()
        else:
            for chances in predictor.probabilities(part):
                best = int(chances.argmax())
                rows.append([predictor.classes[best], round(float(chances[best]), 6)])
    return rows
