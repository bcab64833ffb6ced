"""Arrays that users bring: train.npz and test.npz, or what a function returns."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from trials.config import ArraysDataConfig
from trials.data.errors import DataFileError
from trials.data.images import Images, checked
from trials.data.shape import DataShape

__all__ = ["header", "read_arrays"]


def read_arrays(config: ArraysDataConfig, shape: DataShape, folder: Path) -> tuple[Images, Images]:
    """x and y of both files, as `checked` wants them; a file with pickled objects is refused."""
    training, test = (_read(folder / name, shape) for name in ("train.npz", "test.npz"))
    if training.images.dtype != test.images.dtype:
        raise DataFileError(
            f"{folder / 'test.npz'}: x is {test.images.dtype}, and {training.images.dtype} in train.npz"
        )
    return training, test


def _read(path: Path, shape: DataShape) -> Images:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            x, y = content["x"], content["y"]
    except KeyError as error:
        raise DataFileError(f"{path}: has no array {error.args[0].split()[0]}; x and y are needed") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path}: not a readable .npz file: {error}") from error
    return checked(x, y, shape, str(path), training=path.name == "train.npz")


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of x in an .npz file, without reading it. Raises DataFileError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("x.npy") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(file)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path}: not a readable .npz file with an array x: {error}") from error
    return shape, dtype
