"""The model family `plain`: convolution blocks one after the other, then a head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from trials.config import ModelConfig
from trials.kan import (
    BottleneckKANConv2d,
    KANConv2d,
    KANLinear,
    MixtureKANConv2d,
    Perturbation,
    bottleneck_width,
    build_basis,
)
from trials.kan.layer import LayerOptions
from trials.models.normalization import build_normalization

__all__ = ["ACTIVATIONS", "Plain", "halving_layers"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "identity": nn.Identity
}  # fmt: skip


def halving_layers(depth: int, halvings: int, image_size: int) -> list[int]:
    """The layers, from 0, after which the image is halved: ceil(j · depth / (halvings + 1)) - 1 for j = 1..halvings.

    A layer that occurs twice quarters the image. A halving that would leave a side of less than 2 pixels is left out.
    """
    layers = []
    for j in range(1, halvings + 1):
        image_size //= 2
        if image_size >= 2:
            layers.append(-(-j * depth // (halvings + 1)) - 1)
    return layers


class Plain(nn.Module):
    """`depth` convolutions of `width` channels, times `growth` after each halving, then a pooled or flattened head.

    With a basis, each block is: normalisation -> dropout and noise (not in the first; inside the convolution unless
    `perturbation` is full) -> KAN convolution, or a mixture of them -> pooling where the image is halved; then global
    average or flattening -> normalisation of the vector -> classifier. (The vector is normalised after the average:
    averaged after an instance normalisation it would be zero.)

    Without one it is the control: convolution, then blocks of normalisation -> activation -> dropout -> convolution,
    then normalisation -> activation -> global average or flattening -> linear: the pre-activation form of the usual
    network, with exactly its layers. Pooling is last in a block. Its classifier is linear whatever `classifier` says.

    `halving_layers` says where the image is halved: by the layer's own stride, or by pooling after it. With
    `bottleneck`, every layer but the first works on `bottleneck_width(..., minimum=4)` channels; a control's bottleneck
    is 1x1 -> normalisation -> activation -> convolution -> normalisation -> activation -> 1x1.
    """

    def __init__(self, config: ModelConfig, in_channels: int, image_size: int, classes: int) -> None:
        super().__init__()
        halvings = halving_layers(config.depth, config.halvings, image_size)
        blocks: list[nn.Module] = []
        channels, out = in_channels, config.width
        for layer in range(config.depth):
            factor = 2 ** halvings.count(layer)
            blocks.append(_block(config, layer, channels, out, factor))
            image_size = -(-image_size // factor) if config.downsampling == "stride" else image_size // factor
            channels, out = out, out * config.growth ** halvings.count(layer)
        self.blocks = nn.Sequential(*blocks)
        self.head = _head(config, channels, channels * image_size**2 if config.head == "flatten" else channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, H, W) -> (N, classes)
        return logits


class GlobalAverage(nn.Module):
    """(N, C, H, W) -> (N, C). A mean, because adaptive pooling is not deterministic on CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def _block(config: ModelConfig, layer: int, channels: int, out: int, factor: int) -> nn.Sequential:
    plain = config.basis.name == "none"
    parts: list[nn.Module] = []
    if layer or not plain:
        parts.append(_norm(config, channels))
    if layer and plain:
        parts.append(ACTIVATIONS[config.base_activation]())
    if layer and (config.dropout or config.noise) and (plain or config.perturbation == "full"):
        parts.append(Perturbation(config.dropout, config.noise))
    strided = config.downsampling == "stride"
    parts.append(_convolution(config, layer, channels, out, factor if strided else 1))
    if factor > 1 and not strided:
        parts.append(nn.MaxPool2d(factor) if config.downsampling == "max_pool" else nn.AvgPool2d(factor))
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])


def _convolution(config: ModelConfig, layer: int, channels: int, out: int, stride: int) -> nn.Module:
    where: dict[str, Any] = {"kernel_size": config.kernel_size, "stride": stride, "padding": config.kernel_size // 2}
    narrow = config.bottleneck if layer else None
    if config.basis.name == "none":
        return _narrow_control(config, narrow, channels, out, where) if narrow else nn.Conv2d(channels, out, **where)
    options = _options(config)
    if layer and (config.dropout or config.noise) and config.perturbation != "full":
        options["perturbation"] = Perturbation(config.dropout, config.noise, config.perturbation)
    build: Callable[..., nn.Module] = KANConv2d
    if layer and config.experts:
        top_k = min(config.experts_per_image, config.experts)
        build = partial(MixtureKANConv2d, experts=config.experts, top_k=top_k)
    if narrow is None:
        return build(channels, out, **where, **options)
    return BottleneckKANConv2d(
        channels, out, **where, **options, reduction=narrow, minimum=4, norm=partial(_norm, config), inner=build
    )


def _options(config: ModelConfig) -> LayerOptions:
    return {
        "basis": build_basis(config.basis),
        "base": ACTIVATIONS[config.base_activation]() if config.base_branch else None,
        "basis_share": config.basis_share,
        "init": config.init,
        "spline_scaler": config.spline_scaler,
    }


def _narrow_control(config: ModelConfig, reduction: int, channels: int, out: int, where: dict[str, Any]) -> nn.Module:
    width = bottleneck_width(channels, out, reduction, minimum=4)
    parts = [nn.Conv2d(channels, width, 1, bias=False), _norm(config, width), ACTIVATIONS[config.base_activation]()]
    parts += [nn.Conv2d(width, width, bias=False, **where), _norm(config, width), ACTIVATIONS[config.base_activation]()]
    return nn.Sequential(*parts, nn.Conv2d(width, out, 1))


def _head(config: ModelConfig, channels: int, features: int, classes: int) -> nn.Sequential:
    shrink: nn.Module = nn.Flatten() if config.head == "flatten" else GlobalAverage()
    if config.basis.name == "none":
        activation = ACTIVATIONS[config.base_activation]()
        return nn.Sequential(_norm(config, channels), activation, shrink, nn.Linear(features, classes))
    classifier: nn.Module = nn.Linear(features, classes)
    if config.classifier == "kan":
        classifier = KANLinear(features, classes, **_options(config))
    return nn.Sequential(shrink, _norm(config, features, spatial=False), classifier)


def _norm(config: ModelConfig, channels: int, spatial: bool = True) -> nn.Module:
    affine = config.basis.name == "none" if config.affine is None else config.affine
    return build_normalization(config.normalization, channels, affine, spatial)
