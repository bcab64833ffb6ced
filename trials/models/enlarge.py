"""From one resolution of an image to the next, and back: what networks with skip connections are joined by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["enlarge", "halve"]

_SMALLEST = 2  # pixels of a side, so that every normalisation has something to average over


def halve(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, ⌈H/2⌉, ⌈W/2⌉) by 2x2 max pooling; as it is where a side would be less than 2 pixels."""
    return F.max_pool2d(x, 2, ceil_mode=True) if min(x.shape[2:]) > _SMALLEST else x


def enlarge(x: Tensor, sizes: Sequence[Sequence[int]]) -> Tensor:
    """(N, C, h, w) -> (N, C, H, W), back through the `sizes` (height, width) that `halve` was given, coarsest first.

    Bilinear, as `torch.nn.functional.interpolate` with a factor of 2, and cropped where the side was odd. Made of
    shifts and means, because the gradient of `interpolate` is summed in no fixed order on CUDA; nothing is kept for
    the backward pass.
    """
    for height, width in sizes:
        if x.shape[2:] != (height, width):
            x = _twice(x)[:, :, :height, :width]
    return x


def _twice(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), with the channels last in memory where they are."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return _doubled(_doubled(x.movedim(1, -1), 1), 2).movedim(-1, 1)
    return _doubled(_doubled(x, 2), 3)


def _doubled(x: Tensor, dim: int) -> Tensor:
    """Each element becomes two, a quarter of the way to its neighbour before and after; the edges are their own
    neighbours."""
    last = x.shape[dim] - 1
    before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, last)], dim)
    after = torch.cat([x.narrow(dim, 1, last), x.narrow(dim, last, 1)], dim)
    return torch.stack([x.lerp(before, 0.25), x.lerp(after, 0.25)], dim + 1).flatten(dim, dim + 1)
