"""The parts of networks without an expansion: activations, native convolutions, and PowerMLP's layers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from trials.config import LayerConfig
from trials.config.basis import BSplineConfig, PowerMLPConfig, RationalConfig, SplineActivationConfig
from trials.kan import (
    ChannelActivation,
    GroupRational,
    PowerConv1d,
    PowerConv2d,
    PowerLinear,
    SplineActivation,
    build_basis,
)

__all__ = ["ACTIVATIONS", "CONVOLUTIONS", "build_activation", "build_native", "build_power"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU, "relu": nn.ReLU, "gelu": nn.GELU, "identity": nn.Identity, "prelu": nn.PReLU
}  # fmt: skip

CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {0: nn.Linear, 1: nn.Conv1d, 2: nn.Conv2d}
"""Native convolutions by the number of dimensions; 0: between vectors."""

_POWER: dict[int, Callable[..., nn.Module]] = {0: PowerLinear, 1: PowerConv1d, 2: PowerConv2d}


def build_activation(config: LayerConfig, channels: int, dims: int = 2, *, first: bool = False) -> nn.Module:
    """The non-linearity of a layer without a basis, (N, channels, *size) -> the same shape: `base_activation`, or the
    learnable one that the configuration's `basis` names, `base_activation` or swish at first.

    channels, dims: what an activation with weights of its own is built for; `dims` is 0 for (N, channels). first: of a
    network, where a rational one starts as the identity.
    """
    basis = config.basis
    if isinstance(basis, RationalConfig):
        return GroupRational(channels, basis.groups, start="identity" if first else "swish")
    base = ACTIVATIONS[config.base_activation]()
    if isinstance(basis, SplineActivationConfig):
        splines = build_basis(BSplineConfig(name="bspline", **basis.model_dump(exclude={"name"})))
        return SplineActivation(channels, splines, base if config.base_branch else None)
    return base


def build_native(config: LayerConfig, dims: int, *, first: bool = False) -> Callable[..., nn.Module]:
    """A function that makes native convolutions, with the arguments of torch.nn's.

    It is torch.nn's own class, but behind a learnable activation φ the weights have the gain 1/E[φ²] and so keep the
    variance. The `first` is behind the identity.
    """
    native = CONVOLUTIONS[dims]
    if config.basis.name not in ("rational", "spline_activation"):
        return native

    def build(*sizes: Any, **where: Any) -> nn.Module:
        layer = native(*sizes, **where)
        weight = layer.get_parameter("weight")
        if weight.is_meta:
            return layer
        behind = build_activation(config, 1)
        square = 1.0 if first or not isinstance(behind, ChannelActivation) else behind.second_moment()
        nn.init.normal_(weight, std=(1 / (square * weight[0].numel())) ** 0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.get_parameter("bias"))
        return layer

    return build


def build_power(config: LayerConfig, basis: PowerMLPConfig, dims: int) -> Callable[..., nn.Module]:
    """A function that makes PowerMLP's layers, with the arguments of torch.nn's."""
    return partial(_POWER[dims], power=basis.power, activation=ACTIVATIONS[config.base_activation]())
