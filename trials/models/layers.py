"""What the blocks of every family are made of: convolutions, normalisations and classifiers of one configuration.

A family says how many channels there are, and where the image is halved; what a layer is, is said here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from trials.config import LayerConfig
from trials.kan import (
    BottleneckKANConv1d,
    BottleneckKANConv2d,
    KANConv1d,
    KANConv2d,
    KANLinear,
    MixtureKANConv1d,
    MixtureKANConv2d,
    Perturbation,
    bottleneck_width,
    build_basis,
)
from trials.kan.layer import LayerOptions
from trials.models.normalization import build_normalization

__all__ = [
    "ACTIVATIONS",
    "CONVOLUTIONS",
    "GlobalAverage",
    "build_block",
    "build_convolution",
    "build_head",
    "build_layer",
    "build_linear",
    "build_norm",
    "build_pixel_head",
    "is_plain",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "identity": nn.Identity, "prelu": nn.PReLU
}  # fmt: skip

CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
"""Native convolutions by the number of dimensions."""

_KAN: dict[int, Callable[..., nn.Module]] = {1: KANConv1d, 2: KANConv2d}
_MIXTURE: dict[int, Callable[..., nn.Module]] = {1: MixtureKANConv1d, 2: MixtureKANConv2d}
_BOTTLENECK: dict[int, Callable[..., nn.Module]] = {1: BottleneckKANConv1d, 2: BottleneckKANConv2d}


class GlobalAverage(nn.Module):
    """(N, C, *size) -> (N, C). A mean, because adaptive pooling is not deterministic on CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


def is_plain(config: LayerConfig) -> bool:
    """Whether this is a control: a plain network."""
    return config.basis.name == "none"


def build_block(config: LayerConfig, channels: int, out: int, *, first: bool = False, **where: Any) -> nn.Sequential:
    """One layer with what comes before it: (N, channels, *size) -> (N, out, *size').

    normalisation -> activation, in a plain network -> dropout and noise, unless they act inside -> convolution. The
    `first` of a network has no activation, dropout or noise before it, and in a plain network no normalisation.
    `where` goes to `build_convolution`.
    """
    plain = is_plain(config)
    parts: list[nn.Module] = []
    if not first or not plain:
        parts.append(build_norm(config, channels, where.get("dims", 2)))
    if not first and plain:
        parts.append(ACTIVATIONS[config.base_activation]())
    parts += _perturbed(config, channels, out, first=first, **where)
    return _sequential(parts)


def build_layer(
    config: LayerConfig, channels: int, out: int, *, first: bool, normalize: str, activation: str, **where: Any
) -> nn.Sequential:
    """One layer of a network that is no chain of `build_block`s: (N, channels, *size) -> (N, out, *size').

    dropout and noise, but for the `first` -> convolution -> `activation`; a plain one has `base_activation` for it. The
    normalisation stands before them all where `normalize` is "input", before the activation where it is "output".
    """
    dims = where.get("dims", 2)
    parts = _perturbed(config, channels, out, first=first, **where)
    if normalize == "input":
        parts.insert(0, build_norm(config, channels, dims))
    else:
        parts.append(build_norm(config, out, dims))
    parts.append(ACTIVATIONS[config.base_activation if is_plain(config) else activation]())
    return _sequential(parts)


def _perturbed(config: LayerConfig, channels: int, out: int, *, first: bool, **where: Any) -> list[nn.Module]:
    """The convolution, after dropout and noise where they act on its whole input, and additive noise."""
    convolution = build_convolution(config, channels, out, first=first, **where)
    whole = is_plain(config) or config.perturbation == "full"
    dropout, noise = (config.dropout, config.noise) if whole else (0.0, 0.0)
    if first or not (dropout or noise or config.additive_noise):
        return [convolution]
    share = config.additive_noise_share
    return [Perturbation(dropout, noise, additive=config.additive_noise, share=share), convolution]


def _sequential(parts: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])


def build_convolution(
    config: LayerConfig, channels: int, out: int, *, kernel_size: int, stride: int = 1, first: bool = False,
    padding: int | None = None, dims: int = 2, groups: int = 1, dilation: int = 1, plain_bias: bool = True,
) -> nn.Module:  # fmt: skip
    """A convolution that keeps the size, or divides it by its stride, unless `padding` is given: KAN, a mixture of
    them, behind a bottleneck, or native, then with a bias if `plain_bias`. The `first` of a network has neither
    bottleneck nor experts, dropout or noise."""
    where: dict[str, Any] = {"kernel_size": kernel_size, "stride": stride, "groups": groups, "dilation": dilation}
    where["padding"] = dilation * (kernel_size // 2) if padding is None else padding
    narrow = None if first else config.bottleneck
    if is_plain(config):
        if narrow:
            return _narrow_control(config, narrow, channels, out, where, dims)
        return CONVOLUTIONS[dims](channels, out, bias=plain_bias, **where)
    options = layer_options(config)
    if not first and (config.dropout or config.noise) and config.perturbation != "full":
        options["perturbation"] = Perturbation(config.dropout, config.noise, config.perturbation)
    build: Callable[..., nn.Module] = _KAN[dims]
    if config.experts and not first:
        top_k = min(config.experts_per_image, config.experts)
        build = partial(_MIXTURE[dims], experts=config.experts, top_k=top_k)
    if narrow is None:
        return build(channels, out, bias=config.bias, **where, **options)
    norm = partial(build_norm, config, dims=dims)
    where |= {"bias": config.bias, "reduction": narrow, "minimum": config.bottleneck_minimum}
    return _BOTTLENECK[dims](channels, out, **where, **options, norm=norm, inner=build)


def layer_options(config: LayerConfig) -> LayerOptions:
    """Keyword arguments of a KAN layer."""
    return {
        "basis": build_basis(config.basis),
        "base": ACTIVATIONS[config.base_activation]() if config.base_branch else None,
        "basis_share": config.basis_share,
        "init": config.init,
        "spline_scaler": config.spline_scaler,
    }


def build_linear(config: LayerConfig, features: int, classes: int, kan: bool) -> nn.Module:
    """(N, features) -> (N, classes): a KAN layer where `kan` holds and the network is no control, else linear."""
    if kan and not is_plain(config):
        return KANLinear(features, classes, bias=config.bias, **layer_options(config))
    return nn.Linear(features, classes)


def build_head(
    config: LayerConfig, channels: int, size: tuple[int, ...], classes: int, *, flatten: bool, kan: bool
) -> nn.Module:
    """(N, channels, *size) -> (N, classes).

    Global average, or flattening -> normalisation of the vector -> linear or KAN classifier. (A vector is normalised
    after the average: averaged after an instance normalisation it would be zero.) A control: normalisation ->
    activation -> global average, or flattening -> linear.
    """
    shrink: nn.Module = nn.Flatten() if flatten else GlobalAverage()
    features = channels * math.prod(size) if flatten else channels
    classifier = build_linear(config, features, classes, kan)
    if is_plain(config):
        norm = build_norm(config, channels, len(size))
        return nn.Sequential(norm, ACTIVATIONS[config.base_activation](), shrink, classifier)
    return nn.Sequential(shrink, build_norm(config, features, dims=0), classifier)


def build_pixel_head(config: LayerConfig, channels: int, classes: int, kernel_size: int, *, kan: bool) -> nn.Sequential:
    """(N, channels, H, W) -> (N, classes, H, W): normalisation -> activation, in a control -> convolution, a KAN one
    where `kan` holds and the network is no control."""
    parts: list[nn.Module] = [build_norm(config, channels)]
    if is_plain(config):
        parts.append(ACTIVATIONS[config.base_activation]())
    if kan and not is_plain(config):
        parts.append(KANConv2d(channels, classes, kernel_size, padding=kernel_size // 2, **layer_options(config)))
    else:
        parts.append(nn.Conv2d(channels, classes, kernel_size, padding=kernel_size // 2))
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])


def build_norm(config: LayerConfig, channels: int, dims: int = 2) -> nn.Module:
    """The configuration's normalisation of (N, channels, *size), or of (N, channels) where `dims` is 0."""
    affine = is_plain(config) if config.affine is None else config.affine
    return build_normalization(config.normalization, channels, affine, dims)


def _narrow_control(
    config: LayerConfig, reduction: int, channels: int, out: int, where: dict[str, Any], dims: int
) -> nn.Module:
    """1x1 -> normalisation -> activation -> convolution -> normalisation -> activation -> 1x1."""
    native, groups = CONVOLUTIONS[dims], where["groups"]
    width = bottleneck_width(channels, out, reduction, groups, config.bottleneck_minimum)

    def active() -> list[nn.Module]:
        return [build_norm(config, width, dims), ACTIVATIONS[config.base_activation]()]

    narrow = [native(channels, width, 1, bias=False, groups=groups), *active()]
    return nn.Sequential(
        *narrow, native(width, width, bias=False, **where), *active(), native(width, out, 1, groups=groups)
    )
