"""The model family `simple`: torch-conv-kan's networks of four, eight, twelve and sixteen convolutions."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from trials.config import SimpleConfig
from trials.data.shape import DataShape
from trials.models.layers import GlobalAverage, build_layer, build_linear
from trials.models.network import Network

__all__ = ["Simple"]

FACTORS = {
    4: (1, 2, 4, 8),
    8: (1, 2, 4, 8, 16, 16, 32, 32),
    12: (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 32, 32),
    16: (1, 1, 2, 2, 4, 4, 8, 8, 16, 16, 16, 16, 32, 32, 32, 32),
}
"""Channels of each convolution over those of the first, by depth. The public code has 4, 8 and 16; 12 lies between."""
_HALVED = {4: (2, 3), 8: (2, 3, 6), 12: (2, 4, 8), 16: (2, 4, 8)}
"""Convolutions of stride 2, counted from 1."""
STRIDES = {depth: tuple(2 if i in _HALVED[depth] else 1 for i in range(1, depth + 1)) for depth in FACTORS}


class Simple(Network):
    """`depth` 3x3 convolutions, each a `build_layer`, then the global average, dropout and a classifier."""

    def __init__(self, config: SimpleConfig, shape: DataShape) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = shape.channels
        build = partial(build_layer, config, normalize=config.normalize, activation=config.output_activation)
        for factor, stride in zip(FACTORS[config.depth], STRIDES[config.depth], strict=True):
            out, first = config.width * factor, not blocks
            groups = 1 if first else config.groups
            blocks.append(build(channels, out, first=first, kernel_size=3, stride=stride, groups=groups))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        classifier = build_linear(config, channels, shape.classes, config.classifier == "kan")
        self.head = nn.Sequential(GlobalAverage(), nn.Dropout(config.classifier_dropout), classifier)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, H, W) -> (N, classes)
        return logits
