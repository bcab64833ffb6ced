"""The model family `unet`: down to coarse levels and up again, beside skip connections (arXiv 1505.04597)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from trials.config import UNetConfig
from trials.data.shape import DataShape
from trials.models.enlarge import enlarge, halve
from trials.models.layers import build_block, build_pixel_head
from trials.models.network import Network

__all__ = ["UNet"]


class UNet(Network):
    """Two 3x3 convolutions at each of depth + 1 levels down, and two at each of `depth` levels up.

    Upwards, a 1x1 convolution to the finer level's channels goes before the enlargement: the original's 2x2
    up-convolution, but for what lies between pixels. Images of any size. The output is (N, classes, H, W) logits; in
    training with deep supervision, a tuple of it and of the coarser levels' own, enlarged, finest first.
    """

    def __init__(self, config: UNetConfig, shape: DataShape) -> None:
        super().__init__()
        factor = 1 if config.size == "small" else 2
        widths = [config.width * factor**level for level in range(config.depth + 1)]
        self.down = nn.ModuleList(
            _level(config, channels, width, first=level == 0)
            for level, (channels, width) in enumerate(zip([shape.channels, *widths], widths, strict=False))
        )
        self.reduce, self.up = nn.ModuleList(), nn.ModuleList()
        for width, coarser in reversed(list(pairwise(widths))):
            self.reduce.append(build_block(config, coarser, width, kernel_size=1))
            self.up.append(_level(config, 2 * width, width))
        outputs = widths[: config.depth if config.deep_supervision else 1]
        kan = config.classifier == "kan"
        self.heads = nn.ModuleList(build_pixel_head(config, width, shape.classes, 1, kan=kan) for width in outputs)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = images
        skips: list[Tensor] = []
        for level in self.down:
            x = level(halve(x) if skips else x)
            skips.append(x)
        sizes = [skip.shape[2:] for skip in skips]
        levels = [skips.pop()]
        for reduce, up in zip(self.reduce, self.up, strict=True):
            skip = skips.pop()
            levels.append(up(torch.cat([enlarge(reduce(levels[-1]), [skip.shape[2:]]), skip], 1)))
        finest, *coarser = reversed(levels[1:])
        head, *side_heads = self.heads
        logits: Tensor = head(finest)  # (N, width, H, W) -> (N, classes, H, W)
        if not (self.training and side_heads):
            return logits
        sides = zip(side_heads, coarser, strict=True)
        return logits, *(enlarge(side(x), sizes[level::-1]) for level, (side, x) in enumerate(sides))


def _level(config: UNetConfig, channels: int, width: int, first: bool = False) -> nn.Sequential:
    """(N, channels, H, W) -> (N, width, H, W)."""
    second = build_block(config, width, width, kernel_size=3)
    return nn.Sequential(build_block(config, channels, width, first=first, kernel_size=3), second)
