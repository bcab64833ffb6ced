"""The model family `alexnet`: AlexNet's convolutions for small images, and a linear or KAN classifier."""

from __future__ import annotations

import itertools
import math
from functools import partial

from torch import Tensor, nn

from trials.config import AlexNetConfig
from trials.data.shape import DataShape
from trials.models.layers import ACTIVATIONS, build_layer, build_linear
from trials.models.network import Network
from trials.models.normalization import build_normalization

__all__ = ["AlexNet"]

FACTORS, POOLED = (1, 3, 6, 4, 4), (0, 1, 4)
"""Channels of the convolutions over those of the first, and the convolutions that a pooling follows."""


class AlexNet(Network):
    """Five 3x3 convolutions, 2x2 max poolings after the first, the second and the last, then the classifier.

    A pooling that would leave nothing of the image is left out.
    """

    HEAD = ("classifier",)

    def __init__(self, config: AlexNetConfig, shape: DataShape) -> None:
        super().__init__()
        size, channels, layers = shape.size, shape.channels, []
        build = partial(build_layer, config, normalize="output", activation="identity", kernel_size=3)
        for index, factor in enumerate(FACTORS):
            layer = build(channels, config.width * factor, first=index == 0)
            if index in POOLED and min(size) >= 2:
                layer.append(nn.MaxPool2d(2))
                size = tuple(side // 2 for side in size)
            channels = config.width * factor
            layers.append(layer)
        self.features = nn.Sequential(*layers)
        self.classifier = _classifier(config, channels * math.prod(size), shape.classes)
        if config.features == "frozen":
            self.freeze()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images).flatten(1))  # (N, C, H, W) -> (N, classes)
        return logits


def _classifier(config: AlexNetConfig, features: int, classes: int) -> nn.Sequential:
    """(N, features) -> (N, classes): linear layers with activations between them, or KAN layers."""
    kan, parts = config.classifier == "kan", list[nn.Module]()
    sizes = [features, *[config.hidden] * config.hidden_layers, classes]
    basis = config.classifier_basis or config.basis
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        last = index == config.hidden_layers
        if config.classifier_dropout and (kan or not last):
            parts.append(nn.Dropout(config.classifier_dropout))
        if kan:
            parts.append(build_normalization(config.classifier_normalization, inputs, config.affine, dims=0))
        own = config.model_copy(update={"basis": config.output_basis or basis if last else basis})
        parts.append(build_linear(own, inputs, outputs, kan))
        if not kan and not last:
            parts.append(ACTIVATIONS[config.base_activation]())
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])
