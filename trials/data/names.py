"""The names of the classes of a data set."""

from __future__ import annotations

from pathlib import Path

from trials.config import DataConfig, KnownTableConfig, TableDataConfig
from trials.config.tables import FunctionValuesConfig
from trials.data.datasets import data_folder, data_shape
from trials.data.folders import class_folders
from trials.data.tables.generated import drawn_of
from trials.data.tables.known import KNOWN

__all__ = ["class_names", "feature_names"]

_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_KNOWN = {"fashion_mnist": _FASHION, "cifar10": _CIFAR10}
_FOLDERS = ("imagefolder", "imagenet")


def class_names(config: DataConfig, data_dir: Path | None = None) -> list[str]:
    """A name for each class, in the order of the labels; of a regression one for each target.

    The published names, those of a data set's folders, or else the labels as decimals. Raises DataError where the
    folders are not there.
    """
    if isinstance(config, TableDataConfig):
        return list(config.labels or config.target)
    if isinstance(config, KnownTableConfig):
        return list(KNOWN[config.dataset].outputs)
    if isinstance(config, FunctionValuesConfig):
        return list(drawn_of(config).outputs)
    folder = data_folder(config, data_dir) if config.dataset in _FOLDERS else None
    if folder is not None:
        return class_folders(folder / "train")
    return list(_KNOWN.get(config.dataset, map(str, range(data_shape(config).classes))))


def feature_names(config: DataConfig) -> list[str] | None:
    """A name for each input of a row of numbers, such as `age` or `city=Rome`; None of images and signals."""
    if isinstance(config, TableDataConfig):
        return list(config.columns)
    if isinstance(config, KnownTableConfig):
        return list(KNOWN[config.dataset].inputs)
    if isinstance(config, FunctionValuesConfig):
        return list(drawn_of(config).ranges)
    return None
