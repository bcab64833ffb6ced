"""Samples that are given to a trained model: image files, and arrays of numbers."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.config import DataConfig
from trials.data.datasets import data_shape
from trials.data.decode import decode_image
from trials.data.errors import DataFileError
from trials.data.folders import image_files
from trials.data.shape import DataShape

__all__ = ["ARRAYS", "Sample", "read_samples", "sample_files"]

ARRAYS = frozenset({".npy", ".npz"})
"""Suffixes of files that hold arrays."""
_NUMPY, _ZIP = b"\x93NUMPY", b"PK"
"""How .npy files start, and .npz files, which are ZIP archives."""
_OWN_SCALE = ("arrays", "function")
"""Data sets whose values need not be an image file's."""


@dataclass(frozen=True)
class Sample:
    """One sample (C, *size), bytes or floats as its file has them."""

    file: Path
    index: int | None
    """Which one in a file of arrays, from 0; None of an image."""
    values: NDArray[Any]

    def __str__(self) -> str:
        return str(self.file) if self.index is None else f"{self.file}[{self.index}]"


def sample_files(paths: Iterable[Path]) -> list[Path]:
    """Each file, and of each folder the image files in it, in the order of their names. Raises DataFileError where
    something is not there, or a folder has no image."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise DataFileError(f"{path}: no such file or folder")
        files += image_files(path) if path.is_dir() else [path]
    return files


def read_samples(files: Iterable[Path], config: DataConfig, resize: bool = False) -> Iterator[Sample]:
    """The samples in files, for a model that was trained on the data of `config`, one after the other.

    An image has the model's size, unless it is to `resize`, and gets its channels: `decode_image`. A .npy file, or an
    .npz file with one array or one named x, holds numbers (N, C, *size), (N, *size) where C is 1, or one sample
    (C, *size). No file can run code. Raises DataFileError, which names the file and says what is needed.
    """
    shape = data_shape(config)
    for file in files:
        if file.suffix.lower() in ARRAYS:
            for index, values in enumerate(_samples(file, shape)):
                yield Sample(file, index, _finite(file, index, values))
        else:
            yield Sample(file, None, _image(file, config, shape, resize))


def _image(file: Path, config: DataConfig, shape: DataShape, resize: bool) -> NDArray[np.uint8]:
    if problem := _no_images(config, shape):
        wanted = ", ".join(map(str, ("N", shape.channels, *shape.size)))
        raise DataFileError(f"{file}: {problem}; give it a .npy file of numbers ({wanted})")
    height, width = shape.size
    return decode_image(file, (height, width), shape.channels, resize=resize)


def _no_images(config: DataConfig, shape: DataShape) -> str | None:
    """Why a model cannot be given image files."""
    if not shape.size:
        return "the model takes rows of numbers"
    if len(shape.size) == 1:
        return "the model takes signals"
    if shape.channels not in (1, 3):
        return f"the model takes {shape.channels} channels, and an image has 1 or 3"
    if config.dataset in _OWN_SCALE:
        return "the model was trained on arrays, whose values may be on another scale than an image's bytes"
    return None


def _samples(file: Path, shape: DataShape) -> NDArray[Any]:
    """The array in a file, (N, C, *size)."""
    array = _array(file)
    wanted = (shape.channels, *shape.size)
    if array.dtype.kind not in "iuf":
        raise DataFileError(f"{file}: an array of {array.dtype}; real numbers are needed")
    if array.shape[1:] == wanted:
        return array
    if shape.channels == 1 and array.shape[1:] == shape.size:
        return array[:, None]
    if array.shape == wanted:
        return array[None]
    raise DataFileError(
        f"{file}: an array {array.shape} where the model takes (N, {', '.join(map(str, wanted))}), for any N"
    )


def _array(file: Path) -> NDArray[Any]:
    try:
        with file.open("rb") as opened:
            start = opened.read(6)
            if start.startswith(_ZIP):
                opened.seek(0)
                return _of_archive(file, np.load(opened, allow_pickle=False))
        if not start.startswith(_NUMPY):
            raise ValueError("neither a .npy nor an .npz file")
        array: NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        return array
    except DataFileError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{file}: not a readable file of numbers: {error}") from error


def _of_archive(file: Path, content: Any) -> NDArray[Any]:
    """The array in an .npz file that is named x, or is the only one."""
    with content:
        names = content.files
        if "x" not in names and len(names) != 1:
            raise DataFileError(f"{file}: arrays {', '.join(names) or 'none'}; one named x, or one alone, is needed")
        array: NDArray[Any] = content["x" if "x" in names else names[0]]
        return array


def _finite(file: Path, index: int, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataFileError(f"{file}: sample {index} holds values that are not finite")
    return values
