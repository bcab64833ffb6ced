"""The edges of a layer, (output, input, kernel entry): their functions, and what these do with the inputs they see.

An edge of a KAN layer is φ_{o,i,k} = Σ_p w_{o,i,p,k} · plane_p; one of a plain convolution or linear layer is
w_{o,i,k} · x, which is the same with x for the one plane. One of a learnable activation is its channel's function.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan.activation import ChannelActivation
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv

__all__ = [
    "EDGED",
    "LINEAR",
    "edge_means",
    "edge_spreads",
    "edged_layers",
    "planes_at",
    "seen_inputs",
    "weights_by_edge",
]

LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers whose edges are numbers."""
EDGED = (KANLayer, *LINEAR)
"""Layers that have edges."""
_SAMPLES = 2048
"""Values kept of each input channel."""


def edged_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that have edges, by name; experts among them, a mixture's gate not."""
    gates = {id(module.gate) for module in network.modules() if isinstance(module, MixtureKANConv)}
    return {name: each for name, each in network.named_modules() if isinstance(each, EDGED) and id(each) not in gates}


def planes_at(layer: nn.Module, z: Tensor) -> Tensor:
    """The basis functions and the base branch at z, or z itself where there is no basis: (*shape) -> (*shape, P)."""
    if isinstance(layer, ChannelActivation):
        return layer.functions(z)
    if not isinstance(layer, KANLayer):
        return z[..., None]
    features = layer.basis.expand(z)
    return features if layer.base is None else torch.cat([features, layer.base(z)[..., None]], dim=-1)


def weights_by_edge(layer: nn.Module) -> Tensor:
    """The effective weights: (O, I, P, K), with I = inputs / groups and K kernel entries, 1 of a linear layer."""
    if isinstance(layer, ChannelActivation):
        return layer.mixture()[:, None, :, None]
    weights = layer.edge_weights() if isinstance(layer, KANLayer) else layer.get_parameter("weight")[:, :, None]
    return weights.reshape(*weights.shape[:3], weights[0, 0, 0].numel())


def seen_inputs(network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...]) -> dict[str, Tensor]:
    """The inputs of each layer of these kinds while the images pass, by its name: (S, C), S values of each channel.

    An expert of a mixture has the inputs of the mixture; the mixture's gate is left out.
    """
    found: dict[str, Tensor] = {}

    def note(names: list[str]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: found.update(dict.fromkeys(names, _sample(inputs[0])))

    mixtures = [f"{name}." for name, module in network.named_modules() if isinstance(module, MixtureKANConv)]
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, MixtureKANConv):
            names = [f"{name}.experts.{index}" for index in range(len(module.experts))]
            handles.append(module.register_forward_pre_hook(note(names)))
        elif isinstance(module, kinds) and not name.startswith(tuple(mixtures)):
            handles.append(module.register_forward_pre_hook(note([name])))
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def edge_spreads(planes: Tensor, weights: Tensor) -> Tensor:
    """Standard deviation of each edge's function over the inputs of its channel.

    From the covariance of the planes there: planes (S, C, P), weights (O, I, P, K) -> (O, I, K). Where I < C the layer
    is grouped, and its outputs see the channels of their own group.
    """
    centred = planes - planes.mean(0)
    covariance = torch.einsum("sip,siq->ipq", centred, centred) / len(planes)  # (C, P, P)
    outputs = _grouped(planes, weights)
    covariance = covariance.reshape(len(outputs), -1, *covariance.shape[1:])
    variance = torch.einsum("goipk,gipq,goiqk->goik", outputs, covariance, outputs).flatten(0, 1)
    return variance.clamp(min=0).sqrt()


def edge_means(planes: Tensor, weights: Tensor) -> Tensor:
    """Mean of each edge's function; arguments and shape are those of `edge_spreads`."""
    outputs = _grouped(planes, weights)
    means = planes.mean(0).reshape(len(outputs), -1, planes.shape[2])  # (G, I, P)
    return torch.einsum("goipk,gip->goik", outputs, means).flatten(0, 1)


def _grouped(planes: Tensor, weights: Tensor) -> Tensor:
    """(O, I, P, K) -> (G, O/G, I, P, K)."""
    return weights.reshape(planes.shape[1] // weights.shape[1], -1, *weights.shape[1:])


def _sample(z: Tensor) -> Tensor:
    """(N, C, *size) -> at most 2,048 values of each channel, drawn at random places, (S, C)."""
    values = z.detach().transpose(0, 1).flatten(1)  # (C, N * pixels)
    places = torch.randperm(values.shape[1], generator=torch.Generator().manual_seed(0))[:_SAMPLES]
    return values[:, places].T
