"""`dataset: table`: what is read of a file once, when a study begins, and its training and test split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trials.config.tables import SplitRowsConfig, TableDataConfig
from trials.data.errors import DataFileError
from trials.data.images import Images
from trials.data.parts import part_indices
from trials.data.shape import DataShape
from trials.data.stratified import train_test_split
from trials.data.tables.columns import RawTable, read_columns
from trials.data.tables.encoding import class_labels, class_names_of, encode, input_names

__all__ = ["described", "read_table", "set_aside", "table_shape"]


def described(config: TableDataConfig, file: Path) -> TableDataConfig:
    """The configuration with what the file says: its inputs, its classes and how many rows its training split has.

    Inputs are those of the part that is trained on, with its categories; classes those of the training split. Raises
    DataFileError, and ValueError where the rows cannot be split.
    """
    table = read_columns(file)
    names = [name for name in table.columns if name not in (*config.target, *config.ignore)]
    table.check((*config.target, *config.ignore, *config.categorical), names)
    if not names:
        raise DataFileError(f"{file}: has no column beside the target")
    labels: tuple[str, ...] = ()
    if not config.regression:
        labels = class_names_of(table, config.target[0], np.arange(len(table)))
    targets = _targets(config, table, labels)
    training, _ = set_aside(targets, config, str(file))
    if labels:
        labels = class_names_of(table, config.target[0], training)
    part, _ = part_indices(targets[training], config, hold_out=True)
    inputs = input_names(table, names, config.categorical, training[part])
    found = {"columns": inputs, "labels": labels, "samples": len(training)}
    return config.model_copy(update=found)


def table_shape(config: TableDataConfig) -> DataShape:
    """The shape of its rows. Raises ValueError where the configuration was not completed by `described`."""
    if not config.columns:
        raise ValueError(
            f"data.columns: the inputs of {config.file} are not known; load the configuration from a file, or complete "
            "it with trials.data.tables.table.described"
        )
    outputs = len(config.target) if config.regression else len(config.labels)
    return DataShape(len(config.columns), (), outputs, regression=config.regression)


def read_table(config: TableDataConfig, file: Path) -> tuple[Images, Images]:
    """The training and the test split of a file, as the configuration describes it. Raises DataFileError."""
    shape = table_shape(config)
    table = read_columns(file)
    targets = _targets(config, table, config.labels)
    training, test = set_aside(targets, config, str(file))
    if config.samples is not None and len(training) != config.samples:
        raise DataFileError(
            f"{file}: has {len(training):,} rows to train with, and had {config.samples:,} when it was described; "
            "begin a new study with the new file"
        )
    rows = encode(table, config.columns)
    assert rows.shape[1] == shape.channels
    return Images(rows[training], targets[training]), Images(rows[test], targets[test])


def _targets(config: TableDataConfig, table: RawTable, labels: tuple[str, ...]) -> NDArray[np.float64 | np.int64]:
    """Numbers (N, outputs), or classes (N,)."""
    if config.regression:
        return np.stack([table.numbers(name) for name in config.target], 1)
    return class_labels(table, config.target[0], labels)


def set_aside(
    targets: NDArray[np.float64 | np.int64], config: SplitRowsConfig, where: str
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows of the training and of the test split, sorted; classes get their shares of both. Raises DataFileError,
    which `where` opens."""
    classes = targets.astype(np.int64) if targets.ndim == 1 else None
    try:
        training, test = train_test_split(
            np.arange(len(targets)), test_size=config.test, random_state=config.test_seed, stratify=classes
        )
    except ValueError as error:
        raise DataFileError(f"{where}: data.test={config.test}: its rows cannot be split: {error}") from error
    return np.sort(training), np.sort(test)
