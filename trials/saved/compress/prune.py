"""Edges that do least are set to zero, and stay zero in training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from trials.kan.bottleneck import BottleneckKANConv
from trials.kan.layer import KANLayer
from trials.training.edges import EDGED, edge_means, edge_spreads, edged_layers, planes_at, seen_inputs, weights_by_edge

__all__ = [
    "LayerEdges",
    "count_edges",
    "edge_scores",
    "network_edges",
    "prune_edges",
    "remove_edges",
    "zeros_held",
]


@dataclass(frozen=True)
class LayerEdges:
    """A layer's edges, O outputs, I inputs and K kernel entries, over the inputs that it was shown."""

    name: str
    """Name of the module in the network."""
    layer: nn.Module
    spread: Tensor
    """Standard deviation of each edge's function: (O, I, K)."""
    mean: Tensor
    """Mean of each edge's function: (O, I, K)."""
    bias: Tensor | None
    """(O,): what is added to the layer's outputs, its own or of the branch beside it. None: nothing."""


@torch.no_grad()
def network_edges(network: nn.Module, images: Tensor) -> list[LayerEdges]:
    """The edges of every KAN, convolution and linear layer, over normalised images (N, C, *size), in eval mode.

    A mixture's gate has none: it is no function of the network's values but chooses between its experts.
    """
    seen = seen_inputs(network.eval(), images, EDGED)
    modules, found = dict(network.named_modules()), []
    for name, inputs in seen.items():
        layer = modules[name]
        planes, weights = planes_at(layer, inputs), weights_by_edge(layer)
        spread, mean = edge_spreads(planes, weights), edge_means(planes, weights)
        found.append(LayerEdges(name, layer, spread, mean, _bias(modules, name)))
    return found


def prune_edges(edges: Sequence[LayerEdges], share: float) -> int:
    """Take out the least important `share` of all edges, across the layers; how many.

    The importance of an edge is its variance over the mean variance of its layer's outputs, Σ_{i,k} of their edges'. It
    says how much of what a normalisation after it would see is the edge's. The best edge of each layer stays. Raises
    ValueError unless 0 <= share < 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"0 <= share < 1 must hold, got {share}")
    scores = [edge_scores(each.spread) for each in edges]
    together = torch.cat([score.flatten() for score in scores])
    count = math.floor(share * len(together))
    marks = torch.zeros_like(together, dtype=torch.bool)
    marks[torch.argsort(together, stable=True)[:count]] = True
    removed = 0
    parts = marks.split([score.numel() for score in scores])  # type: ignore[no-untyped-call]
    for each, mark in zip(edges, parts, strict=True):
        chosen = mark.view(each.spread.shape) & (each.spread < each.spread.max())
        remove_edges(each, chosen)
        removed += int(chosen.sum())
    return removed


def edge_scores(spread: Tensor) -> Tensor:
    """The variances of a layer's edges over the mean variance of its outputs; zero where the layer does nothing."""
    variance = spread.square()
    return variance / (variance.sum() / len(variance)).clamp(min=torch.finfo(variance.dtype).tiny)


@torch.no_grad()
def remove_edges(edges: LayerEdges, chosen: Tensor) -> None:
    """Set the functions of the chosen edges, (O, I, K), to zero; the bias takes over their means."""
    if edges.bias is not None:
        edges.bias.add_((edges.mean * chosen).sum((1, 2)))
    weight = edges.layer.get_parameter("weight")
    weight.mul_(~_spread_out(edges.layer, chosen))


def count_edges(network: nn.Module) -> tuple[int, int]:
    """Edges that are not zero, and all there are."""
    marks = [_alive(layer) for layer in edged_layers(network).values()]
    return sum(int(mark.sum()) for mark in marks), sum(mark.numel() for mark in marks)


@contextmanager
def zeros_held(network: nn.Module) -> Iterator[None]:
    """While inside, edges that are zero have no gradient, and no optimizer here moves what is zero without one."""
    handles = []
    for layer in edged_layers(network).values():
        weight, mask = layer.get_parameter("weight"), _spread_out(layer, _alive(layer))
        if weight.requires_grad and not mask.all():
            handles.append(weight.register_hook(partial(torch.mul, mask)))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _alive(layer: nn.Module) -> Tensor:
    """Edges with a weight that is not zero: (O, I, K), bool."""
    return (weights_by_edge(layer) != 0).any(2)


def _spread_out(layer: nn.Module, marks: Tensor) -> Tensor:
    """(O, I, K) -> the shape of `layer.weight`, each mark for all planes of its edge."""
    weight = layer.get_parameter("weight")
    planes = layer.planes if isinstance(layer, KANLayer) else 1
    return marks[:, None].expand(-1, planes, -1, -1).reshape(weight.shape)


def _bias(modules: dict[str, nn.Module], name: str) -> Tensor | None:
    parent = modules.get(name.rpartition(".")[0])
    if isinstance(parent, BottleneckKANConv) and modules[name] is parent.base_conv:
        return parent.up.bias
    bias: Tensor | None = getattr(modules[name], "bias", None)
    return bias
