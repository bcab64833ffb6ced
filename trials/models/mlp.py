"""The model family `mlp`: layers between vectors, for rows of numbers and flattened images."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trials.config import MLPConfig
from trials.data.shape import DataShape
from trials.kan import Perturbation
from trials.models.layers import build_activation, build_linear, build_norm, is_plain
from trials.models.network import Network
from trials.models.plain_layers import build_native

__all__ = ["MLP", "Products"]


class Products(nn.Module):
    """(N, s + 2m) -> (N, s + m): the first s numbers as they are, then the m products of two neighbours.

    Source: the multiplication nodes of MultKAN (arXiv 2408.10205).
    """

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        sums, factors = x[:, : x.shape[1] - 2 * self.count], x[:, x.shape[1] - 2 * self.count :]
        return torch.cat([sums, factors[:, 0::2] * factors[:, 1::2]], 1)

    def extra_repr(self) -> str:
        return f"{self.count}"


class MLP(Network):
    """One layer from the inputs, one from each hidden layer, each with what stands before it:

        normalisation, but before the first -> dropout and noise -> KAN layer -> products
        normalisation, but before the first -> activation -> dropout and noise -> linear layer -> products

    The second is a control's, whose first layer has no activation. The last layer has no products. Without hidden
    layers a KAN is a sum of functions of one input each, and a control is linear.

    Numbers are computed in the precision of the weights, whatever that of the samples.
    """

    HEAD = ("last",)

    def __init__(self, config: MLPConfig, shape: DataShape) -> None:
        super().__init__()
        features = shape.channels * math.prod(shape.size)
        layers: list[nn.Module] = []
        for width in config.hidden:
            products = min(config.multiply, width)
            layer = _layer(config, features, width + products, first=not layers)
            if products:
                layer.append(Products(products))
            layers.append(layer)
            features = width
        self.layers = nn.Sequential(*layers)
        self.last = _layer(config, features, shape.classes, first=not layers)

    def forward(self, samples: Tensor) -> Tensor:
        x = samples.flatten(1).to(next(self.parameters()).dtype)  # (N, C, *size) -> (N, F)
        outputs: Tensor = self.last(self.layers(x))
        return outputs


def _layer(config: MLPConfig, features: int, out: int, *, first: bool) -> nn.Sequential:
    """(N, features) -> (N, out). One feature alone is normalised over the batch or not at all: it would be 0."""
    plain = is_plain(config)
    normalised = not first and (features > 1 or config.normalization == "batch")
    parts: list[nn.Module] = [build_norm(config, features, dims=0)] if normalised else []
    if plain and (not first or config.basis.name == "rational"):
        parts.append(build_activation(config, features, dims=0, first=first))
    if not first and (config.dropout or config.noise or config.additive_noise):
        share = config.additive_noise_share
        parts.append(Perturbation(config.dropout, config.noise, additive=config.additive_noise, share=share))
    if plain:
        parts.append(build_native(config, 0, first=first)(features, out, bias=config.bias))
    else:
        parts.append(build_linear(config, features, out, kan=True))
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])
