"""CIFAR-10 and CIFAR-100, in their binary version and in their Python version, and SVHN."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.data.errors import DataFileError
from trials.data.files import LAYOUTS, idx_file
from trials.data.images import Images

__all__ = ["read_cifar", "read_svhn"]

_PIXELS = 3 * 32 * 32


def read_cifar(dataset: str, folder: Path) -> tuple[Images, Images]:
    """`cifar10` or `cifar100` (with its fine labels): the binary files where they are there, else the pickled ones."""
    binary, pickled = LAYOUTS[dataset].alternatives
    found = all(idx_file(folder, name) for name in binary)
    names, read = (binary, _binary) if found else (pickled, _pickled)
    parts = [read(folder / name, dataset) for name in names]
    training = Images(
        np.concatenate([each.images for each in parts[:-1]]), np.concatenate([each.labels for each in parts[:-1]])
    )
    return training, parts[-1]


def _binary(path: Path, dataset: str) -> Images:
    """Records of one label (CIFAR-10), or a coarse and a fine one, then the pixels: red, green, blue."""
    labels = 1 if dataset == "cifar10" else 2
    content = np.fromfile(path, np.uint8)
    if not content.size or content.size % (labels + _PIXELS):
        raise DataFileError(f"{path}: {content.size} bytes are not whole records of {labels + _PIXELS}; truncated?")
    records = content.reshape(-1, labels + _PIXELS)
    return _checked(path, dataset, records[:, labels:], records[:, labels - 1])


def _pickled(path: Path, dataset: str) -> Images:
    """A pickled dictionary with `data`, (N, 3072), and `labels` or `fine_labels`."""
    content = _unpickle(path)
    key = b"labels" if dataset == "cifar10" else b"fine_labels"
    content = {name.encode() if isinstance(name, str) else name: value for name, value in content.items()}
    if missing := [name.decode() for name in (b"data", key) if name not in content]:
        raise DataFileError(f"{path}: has no {missing[0]}")
    return _checked(path, dataset, content[b"data"], np.asarray(content[key]))


def _checked(path: Path, dataset: str, pixels: Any, labels: NDArray[Any]) -> Images:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (_PIXELS,):
        raise DataFileError(f"{path}: data are not bytes (N, {_PIXELS})")
    if labels.shape != (len(pixels),) or labels.dtype.kind not in "iu":
        raise DataFileError(f"{path}: {labels.size} labels for {len(pixels)} images")
    most = 9 if dataset == "cifar10" else 99
    if labels.size and (labels.min() < 0 or labels.max() > most):
        raise DataFileError(f"{path}: label {labels.max()} where 0 to {most} are expected")
    return Images(pixels.reshape(-1, 3, 32, 32), labels.astype(np.int64))


def _array(*arguments: Any) -> NDArray[Any]:
    """An empty array, which the pickle then fills."""
    return np.empty(0, np.uint8)


def _dtype(name: Any, *arguments: Any) -> np.dtype[Any]:
    """A type of numbers: objects and records are none."""
    dtype = np.dtype(name if isinstance(name, str) else name.decode("ascii"))
    if dtype.kind not in "biuf":
        raise ValueError(f"values of type {dtype}")
    return dtype


def _encode(text: str, *arguments: Any) -> bytes:
    """Return the bytes that Python 3 writes as text for readers of Python 2."""
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): "an array",
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
}
"""Names in a pickle of arrays, and what stands for each here: nothing of the pickle's choice is ever called."""


class _Unpickler(pickle.Unpickler):
    """Makes arrays, and what is made without any class: dictionaries, lists, texts, bytes and numbers."""

    def __init__(self, file: Any, path: Path) -> None:
        super().__init__(file, encoding="bytes")
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module.replace("numpy.core", "numpy._core"), name))
        if known is not None:
            return known
        raise DataFileError(
            f"{self._path}: holds {module}.{name}, which is refused; only arrays and plain values are read"
        )


def _unpickle(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, path).load()
    except DataFileError:
        raise
    except Exception as error:  # damaged bytes may raise anything, and nothing of theirs has run
        raise DataFileError(f"{path}: not a readable pickle: {type(error).__name__}: {error}") from error
    if not isinstance(content, dict):
        raise DataFileError(f"{path}: not a batch of CIFAR")
    return content


def read_svhn(folder: Path) -> tuple[Images, Images]:
    """The cropped digits: train_32x32.mat and test_32x32.mat, X (32, 32, 3, N), y (N, 1), where 10 is the digit 0."""
    training, test = (_mat(folder / name) for name in LAYOUTS["svhn"].alternatives[0])
    return training, test


def _mat(path: Path) -> Images:
    from scipy.io import loadmat  # type: ignore[import-untyped]

    try:
        content = loadmat(path, variable_names=["X", "y"])
        pixels, labels = content["X"], content["y"].ravel()
    except Exception as error:  # scipy raises anything for damaged bytes
        raise DataFileError(
            f"{path}: not a readable .mat file with X and y: {type(error).__name__}: {error}"
        ) from error
    if pixels.shape[:3] != (32, 32, 3) or pixels.dtype != np.uint8 or pixels.shape[3:] != labels.shape:
        raise DataFileError(
            f"{path}: X is {pixels.dtype} {pixels.shape}, y {labels.shape}; uint8 (32, 32, 3, N) and (N,)"
        )
    if labels.size and not (labels.min() >= 1 and labels.max() <= 10):
        raise DataFileError(f"{path}: label {labels.max()} where 1 to 10 are expected")
    images = np.ascontiguousarray(pixels.transpose(3, 2, 0, 1))  # (H, W, C, N) -> (N, C, H, W)
    return Images(images, labels.astype(np.int64) % 10)
