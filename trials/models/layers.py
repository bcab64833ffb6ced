"""The parts of the blocks of every family: convolutions, normalisations and classifiers of one configuration.

A family says how many channels there are, and where the image is halved. This module alone says what a layer is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from trials.config import LayerConfig
from trials.config.basis import ACTIVATIONS_BEFORE_PLAIN_LAYERS, PowerMLPConfig, expands
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
from trials.models.plain_layers import ACTIVATIONS, build_activation, build_native, build_power

__all__ = [
    "ACTIVATIONS",
    "GlobalAverage",
    "build_activation",
    "build_block",
    "build_convolution",
    "build_head",
    "build_layer",
    "build_linear",
    "build_norm",
    "build_pixel_head",
    "is_plain",
]

_KAN: dict[int, Callable[..., nn.Module]] = {1: KANConv1d, 2: KANConv2d}
_MIXTURE: dict[int, Callable[..., nn.Module]] = {1: MixtureKANConv1d, 2: MixtureKANConv2d}
_BOTTLENECK: dict[int, Callable[..., nn.Module]] = {1: BottleneckKANConv1d, 2: BottleneckKANConv2d}


class GlobalAverage(nn.Module):
    """(N, C, *size) -> (N, C). A mean, because adaptive pooling is not deterministic on CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2)


def is_plain(config: LayerConfig) -> bool:
    """Whether convolutions are plain ones behind an activation, be it fixed or learnable."""
    return config.basis.name in ACTIVATIONS_BEFORE_PLAIN_LAYERS


def _is_narrow(config: LayerConfig) -> bool:
    """Whether a layer begins with a bottleneck's 1x1 projection, and all of it works on few channels."""
    return config.bottleneck is not None and (config.bottleneck_base == "narrow" or not expands(config.basis.name))


def build_block(config: LayerConfig, channels: int, out: int, *, first: bool = False, **where: Any) -> nn.Sequential:
    """One layer with what comes before it: (N, channels, *size) -> (N, out, *size'), for a control as for a KAN.

    normalisation -> activation, where the weights after it have no basis -> dropout and noise, unless they act inside
    -> convolution. The `first` of a network has no dropout or noise before it, and no activation but a rational one.
    `where` goes to `build_convolution`.
    """
    dims = where.get("dims", 2)
    parts: list[nn.Module] = []
    if not first or config.normalize_input:
        parts.append(build_norm(config, channels, dims))
    activated = is_plain(config) or _is_narrow(config)
    if config.basis.name == "rational" if first else activated:
        parts.append(build_activation(config, channels, dims, first=first))
    parts += _perturbed(config, channels, out, first=first, bias=config.bias, **where)
    return _sequential(parts)


def build_layer(
    config: LayerConfig, channels: int, out: int, *, first: bool, normalize: str, activation: str | None, **where: Any
) -> nn.Sequential:
    """One layer of a network that is no chain of `build_block`s: (N, channels, *size) -> (N, out, *size').

    dropout and noise, but for the `first` -> convolution -> `activation`; a plain one, and None, have `base_activation`
    for it. The normalisation stands before them all where `normalize` is "input", before the activation where it is
    "output".
    """
    dims = where.get("dims", 2)
    parts = _perturbed(config, channels, out, first=first, **where)
    if normalize == "input":
        parts.insert(0, build_norm(config, channels, dims))
    else:
        parts.append(build_norm(config, out, dims))
    own = activation is None or is_plain(config)
    parts.append(build_activation(config, out, dims) if own else ACTIVATIONS[activation or "identity"]())
    return _sequential(parts)


def _perturbed(config: LayerConfig, channels: int, out: int, *, first: bool, **where: Any) -> list[nn.Module]:
    """The convolution, after dropout and noise where they act on its whole input, and additive noise."""
    convolution = build_convolution(config, channels, out, first=first, **where)
    whole = not expands(config.basis.name) or config.perturbation == "full"
    dropout, noise = (config.dropout, config.noise) if whole else (0.0, 0.0)
    if first or not (dropout or noise or config.additive_noise):
        return [convolution]
    share = config.additive_noise_share
    return [Perturbation(dropout, noise, additive=config.additive_noise, share=share), convolution]


def _sequential(parts: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*[part for part in parts if not isinstance(part, nn.Identity)])


def build_convolution(
    config: LayerConfig, channels: int, out: int, *, kernel_size: int, stride: int = 1, first: bool = False,
    padding: int | None = None, dims: int = 2, groups: int = 1, dilation: int = 1, bias: bool | None = None,
) -> nn.Module:  # fmt: skip
    """A convolution that keeps the size, or divides it by its stride, unless `padding` is given. It is native, KAN, a
    mixture of KAN ones, PowerMLP's, or one of them behind a bottleneck. The `first` of a network has neither bottleneck
    nor experts, dropout or noise. `bias` None: a KAN one as the configuration says, a native one always."""
    where: dict[str, Any] = {"kernel_size": kernel_size, "stride": stride, "groups": groups, "dilation": dilation}
    where["padding"] = dilation * (kernel_size // 2) if padding is None else padding
    where["bias"] = (is_plain(config) or config.bias) if bias is None else bias
    build = _build_one(config, first=first, dims=dims)
    if first or not config.bottleneck:
        return build(channels, out, **where)
    if is_plain(config) or _is_narrow(config):
        return _behind_bottleneck(config, config.bottleneck, channels, out, where, dims)
    where |= {"reduction": config.bottleneck, "minimum": config.bottleneck_minimum}
    norm = partial(build_norm, config, dims=dims)
    return _BOTTLENECK[dims](channels, out, **where, norm=norm, inner=build, **layer_options(config))


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
    """(N, features) -> (N, classes): where `kan` holds a KAN layer, or the control of one, else linear."""
    if kan and isinstance(config.basis, PowerMLPConfig):
        return build_power(config, config.basis, 0)(features, classes, bias=config.bias)
    if kan and not is_plain(config):
        return KANLinear(features, classes, bias=config.bias, **layer_options(config))
    native = build_native(config, 0) if kan else nn.Linear
    return native(features, classes, bias=config.bias or not kan)


def build_head(
    config: LayerConfig, channels: int, size: tuple[int, ...], classes: int, *, flatten: bool, kan: bool
) -> nn.Sequential:
    """(N, channels, *size) -> (N, classes), for a control as for a KAN.

    normalisation -> activation -> global average, or flattening -> linear. A KAN classifier takes the place of an
    activation and a linear layer: behind flattening it reads what is normalised, behind an average it has a
    normalisation of its own.
    """
    features = channels * math.prod(size) if flatten else channels
    # an average over what was normalised over pixels is zero, unless an activation stands between
    one = math.prod(size) == 1 or (not flatten and config.base_activation == "identity")
    dims = 0 if one and config.normalization != "batch" else len(size)
    parts: list[nn.Module] = [build_norm(config, channels, dims)]
    if is_plain(config) or not (flatten and kan):
        parts.append(build_activation(config, channels, len(size)))
    parts.append(nn.Flatten() if flatten else GlobalAverage())
    if kan and not flatten:
        parts.append(build_norm(config, features, dims=0))
        parts += [build_activation(config, features, dims=0)] if is_plain(config) else []
    return _sequential([*parts, build_linear(config, features, classes, kan)])


def build_pixel_head(config: LayerConfig, channels: int, classes: int, kernel_size: int, *, kan: bool) -> nn.Sequential:
    """(N, channels, H, W) -> (N, classes, H, W): normalisation -> activation -> convolution, or, where `kan` holds and
    the network is no control, a KAN convolution in the place of both."""
    where: dict[str, Any] = {"padding": kernel_size // 2, "bias": config.bias or not kan}
    parts: list[nn.Module] = [build_norm(config, channels)]
    if kan and not is_plain(config):
        parts.append(_build_one(config, first=True, dims=2)(channels, classes, kernel_size, **where))
    else:
        parts += [build_activation(config, channels), nn.Conv2d(channels, classes, kernel_size, **where)]
    return _sequential(parts)


def build_norm(config: LayerConfig, channels: int, dims: int = 2) -> nn.Module:
    """The configuration's normalisation of (N, channels, *size), or of (N, channels) where `dims` is 0."""
    wide = expands(config.basis.name)
    return build_normalization(config.normalization, channels, config.affine, dims, wide=wide)


def _build_one(config: LayerConfig, *, first: bool, dims: int) -> Callable[..., nn.Module]:
    """A function that makes a convolution, with the arguments of torch.nn's.

    It makes a native one, a KAN one, a mixture of KAN ones, or PowerMLP's.
    """
    if is_plain(config):
        return build_native(config, dims, first=first)
    if isinstance(config.basis, PowerMLPConfig):
        return build_power(config, config.basis, dims)
    options = layer_options(config)
    if not first and (config.dropout or config.noise) and config.perturbation != "full":
        options["perturbation"] = Perturbation(config.dropout, config.noise, config.perturbation)
    if first or not config.experts:
        return partial(_KAN[dims], **options)
    top_k = min(config.experts_per_image, config.experts)
    return partial(_MIXTURE[dims], experts=config.experts, top_k=top_k, **options)


def _behind_bottleneck(
    config: LayerConfig, reduction: int, channels: int, out: int, where: dict[str, Any], dims: int
) -> nn.Sequential:
    """1x1 -> normalisation -> activation and convolution, or KAN convolution -> normalisation -> activation -> 1x1."""
    native, groups = build_native(config, dims), where["groups"]
    width = bottleneck_width(channels, out, reduction, groups, config.bottleneck_minimum)
    parts: list[nn.Module] = [native(channels, width, 1, groups=groups, bias=False), build_norm(config, width, dims)]
    parts += [build_activation(config, width, dims)] if is_plain(config) else []
    parts.append(_build_one(config, first=False, dims=dims)(width, width, **where | {"bias": False}))
    parts += [build_norm(config, width, dims), build_activation(config, width, dims)]
    return _sequential([*parts, native(width, out, 1, groups=groups, bias=where["bias"])])
