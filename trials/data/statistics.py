"""Mean and standard deviation of each channel of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from trials.files import write_whole

__all__ = ["Statistics", "channel_statistics", "kept_statistics"]

Statistics: TypeAlias = tuple[NDArray[np.floating], NDArray[np.floating]]
_AT_ONCE = 2**26  # values, so that a memory map is not read whole


def channel_statistics(samples: NDArray[Any]) -> Statistics:
    """Mean and standard deviation (C,) of samples (N, C, *size): of bytes exactly, from their histogram, of floats in
    double precision. A deviation of bytes is at least 1, and that of a constant channel of floats is 1. Float32, of
    samples in float64 float64."""
    mean, std = _of_bytes(samples) if samples.dtype == np.uint8 else _of_floats(samples)
    if samples.dtype == np.float64:
        return mean, std
    return mean.astype(np.float32), std.astype(np.float32)


def kept_statistics(samples: np.memmap[Any, Any]) -> Statistics:
    """`channel_statistics` of a whole memory map: kept beside its file, as <file>.statistics, for the next time."""
    path = Path(f"{samples.filename}.statistics")
    try:
        mean, std = np.frombuffer(path.read_bytes(), np.float32).copy().reshape(2, samples.shape[1])
    except (FileNotFoundError, ValueError):
        statistics = channel_statistics(samples)
        write_whole(path, np.stack(statistics).tobytes())
        return statistics
    return mean, std


def _of_bytes(samples: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    channels = samples.shape[1]
    counts = np.zeros((channels, 256), np.int64)
    for part in _parts(samples):
        counts += np.stack([np.bincount(part[:, c].ravel(), minlength=256) for c in range(channels)])
    values = np.arange(256, dtype=np.float64)
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    return mean, np.maximum(std, 1.0)


def _of_floats(samples: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axes, each = (0, *range(2, samples.ndim)), samples[:, 0].size
    mean = sum(part.sum(axes, dtype=np.float64) for part in _parts(samples)) / each
    centre = mean.reshape(1, -1, *(1 for _ in samples.shape[2:]))
    std = np.sqrt(sum(np.square(part - centre).sum(axes) for part in _parts(samples)) / each)
    return mean, np.where(std > 0, std, 1.0)


def _parts(samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
    rows = max(1, _AT_ONCE // max(samples[0].size, 1))
    for start in range(0, len(samples), rows):
        yield samples[start : start + rows]
