"""The data sets by name: `DATASETS`, and what a configuration makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.config import (
    DataConfig,
    EMNISTDataConfig,
    FunctionDataConfig,
    KnownTableConfig,
    RowsConfig,
    TableDataConfig,
)
from trials.data.arrays import header, read_arrays
from trials.data.cifar import read_cifar, read_svhn
from trials.data.errors import DataMissingError
from trials.data.files import locate
from trials.data.folders import (
    count_folder,
    count_segmentation,
    read_folder,
    read_segmentation,
    read_tiny_imagenet,
)
from trials.data.functions import read_function
from trials.data.images import Images
from trials.data.mnist import EMNIST, read_digits, read_emnist, read_mnist
from trials.data.shape import DataShape
from trials.data.synthetic import read_synthetic
from trials.data.tables.generated import function_shape, read_function_values
from trials.data.tables.known import KNOWN, known_shape, read_known, training_rows
from trials.data.tables.table import read_table, table_shape

__all__ = [
    "DATASETS",
    "Dataset",
    "Images",
    "check_files",
    "data_folder",
    "data_shape",
    "known_images",
    "read",
    "training_images",
    "value_bytes",
]


@dataclass(frozen=True)
class Dataset:
    """A data set: what is known of it without its files, and how to read its (training, test) splits from a folder.

    All three are given its configuration, and the folder that holds its files: None where it needs none.
    """

    shape: Callable[[Any], DataShape]
    read: Callable[[Any, Any], tuple[Images, Images]]
    samples: int | None = None
    """Training samples; None where the configuration or the files say it."""
    count: Callable[[Path], int] | None = None
    """Counts the training samples in a folder."""


def _known(shape: DataShape, samples: int, read: Callable[[Any], tuple[Images, Images]]) -> Dataset:
    return Dataset(lambda config: shape, lambda config, folder: read(folder), samples)


def _square(config: Any) -> DataShape:
    return DataShape(config.channels, (config.image_size, config.image_size), config.classes)


def _masks(config: Any) -> DataShape:
    return DataShape(config.channels, (config.image_size, config.image_size), config.classes, dense=True)


def _stated(config: Any) -> DataShape:
    return DataShape(config.channels, config.size, config.classes, config.dense)


_MNIST = _known(DataShape(1, (28, 28), 10), 60_000, read_mnist)
_KNOWN_TABLE = Dataset(known_shape, lambda config, folder: read_known(config))
_VALUES = Dataset(function_shape, lambda config, folder: read_function_values(config))
_FOLDER = Dataset(_square, read_folder, count=count_folder)
DATASETS: dict[str, Dataset] = {
    "digits": _known(DataShape(1, (8, 8), 10), 1_437, lambda folder: read_digits()),
    "mnist": _MNIST,
    "fashion_mnist": _MNIST,
    "kmnist": _MNIST,
    "emnist": Dataset(lambda config: DataShape(1, (28, 28), EMNIST[config.split][0]), read_emnist),
    "svhn": _known(DataShape(3, (32, 32), 10), 73_257, read_svhn),
    "cifar10": _known(DataShape(3, (32, 32), 10), 50_000, lambda folder: read_cifar("cifar10", folder)),
    "cifar100": _known(DataShape(3, (32, 32), 100), 50_000, lambda folder: read_cifar("cifar100", folder)),
    "tiny_imagenet": _known(DataShape(3, (64, 64), 200), 100_000, read_tiny_imagenet),
    "imagefolder": _FOLDER,
    "imagenet": _FOLDER,
    "segmentation": Dataset(_masks, read_segmentation, count=count_segmentation),
    "arrays": Dataset(
        _stated,
        lambda config, folder: read_arrays(config, _stated(config), folder),
        count=lambda folder: header(folder / "train.npz")[0][0],
    ),
    "synthetic": Dataset(_stated, lambda config, folder: read_synthetic(config)),
    "function": Dataset(_stated, lambda config, folder: read_function(config, _stated(config), folder)),
    "table": Dataset(table_shape, read_table),
    **dict.fromkeys(KNOWN, _KNOWN_TABLE),
    **dict.fromkeys(("special", "feynman", "formula"), _VALUES),
}


def data_shape(config: DataConfig) -> DataShape:
    """The shape of the samples, without looking at the files."""
    return DATASETS[config.dataset].shape(config)


def read(config: DataConfig, folder: Path | None) -> tuple[Images, Images]:
    """The training and the test split, from the folder that `locate` found. Raises DataError."""
    return DATASETS[config.dataset].read(config, folder)


def data_folder(config: DataConfig, data_dir: Path | None) -> Path | None:
    """Where the files are, by `locate`, which may download them; a table's file itself; what a function is given is the
    folder named."""
    return data_dir if isinstance(config, FunctionDataConfig) else locate(config.source, data_dir)


def check_files(config: DataConfig, data_dir: Path | None) -> None:
    """Raises DataError where the files are missing, or, of a data set that the configuration describes, are not what it
    says. They are read for that, and image files decoded, which the trials then find done."""
    folder = data_folder(config, data_dir)
    if DATASETS[config.dataset].count is not None or isinstance(config, (FunctionDataConfig, TableDataConfig)):
        read(config, folder)


def training_images(config: DataConfig, data_dir: Path | None = None) -> int:
    """Samples that a trial has for training and validation.

    Files are looked at only where neither the data set nor the configuration says it. Raises ValueError where nothing
    does.
    """
    known = known_images(config, data_dir)
    if known is None:
        raise ValueError(
            f"data.samples: how many samples {config.dataset} has is not known, as its files are not found; state it, "
            f"or name their folder with --data-dir or $KANSEARCH_DATA"
        )
    return known


def known_images(config: DataConfig, data_dir: Path | None = None) -> int | None:
    """`training_images`, or None where nothing says it."""
    count = _samples(config, data_dir)
    return count if count is None or config.limit is None else min(config.limit, count)


def _samples(config: Any, data_dir: Path | None) -> int | None:
    dataset = DATASETS[config.dataset]
    if isinstance(config, EMNISTDataConfig):
        return EMNIST[config.split][1]
    if isinstance(config, KnownTableConfig):
        return training_rows(config)
    if isinstance(config, TableDataConfig):
        return config.samples
    if dataset.count is None:
        return dataset.samples or int(config.samples)
    try:
        folder = locate(config.source, data_dir, download=False)
    except DataMissingError:
        return config.samples  # type: ignore[no-any-return]
    assert folder is not None
    return dataset.count(folder)


def value_bytes(config: DataConfig, data_dir: Path | None = None) -> int:
    """Bytes of a value of the samples as they lie in memory: 1, or 4 of floats; 4 where that is not known; 8 of rows of
    numbers."""
    if isinstance(config, RowsConfig):
        return 8
    if config.dataset == "function":
        return 4
    if config.dataset != "arrays":
        return 1
    try:
        folder = locate(config.source, data_dir, download=False)
    except DataMissingError:
        return 4
    assert folder is not None
    return header(folder / "train.npz")[1].itemsize
