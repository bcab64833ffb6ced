"""The model family `kanc`: Convolutional-KANs' networks of two convolutions (arXiv 2406.13155)."""

from __future__ import annotations

import itertools
import math
from functools import partial

from torch import Tensor, nn

from trials.config import KancConfig
from trials.config.basis import PlainConfig
from trials.data.shape import DataShape
from trials.models.layers import ACTIVATIONS, build_layer, build_linear
from trials.models.network import Network

__all__ = ["Kanc"]


class Kanc(Network):
    """conv 3x3 -> normalisation -> 2x2 max pooling, twice, then a head of one or two layers on every pixel.

    A pooling that would leave nothing of the image is left out, so that 8x8 pixels pass. Raises ValueError for images
    of fewer than 8 pixels a side.
    """

    def __init__(self, config: KancConfig, shape: DataShape) -> None:
        super().__init__()
        if min(shape.size) < 8:
            raise ValueError(f"model.family=kanc needs images of 8x8 pixels at least, got {shape.size}")
        layer = config
        if config.convolution == "plain":
            layer = config.model_copy(update={"basis": PlainConfig(name="none"), "base_activation": "relu"})
        build = partial(build_layer, layer, normalize="output", activation="identity", kernel_size=3, padding=0)
        blocks: list[nn.Module] = []
        size = shape.size
        widths = (shape.channels, config.width, config.width * config.growth)
        for channels, out in itertools.pairwise(widths):
            block = build(channels, out, first=not blocks)
            size = tuple(side - 2 for side in size)
            if min(size) >= 2:
                block.append(nn.MaxPool2d(2))
                size = tuple(side // 2 for side in size)
            blocks.append(block)
        self.blocks = nn.Sequential(*blocks)
        self.head = _head(config, widths[-1] * math.prod(size), shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images).flatten(1))  # (N, C, H, W) -> (N, classes)
        return logits


def _head(config: KancConfig, features: int, classes: int) -> nn.Sequential:
    """(N, features) -> (N, classes)."""
    basis = config.classifier_basis or config.basis
    own, kan = config.model_copy(update={"basis": basis}), config.classifier == "kan"
    if config.hidden is None:
        return nn.Sequential(build_linear(own, features, classes, kan))
    hidden = [build_linear(own, features, config.hidden, kan), ACTIVATIONS[config.hidden_activation]()]
    return nn.Sequential(*hidden, build_linear(own, config.hidden, classes, kan))
