"""What is known of a data set without its files."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DataShape"]


@dataclass(frozen=True)
class DataShape:
    """What a network must know of its data: samples are (channels, *size)."""

    channels: int
    size: tuple[int, ...]
    """(height, width) of an image in pixels, or (length,) of a signal."""
    classes: int
    dense: bool = False
    """Whether there is one class for each pixel, (N, H, W), rather than one for each sample, (N,)."""
