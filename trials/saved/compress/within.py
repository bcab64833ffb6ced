"""Edges taken out for as long as the validation error allows it, and with them nodes and inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Container
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trials.data.splits import Split
from trials.models.mlp import MLP, Products
from trials.saved.compress.prune import count_edges, edge_scores, network_edges, remove_edges
from trials.training.edges import EDGED, weights_by_edge
from trials.training.step import measure

__all__ = [
    "Edge",
    "MLPLayer",
    "least_harmful",
    "mlp_layers",
    "prune_within",
    "remove_one",
    "sweep",
    "unread_inputs",
    "validation_error",
]

_TRIES = 500
"""About so many times a network is measured at most: of a larger one, several edges go or stay together."""


Edge = tuple[str, int]
"""The name of a layer, and the place of an edge in its (O, I, K) flattened."""


@dataclass(frozen=True)
class MLPLayer:
    """A layer of a network `mlp` that has edges, and the products of its outputs."""

    name: str
    layer: nn.Module
    products: int
    plain: bool
    """Whether nothing but these edges stands between its inputs and its outputs."""

    def rows(self, node: int) -> list[int]:
        """The outputs that make a node: one, or the two factors of a product."""
        outputs = len(self.layer.get_parameter("weight"))
        sums = outputs - 2 * self.products
        return [node] if node < sums else [2 * node - sums, 2 * node - sums + 1]

    @property
    def nodes(self) -> int:
        return len(self.layer.get_parameter("weight")) - self.products

    @property
    def alive(self) -> Tensor:
        """Edges that are not zero, (outputs, inputs), bool."""
        return (weights_by_edge(self.layer) != 0).any(2)[:, :, 0]


def mlp_layers(network: MLP) -> list[MLPLayer]:
    """The layers of a network in their order; none where one has no edges of its own, as PowerMLP's blocks."""
    found = []
    for name, block in [*((f"layers.{i}", each) for i, each in enumerate(network.layers)), ("last", network.last)]:
        assert isinstance(block, nn.Sequential)
        edged = [(index, each) for index, each in enumerate(block) if isinstance(each, EDGED)]
        if len(edged) != 1:
            return []
        products = sum(each.count for each in block if isinstance(each, Products))
        found.append(MLPLayer(f"{name}.{edged[0][0]}", edged[0][1], products, len(block) == 1 + bool(products)))
    return found


def prune_within(
    network: nn.Module, shown: Tensor, limit: float, error: Callable[[nn.Module], float]
) -> tuple[int, float]:
    """Take out the least important edges while `error` stays at most `limit`; how many, and the error then.

    Importance is `prune_edges`'s. Many go at once at first, and half as many wherever the error would be too large, so
    that of a small network each edge is tried by itself. In the family `mlp` all edges of a node go that nothing reads.

    Args:
        shown: normalised samples (N, C, *size), over which edges are judged and whose means biases take over.
        limit: the largest error allowed.
        error: measures the network as it is.
    """
    before, total = count_edges(network)
    found = error(network)
    needed: set[Edge] = set()
    together = max(before // 4, 1)
    least = max(total // _TRIES, 1)
    while together >= least:
        edges = network_edges(network, shown)
        ranked = [
            (float(score), each.name, index)
            for each in edges
            for index, score in enumerate(edge_scores(each.spread).flatten())
            if score > 0 and (each.name, index) not in needed
        ]
        chosen = sorted(ranked)[:together]
        if not chosen:
            break
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        for each in edges:
            marks = torch.zeros(each.spread.numel(), dtype=torch.bool)
            marks[[index for _, name, index in chosen if name == each.name]] = True
            remove_edges(each, marks.view(each.spread.shape))
        sweep(network, shown)
        tried = error(network)
        if tried <= limit:
            found = tried
            continue
        network.load_state_dict(kept)
        if together > least:
            together //= 2
        else:
            needed.update((name, index) for _, name, index in chosen)
    return before - count_edges(network)[0], found


def least_harmful(
    network: nn.Module, shown: Tensor, error: Callable[[nn.Module], float], needed: Container[Edge]
) -> tuple[Edge, float] | None:
    """The edge, none of those `needed`, without which the error is least, and that error; None where there is none."""
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    found: list[tuple[float, Edge]] = []
    for each in network_edges(network, shown):
        for index in (each.spread.flatten() > 0).nonzero().flatten().tolist():
            if (each.name, index) not in needed:
                remove_one(network, shown, (each.name, index))
                found.append((error(network), (each.name, index)))
                network.load_state_dict(kept)
    if not found:
        return None
    least, edge = min(found)
    return edge, least


def remove_one(network: nn.Module, shown: Tensor, edge: Edge) -> None:
    """Take out an edge, and what nothing reads or never changes then."""
    own = next(each for each in network_edges(network, shown) if each.name == edge[0])
    marks = torch.zeros(own.spread.numel(), dtype=torch.bool)
    marks[edge[1]] = True
    remove_edges(own, marks.view(own.spread.shape))
    sweep(network, shown)


@torch.no_grad()
def sweep(network: nn.Module, shown: Tensor) -> None:
    """Zero the edges into nodes that nothing reads, and those out of nodes that never change, whose value goes into a
    bias. Outputs stay what they were; other families than `mlp` stay whole."""
    if not isinstance(network, MLP):
        return
    layers = mlp_layers(network)
    while True:
        edges_left = count_edges(network)[0]
        for before, after in itertools.pairwise(layers):
            alive = after.alive
            for node in range(before.nodes):
                if not alive[:, node].any():
                    for parameter in ("weight", "bias"):
                        values = getattr(before.layer, parameter)
                        if values is not None:
                            values[before.rows(node)] = 0
            still = [node for node in range(before.nodes) if not before.alive[before.rows(node)].any()]
            if still and after.plain and alive[:, still].any():
                own = next(each for each in network_edges(network, shown) if each.name == after.name)
                marks = torch.zeros_like(own.spread, dtype=torch.bool)
                marks[:, still] = True
                remove_edges(own, marks)
        if count_edges(network)[0] == edges_left:
            return


def unread_inputs(network: nn.Module) -> list[int]:
    """The inputs that a network `mlp` does not depend on."""
    layers = mlp_layers(network) if isinstance(network, MLP) else []
    return [int(each) for first in layers[:1] for each in (~first.alive.any(0)).nonzero().flatten()]


def validation_error(split: Split) -> Callable[[nn.Module], float]:
    """A function that measures a network on a split: nRMSE of numbers, mean cross-entropy (nats) of classes."""

    def error(network: nn.Module) -> float:
        scores = measure(network, split, next(network.parameters()).dtype)
        return float(scores[4] if split.targets is not None else scores[0])

    return error
