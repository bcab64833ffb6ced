"""The data sets by name: `DATASETS`, and what a configuration makes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trials.config import DataConfig
from trials.data.files import FILES, idx_file
from trials.data.idx import IdxError, read_idx
from trials.data.shape import DataShape

__all__ = ["DATASETS", "Dataset", "Images", "data_shape", "training_images"]


@dataclass(frozen=True)
class Images:
    """Images as bytes, (N, C, H, W), and labels, (N,), int64."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """A data set: what is known of it without its files, and how to read its (training, test) splits from a folder."""

    shape: DataShape
    training_images: int
    read: Callable[[Path | None], tuple[Images, Images]]


def read_digits(folder: Path | None) -> tuple[Images, Images]:
    """scikit-learn's 1,797 digits of 8x8 pixels, 0..16 scaled to 0..255. A fixed stratified fifth is the test split."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    labels = digits.target.astype(np.int64)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    return Images(images[train], labels[train]), Images(images[test], labels[test])


def read_mnist(folder: Path | None) -> tuple[Images, Images]:
    """The four IDX files of MNIST or a relative, 28x28 pixels. Raises IdxError, which names the file at fault."""
    if folder is None:
        raise ValueError("a folder of IDX files is needed")
    paths = [idx_file(folder, name) or folder / name for name in FILES]
    return _pair(paths[0], paths[1]), _pair(paths[2], paths[3])


def _pair(images_path: Path, labels_path: Path) -> Images:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise IdxError(f"{labels_path}: {len(labels)} labels for {len(images)} images in {images_path}")
    if images.shape[1:] != (28, 28):
        raise IdxError(f"{images_path}: images of {images.shape[1]}x{images.shape[2]} pixels where 28x28 are expected")
    if labels.size and labels.max() > 9:
        raise IdxError(f"{labels_path}: label {labels.max()} where 0 to 9 are expected")
    return Images(images[:, None], labels.astype(np.int64))


DATASETS: dict[str, Dataset] = {
    "digits": Dataset(DataShape(1, (8, 8), 10), 1_437, read_digits),
    "mnist": Dataset(DataShape(1, (28, 28), 10), 60_000, read_mnist),
    "fashion_mnist": Dataset(DataShape(1, (28, 28), 10), 60_000, read_mnist),
    "kmnist": Dataset(DataShape(1, (28, 28), 10), 60_000, read_mnist),
}


def data_shape(config: DataConfig) -> DataShape:
    """The shape of the samples, without looking at the files."""
    return DATASETS[config.dataset].shape


def training_images(config: DataConfig) -> int:
    """Images that a trial has for training and validation, without looking at the files."""
    count = DATASETS[config.dataset].training_images
    return min(config.limit or count, count)
