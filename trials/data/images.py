"""The samples and labels that a reader makes of a data set's files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.data.errors import DataFileError
from trials.data.shape import DataShape
from trials.data.statistics import Statistics, channel_statistics, kept_statistics

__all__ = ["IGNORED", "Images", "checked"]

IGNORED = 255
"""The label of a pixel that belongs to no class: it counts neither in a loss nor in a metric."""


@dataclass(frozen=True)
class Images:
    """Samples as bytes or float32, (N, C, *size), and labels: (N,), int64, or a mask for each, (N, *size), bytes.

    Both may be memory maps.
    """

    images: NDArray[Any]
    labels: NDArray[Any]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of each channel, (C,)."""
        if isinstance(self.images, np.memmap):
            return kept_statistics(self.images)
        return channel_statistics(self.images)

    def size(self, samples: int) -> int:
        """Bytes of this number of samples with their labels."""
        return int(samples * (self.images[:1].nbytes + self.labels[:1].nbytes))


def checked(x: Any, y: Any, shape: DataShape, where: str, training: bool = False) -> Images:
    """Arrays that a user brings, as `Images`: x (N, C, *size), or (N, *size) where C is 1, bytes or float32.

    y: whole numbers (N,) from 0 to classes - 1; (N, *size) of a dense data set, where 255 is no class. A training split
    has samples of every class. `where` opens the message of the DataFileError that is raised where something else is
    found.
    """
    x, y = np.asanyarray(x), np.asanyarray(y)
    if x.dtype not in (np.uint8, np.float32):
        raise DataFileError(f"{where}: x is {x.dtype}; uint8 or float32 is needed")
    if shape.channels == 1 and x.shape[1:] == shape.size:
        x = x[:, None]
    wanted = (shape.channels, *shape.size)
    if x.shape[1:] != wanted:
        raise DataFileError(f"{where}: x is {x.shape}; the configuration says (N, {', '.join(map(str, wanted))})")
    expected = (len(x), *shape.size) if shape.dense else (len(x),)
    if y.shape != expected or y.dtype.kind not in "iu":
        raise DataFileError(f"{where}: y is {y.dtype} {y.shape}; whole numbers {expected} are needed")
    if not len(x):
        raise DataFileError(f"{where}: no samples")
    if x.dtype == np.float32 and not all(np.isfinite(part).all() for part in np.array_split(x, -(-len(x) // 1024))):
        raise DataFileError(f"{where}: x holds values that are not finite")
    classes = y[y != IGNORED] if shape.dense else y
    if classes.size and (classes.min() < 0 or classes.max() >= shape.classes):
        wrong = classes.min() if classes.min() < 0 else classes.max()
        raise DataFileError(f"{where}: label {wrong} where 0 to {shape.classes - 1} are expected")
    if training and (missing := set(range(shape.classes)) - set(np.unique(classes).tolist())):
        raise DataFileError(f"{where}: nothing of class {min(missing)}, though there are {shape.classes}")
    return Images(x, y.astype(np.uint8 if shape.dense else np.int64))
