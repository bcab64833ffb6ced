"""The names of the classes of a data set."""

from __future__ import annotations

from pathlib import Path

from trials.config import DataConfig
from trials.data.datasets import data_folder, data_shape
from trials.data.folders import class_folders

__all__ = ["class_names"]

_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_KNOWN = {"fashion_mnist": _FASHION, "cifar10": _CIFAR10}
_FOLDERS = ("imagefolder", "imagenet")


def class_names(config: DataConfig, data_dir: Path | None = None) -> list[str]:
    """A name for each class, in the order of the labels: the published ones, those of a data set's folders, or else the
    labels as decimals. Raises DataError where the folders are not there."""
    folder = data_folder(config, data_dir) if config.dataset in _FOLDERS else None
    if folder is not None:
        return class_folders(folder / "train")
    return list(_KNOWN.get(config.dataset, map(str, range(data_shape(config).classes))))
