"""Augmentations of signals."""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from trials.data.augment.geometry import uniform
from trials.data.images import IGNORED

__all__ = ["shift_scale"]


def shift_scale(signals: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
    """Shift each signal by up to 1/8 of its length, zeros coming in, and multiply it by 0.8 to 1.2: (N, C, L)."""
    count, _, length = signals.shape
    margin = length // 8
    start = torch.randint(2 * margin + 1, (count, 1), generator=generator, device=signals.device)
    index = start + torch.arange(length, device=signals.device)  # (N, L)
    factor = uniform(signals, 0.8, 1.2, generator)[:, None, None]
    padded = F.pad(signals, (margin, margin))
    values = padded.gather(2, index[:, None].expand(-1, signals.shape[1], -1)).float() * factor
    if signals.dtype == torch.uint8:
        values = values.round().clamp(0, 255)
    if masks is not None:
        masks = F.pad(masks, (margin, margin), value=IGNORED).gather(1, index)
    return values.to(signals.dtype), masks
