"""Digits of scikit-learn, MNIST and its relatives, EMNIST."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trials.config import EMNISTDataConfig
from trials.data.files import FILES, LAYOUTS, idx_file
from trials.data.idx import IdxError, read_idx
from trials.data.images import Images
from trials.data.stratified import train_test_split

__all__ = ["EMNIST", "read_digits", "read_emnist", "read_mnist"]

EMNIST = {
    "balanced": (47, 112_800),
    "byclass": (62, 697_932),
    "bymerge": (47, 697_932),
    "digits": (10, 240_000),
    "letters": (26, 124_800),
    "mnist": (10, 60_000),
}
"""Classes and training images of each split of EMNIST."""


def read_digits() -> tuple[Images, Images]:
    """scikit-learn's 1,797 digits of 8x8 pixels, 0..16 scaled to 0..255. A fixed stratified fifth is the test split."""
    pixels, labels = _digits()
    images = np.rint(pixels * (255 / 16)).astype(np.uint8)[:, None]  # (N, 1, 8, 8)
    train, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    return Images(images[train], labels[train]), Images(images[test], labels[test])


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Pixels (N, 8, 8) and labels, read from scikit-learn's file where it is found, or by it, which takes a second."""
    package = find_spec("sklearn")
    folders = (package.submodule_search_locations if package else None) or []
    for file in (Path(folder, "datasets", "data", "digits.csv.gz") for folder in folders):
        if file.is_file():
            table = np.loadtxt(file, delimiter=",")
            return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images, digits.target.astype(np.int64)


def read_mnist(folder: Path) -> tuple[Images, Images]:
    """The four IDX files of MNIST or a relative, 28x28 pixels. Raises IdxError, which names the file at fault."""
    return _read(folder, FILES, range(10))


def read_emnist(config: EMNISTDataConfig, folder: Path) -> tuple[Images, Images]:
    """The four IDX files of a split of EMNIST, whose images lie on their side in them. Letters are numbered from 1
    there, and from 0 here."""
    first = int(config.split == "letters")
    labels = range(first, first + EMNIST[config.split][0])
    training, test = _read(folder, LAYOUTS[config.source].alternatives[0], labels)
    return _upright(training, first), _upright(test, first)


def _upright(images: Images, first: int) -> Images:
    return Images(np.ascontiguousarray(images.images.swapaxes(2, 3)), images.labels - first)


def _read(folder: Path, names: Sequence[str], labels: range) -> tuple[Images, Images]:
    paths = [idx_file(folder, name) or folder / name for name in names]
    return _pair(paths[0], paths[1], labels), _pair(paths[2], paths[3], labels)


def _pair(images_path: Path, labels_path: Path, expected: range) -> Images:
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise IdxError(f"{labels_path}: {len(labels)} labels for {len(images)} images in {images_path}")
    if images.shape[1:] != (28, 28):
        raise IdxError(f"{images_path}: images of {images.shape[1]}x{images.shape[2]} pixels where 28x28 are expected")
    if labels.size and not (labels.min() >= expected[0] and labels.max() <= expected[-1]):
        wrong = labels.max() if labels.max() > expected[-1] else labels.min()
        raise IdxError(f"{labels_path}: label {wrong} where {expected[0]} to {expected[-1]} are expected")
    return Images(images[:, None], labels.astype(np.int64))
