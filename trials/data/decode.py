"""Image files, decoded once: one memory map in ~/.cache/kansearch for each folder, size and number of channels."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trials.data.errors import DataError, DataFileError
from trials.data.files import cache_folder
from trials.files import replacing

__all__ = ["SUFFIXES", "decode_image", "decode_mask", "decoded", "image_size"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
"""Suffixes of files that are taken for images, in small letters."""
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
_IN_FLIGHT = 64
_log = logging.getLogger(__name__)


def decode_image(path: Path, side: int | tuple[int, int], channels: int, *, resize: bool = True) -> NDArray[np.uint8]:
    """The image in a file, (C, height, width): scaled so that the shorter side fits, and cropped to the middle.

    side: of a square in pixels, or (height, width). Colours become grey where channels is 1, and grey is repeated where
    it is 3. Raises DataFileError, which names the file, where it cannot be read, is truncated, has more than 8 bits, or
    is of another size and not to `resize`.
    """
    height, width = (side, side) if isinstance(side, int) else side
    with _opened(path) as image:
        if not resize and image.size != (width, height):
            raise DataFileError(
                f"{path}: {image.size[0]}x{image.size[1]} pixels where the model takes {width}x{height}; --resize "
                f"scales and crops images"
            )
        if image.mode not in _MODES:
            raise DataFileError(f"{path}: an image of mode {image.mode}; 8 bits a channel are needed")
        converted = image.convert("RGB" if channels == 3 else "L")
        pixels = np.asarray(ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR), np.uint8)
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)


def decode_mask(path: Path, side: int, classes: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The classes in a PNG file, (side, side), scaled and cropped as `decode_image` does; `size` is (width, height) of
    its image. Raises DataFileError as that does, and where a pixel has a class that is none."""
    with _opened(path) as image:
        if image.mode not in ("1", "L", "P"):
            raise DataFileError(f"{path}: a mask of mode {image.mode}; one byte for each pixel, its class, is needed")
        if image.size != size:
            raise DataFileError(
                f"{path}: {image.size[0]}x{image.size[1]} pixels where its image has {size[0]}x{size[1]}"
            )
        indices = Image.fromarray(np.asarray(image).astype(np.uint8))  # a palette's indices, not its colours
    whole = np.asarray(indices)
    wrong = whole[(whole >= classes) & (whole != 255)]
    if wrong.size:
        raise DataFileError(f"{path}: class {wrong.max()} where 0 to {classes - 1}, or 255, are expected")
    return np.asarray(ImageOps.fit(indices, (side, side), Image.Resampling.NEAREST), np.uint8)


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the image in a file."""
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except DataFileError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataFileError(f"{path}: not a readable image: {error}") from error


def decoded(
    files: Sequence[Path], decode: Callable[[Path], NDArray[np.uint8]], shape: tuple[int, ...], kind: str
) -> NDArray[np.uint8]:
    """`decode` of each file, (N, *shape), as a memory map, made by all processors where it is not there already.

    The map is known by `kind` and the files' names, sizes and times of change, so that what has changed is decoded
    anew. Processes that want the same one wait for the first. Raises what `decode` raises, and DataError where there is
    no room for it.
    """
    folder = cache_folder() / "decoded"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_digest(files, shape, kind)}.npy"
    with _alone(path.with_suffix(".lock")):
        if not path.exists():
            _log.warning("decoding %d images, once, into %s", len(files), path)
            _write(path, files, decode, shape)
    array: NDArray[np.uint8] = np.load(path, mmap_mode="c", allow_pickle=False)
    return array


def _digest(files: Sequence[Path], shape: tuple[int, ...], kind: str) -> str:
    digest = hashlib.sha256(f"{kind} {shape}".encode())
    for file in files:
        state = os.stat(file)
        digest.update(f"\n{file.absolute()}\0{state.st_size}\0{state.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(
    path: Path, files: Sequence[Path], decode: Callable[[Path], NDArray[np.uint8]], shape: tuple[int, ...]
) -> None:
    need, free = int(len(files) * np.prod(shape)), shutil.disk_usage(path.parent).free
    if need > free:
        raise DataError(
            f"{path.parent}: {need / 2**30:.1f} GiB are needed for {len(files)} decoded images, and "
            f"{free / 2**30:.1f} are free; take a smaller data.image_size"
        )
    with replacing(path) as unfinished:
        target = np.lib.format.open_memmap(unfinished, "w+", np.uint8, (len(files), *shape))
        for index, pixels in enumerate(_in_order(decode, files)):
            target[index] = pixels
        target.flush()


def _in_order(function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
    """`function` of each item, by all processors, a few ahead of who reads them."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        rest = iter(items)
        waiting = [pool.submit(function, item) for item in islice(rest, _IN_FLIGHT)]
        try:
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(function, item) for item in islice(rest, 1)]
        finally:
            for each in waiting:
                each.cancel()
