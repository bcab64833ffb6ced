"""The IDX file format of MNIST and its relatives."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trials.data.errors import IdxError

__all__ = ["IdxError", "read_idx"]


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of bytes in an IDX file, plain or .gz: magic 0x0000 08 dd, dd big-endian 32-bit sizes, then the values.

    Raises IdxError for another magic number, fewer or more bytes than the sizes say, or a damaged .gz.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise IdxError(f"{path}: damaged gzip file: {error}") from error
    start = 4 + 4 * dimensions
    magic = bytes((0, 0, 8, dimensions))
    if content[:4] != magic:
        raise IdxError(
            f"{path}: not an IDX file of {dimensions} dimensions: starts with {content[:4].hex()}, not {magic.hex()}"
        )
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, start, 4)]
    expected = start + math.prod(sizes)
    if len(content) < start or len(content) != expected:
        raise IdxError(f"{path}: {len(content)} bytes where sizes {sizes} need {expected}; truncated or damaged")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)
