"""Weights of 8 bits: what a file holds of them, and what they are worth."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from trials.kan.layer import KANLayer
from trials.saved.weights import WeightsError
from trials.training.edges import edged_layers

__all__ = ["SCALE", "dequantize", "quantize"]

SCALE = ".scale"
"""Ends the name of a weight's scales."""
_LARGEST = 127


def quantize(network: nn.Module) -> dict[str, Tensor]:
    """The network's state, the weights of KAN, convolution and linear layers as int8, symmetric about zero.

    w ≈ scale · q. A scale belongs to an output channel, (O,); in a KAN layer to an output channel and a plane, (O, P),
    since the functions of a basis differ in size. It is `name` + ".scale". |w - scale · q| <= scale / 2.
    """
    state = {name: each.detach().cpu().contiguous().clone() for name, each in network.state_dict().items()}
    for name, layer in edged_layers(network).items():
        weight = state[f"{name}.weight"]
        planes = layer.planes if isinstance(layer, KANLayer) else None
        scale = _by_scale(weight, planes).abs().amax(-1) / _LARGEST
        scale = torch.where(scale > 0, scale, torch.ones_like(scale))
        rounded = (weight / _stretched(scale, weight)).round_().clamp_(-_LARGEST, _LARGEST)
        state |= {f"{name}.weight": rounded.to(torch.int8), f"{name}.weight{SCALE}": scale}
    return state


def dequantize(tensors: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """The state that a quantised one stands for, float32. Raises WeightsError, which names `file`."""
    state = {}
    for name, each in tensors.items():
        if name.endswith(SCALE):
            continue
        if each.dtype == torch.int8:
            scale = tensors.get(name + SCALE)
            if scale is None or not _fits(scale, each):
                raise WeightsError(f"{file}: {name} has no scales that fit it")
            each = each.to(scale.dtype) * _stretched(scale, each)
        state[name] = each
    return state


def _fits(scale: Tensor, weight: Tensor) -> bool:
    planes = scale.shape[1] if scale.dim() == 2 else 1
    known = scale.dim() in (1, 2) and weight.dim() >= 2 and scale.is_floating_point()
    return known and len(scale) == len(weight) and planes > 0 and weight.shape[1] % planes == 0


def _by_scale(weight: Tensor, planes: int | None) -> Tensor:
    """A row for each scale: (O, P·C, *kernel) -> (O, P, ·), or (O, ·) without planes."""
    return weight.flatten(1) if planes is None else torch.unflatten(weight, 1, (planes, -1)).flatten(2)


def _stretched(scale: Tensor, weight: Tensor) -> Tensor:
    """Scales (O,) or (O, P), one for each element along the first two dimensions: broadcasts to `weight`."""
    columns = scale[:, None] if scale.dim() == 1 else scale.repeat_interleave(weight.shape[1] // scale.shape[1], 1)
    return columns.view(*columns.shape, *(1 for _ in weight.shape[2:]))
