"""The properties of a data set that are known without its files."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DataShape"]


@dataclass(frozen=True)
class DataShape:
    """Properties of the data that a network must know: samples are (channels, *size)."""

    channels: int
    size: tuple[int, ...]
    """(height, width) of an image in pixels, (length,) of a signal, () of a row of numbers."""
    classes: int
    """Outputs of a network: classes, or the targets of a regression."""
    dense: bool = False
    """Whether there is one class for each pixel, (N, H, W), rather than one for each sample, (N,)."""
    regression: bool = False
    """Whether a sample has numbers for targets, (N, outputs), rather than a class."""
