"""Weights of Convolutional-KANs' published networks -> ours.

model = build_model(PRESETS["kkan-small-gs10"].config, DataShape(1, (28, 28), 10))
import_kanc(state, model)  # `state`: the published network's state_dict()

Its networks give log-probabilities of images scaled to [-1, 1]; ours give the logits of the same images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from trials.kan import KANConv2d, KANLinear
from trials.kan.basis.bspline import BSpline
from trials.kan.layer import KANLayer
from trials.models.kanc import Kanc

__all__ = ["import_kanc"]

HEADS = (("kan1",), ("linear1", "linear2"), ("linear1",), ("fc", "fc2"), ("fc",))
"""The names that the published networks give the layers of their heads."""


@torch.no_grad()
def import_kanc(state: Mapping[str, Tensor], model: Kanc) -> None:
    """Copy a published `state_dict` into a network of the same structure, in place.

    The KAN kernel of output o and input i is `conv<n>.convs.<o · inputs + i>.conv`, an Efficient-KAN layer of nine
    inputs and one output. Raises ValueError, with the name at fault, where a tensor is missing, of another shape, left
    over, or where the grids are others.
    """
    left = dict(state)
    for number, block in enumerate(model.blocks, 1):
        layer = next(each for each in cast(Sequence[nn.Module], block) if isinstance(each, (KANConv2d, nn.Conv2d)))
        _copy(left, f"conv{number}", layer)
    layers = [each for each in model.head if isinstance(each, (KANLinear, nn.Linear))]
    names = next((names for names in HEADS if all(_holds(left, name) for name in names)), HEADS[0])
    if len(names) != len(layers):
        raise ValueError(f"the published head has the layers {', '.join(names)}, this network has {len(layers)}")
    for name, part in zip(names, layers, strict=True):
        _copy(left, name, part)
    if left:
        raise ValueError(f"{next(iter(left))} has no place in this network")


def _holds(state: Mapping[str, Tensor], name: str) -> bool:
    return any(key.startswith(f"{name}.") for key in state)


def _copy(left: dict[str, Tensor], name: str, layer: nn.Module) -> None:
    if isinstance(layer, KANConv2d):
        kernels = range(layer.out_channels * layer.in_channels)
        parts = [_edges(left, f"{name}.convs.{index}.conv", layer) for index in kernels]
        _fill(layer, *(torch.cat(part) for part in zip(*parts, strict=True)))  # (1, 9, ...) each -> (O·I, 9, ...)
    elif isinstance(layer, KANLayer):
        _fill(layer, *_edges(left, name, layer))
    else:
        for parameter in ("weight", "bias"):
            target: Tensor = getattr(layer, parameter)
            target.copy_(_take(left, f"{name}.{parameter}", target.shape))


def _edges(left: dict[str, Tensor], name: str, layer: KANLayer) -> tuple[Tensor, Tensor, Tensor]:
    """Weights of the base branch (out, in), of the splines (out, in, F), and their scalers (out, in)."""
    basis = layer.basis
    if not isinstance(basis, BSpline) or layer.spline_scaler is None or layer.base is None or layer.bias is not None:
        raise ValueError(f"{name} needs a layer of B-splines with a base branch and spline_scaler, without bias")
    out, inputs = (1, 9) if isinstance(layer, KANConv2d) else layer.spline_scaler.shape
    order, step = basis.spline_order, 2 * basis.grid_range / basis.grid_size
    knots = basis.grid_centre - basis.grid_range + step * (torch.arange(basis.n_features + order + 1) - order)
    grid = _take(left, f"{name}.grid", torch.Size([inputs, len(knots)]))
    if not torch.allclose(grid.double(), knots.double().expand_as(grid).to(grid.device), atol=1e-5):
        raise ValueError(f"{name}.grid goes from {grid[0, order]:g} to {grid[0, -order - 1]:g}, not as in this network")
    return (
        _take(left, f"{name}.base_weight", torch.Size([out, inputs])),
        _take(left, f"{name}.spline_weight", torch.Size([out, inputs, basis.n_features])),
        _take(left, f"{name}.spline_scaler", torch.Size([out, inputs])),
    )


def _fill(layer: KANLayer, base: Tensor, splines: Tensor, scaler: Tensor) -> None:
    """`weight` is (out, P · in, *kernel), the base branch of every input after the features of all."""
    assert layer.spline_scaler is not None
    shape = layer.spline_scaler.shape  # (out, in, *kernel)
    planes = torch.cat([splines, base[..., None]], dim=-1).view(*shape, layer.planes)
    layer.weight.copy_(planes.movedim(-1, 1).reshape(layer.weight.shape))
    layer.spline_scaler.copy_(scaler.view(shape))


def _take(left: dict[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    if name not in left:
        raise ValueError(f"{name} is missing")
    if left[name].shape != shape:
        raise ValueError(f"{name} has the shape {tuple(left[name].shape)}, {tuple(shape)} is needed")
    return left.pop(name)
