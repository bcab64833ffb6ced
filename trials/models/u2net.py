"""The model family `u2net`: a U-Net whose blocks are U-Nets, and whose outputs are fused (arXiv 2005.09007)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from trials.config import U2NetConfig
from trials.data.shape import DataShape
from trials.models.enlarge import enlarge, halve
from trials.models.layers import build_block, build_pixel_head
from trials.models.network import Network

__all__ = ["RSU", "U2Net"]

HEIGHTS = (7, 6, 5, 4, 4, 4)
"""Layers of each stage's block on its way down, finest first; the last two stages' are dilated instead of halved."""
_DILATED = 4
_DOWN = ((1, 2), (2, 2), (4, 4), (8, 8), (8, 16), (8, 16))
"""Channels out of each stage on the way down and inside it: width times the first, and times the second, by 4."""
_UP = ((1, 1), (1, 2), (2, 4), (4, 8), (8, 16))
"""The same on the way up. The paper's sizes are those of width 64."""


class RSU(nn.Module):
    """A residual U-block, (N, channels, H, W) -> (N, out, H, W): F(x) + U(F(x)), F a 3x3 convolution, U a U-Net.

    U has `height` convolutions down, the last dilated, and one fewer up, all but the last to `middle` channels. Where
    it is `dilated` (RSU-F) no image is halved, and the dilation doubles with each layer down instead.
    """

    def __init__(
        self, config: U2NetConfig, channels: int, middle: int, out: int, height: int, *, dilated: bool, first: bool
    ) -> None:
        super().__init__()
        dilations = [2**layer for layer in range(height)] if dilated else [1] * (height - 1) + [2]

        def block(channels: int, out: int, dilation: int) -> nn.Module:
            return build_block(config, channels, out, kernel_size=3, dilation=dilation)

        self.enter = build_block(config, channels, out, first=first, kernel_size=3)
        self.down = nn.ModuleList(block(middle if i else out, middle, each) for i, each in enumerate(dilations))
        self.up = nn.ModuleList(
            block(2 * middle, middle if layer else out, dilations[layer] if dilated else 1)
            for layer in reversed(range(height - 1))
        )
        self.dilated = dilated

    def forward(self, x: Tensor) -> Tensor:
        entered = self.enter(x)
        y, *layers = self.down
        skips = [y(entered)]
        for depth, layer in enumerate(layers, 1):
            halved = not self.dilated and depth < len(layers)
            skips.append(layer(halve(skips[-1]) if halved else skips[-1]))
        x = skips.pop()
        for layer in self.up:
            skip = skips.pop()
            x = layer(torch.cat([enlarge(x, [skip.shape[2:]]), skip], 1))
        result: Tensor = entered + x
        return result


class U2Net(Network):
    """Six stages down and five up, each an `RSU`. Each stage on the way up and the coarsest one has an output; all are
    enlarged. A 1x1 convolution fuses the output proper from them.

    `size: small` is the paper's U²-Net†: as many channels everywhere. Images of any size. The output is (N, classes,
    H, W) logits; in training with deep supervision, a tuple of it and of the six others, finest first.
    """

    def __init__(self, config: U2NetConfig, shape: DataShape) -> None:
        super().__init__()
        small = config.size == "small"
        down, up = (((1, 1),) * len(each) if small else each for each in (_DOWN, _UP))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels = shape.channels
        for stage, (out, middle) in enumerate(down):
            self.down.append(_stage(config, stage, channels, middle, out, first=stage == 0))
            channels = config.width * out
        for stage, (out, middle) in reversed(list(enumerate(up))):
            self.up.append(_stage(config, stage, channels + config.width * down[stage][0], middle, out))
            channels = config.width * out
        widths = [config.width * out for out, _ in (*up, down[-1])]
        kan = config.classifier == "kan"
        self.heads = nn.ModuleList(build_pixel_head(config, width, shape.classes, 3, kan=kan) for width in widths)
        self.fuse = nn.Conv2d(len(widths) * shape.classes, shape.classes, 1)
        self.deep_supervision = config.deep_supervision

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        x = images
        skips: list[Tensor] = []
        for stage in self.down:
            x = stage(halve(x) if skips else x)
            skips.append(x)
        sizes = [skip.shape[2:] for skip in skips]
        levels = [skips.pop()]
        for stage in self.up:
            skip = skips.pop()
            levels.append(stage(torch.cat([enlarge(levels[-1], [skip.shape[2:]]), skip], 1)))
        sides = tuple(self._sides(levels[::-1], sizes))  # each (N, classes, H, W)
        logits: Tensor = self.fuse(torch.cat(sides, 1))
        return (logits, *sides) if self.training and self.deep_supervision else logits

    def _sides(self, levels: list[Tensor], sizes: list[torch.Size]) -> Iterator[Tensor]:
        for level, (head, x) in enumerate(zip(self.heads, levels, strict=True)):
            yield enlarge(head(x), sizes[:level][::-1])


def _stage(config: U2NetConfig, stage: int, channels: int, middle: int, out: int, first: bool = False) -> RSU:
    sizes = (config.width * middle // 4, config.width * out, HEIGHTS[stage])
    return RSU(config, channels, *sizes, dilated=stage >= _DILATED, first=first)
