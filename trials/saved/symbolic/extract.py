"""Draw the edges of a trained network, in the units of the data."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch

from trials.kan.layer import KANLayer
from trials.models.mlp import MLP
from trials.saved.compress.within import mlp_layers, sweep
from trials.saved.symbolic.library import Array
from trials.saved.trained import TrainedModel
from trials.training.edges import planes_at, weights_by_edge

__all__ = ["DrawnEdge", "DrawnNode", "draw_edges"]


@dataclass(frozen=True)
class DrawnEdge:
    """An edge's values y at its inputs x, (N,) each."""

    source: int
    x: Array
    y: Array


@dataclass(frozen=True)
class DrawnNode:
    """The edges of each sum of a node, and its bias."""

    sums: tuple[tuple[tuple[DrawnEdge, ...], float], ...]


_Drawn = tuple[list[tuple[int, Array, Array]], float]
"""A sum: each edge's source, its inputs and its values; and the bias."""


@torch.no_grad()
def draw_edges(model: TrainedModel, rows: Array, target: int) -> list[list[DrawnNode]]:
    """The edges of each layer that one target depends on, over rows (N, F) in the user's units.

    Nodes that the target does not depend on are left out, and `source` counts those that are left. A product with a
    number is a sum. A hidden sum of one edge passes its input on, and the edges that read it do what both did.

    Raises ValueError where the network is no KAN of the family `mlp`, or has normalisations.
    """
    network = copy.deepcopy(model.network).double().eval()
    given = torch.from_numpy(np.ascontiguousarray(rows))
    z = (given - model.mean) / model.std
    layers = mlp_layers(network) if isinstance(network, MLP) else []
    if not layers or not all(each.plain and isinstance(each.layer, KANLayer) for each in layers):
        raise ValueError("a formula is read from a KAN of the family mlp, without normalisation; this is none")
    sweep(network, z)
    drawn: list[list[list[_Drawn]]] = []
    x = rows
    for each in layers:
        layer = each.layer
        assert isinstance(layer, KANLayer)
        phi = torch.einsum("nip,oip->noi", planes_at(layer, z), weights_by_edge(layer)[..., 0])
        bias = layer.bias if layer.bias is not None else torch.zeros(phi.shape[1], dtype=phi.dtype)
        if each is layers[-1]:  # in the target's units
            phi, bias = phi * model.target_std[:, None], bias * model.target_std + model.target_mean
        alive = each.alive
        sums = [
            ([(i, x[:, i], phi[:, o, i].numpy()) for i in range(phi.shape[2]) if alive[o, i]], float(bias[o]))
            for o in range(phi.shape[1])
        ]
        nodes = [_merged([sums[row] for row in each.rows(node)]) for node in range(each.nodes)]
        totals = phi.sum(2) + bias
        z = torch.stack([totals[:, each.rows(node)].prod(1) for node in range(each.nodes)], 1)
        values = z.numpy().copy()
        for node, parts in enumerate(nodes) if each is not layers[-1] else ():
            if len(parts) == 1 and len(parts[0][0]) == 1:  # a function of a function: what reads it takes both
                source, own, _ = parts[0][0][0]
                nodes[node] = [([(source, own, own)], 0.0)]
                values[:, node] = own
        drawn.append(nodes)
        x = values
    return _reached(drawn, target)


def _merged(parts: list[_Drawn]) -> list[_Drawn]:
    """The factors of a node, where one of them is a number the other one times that number."""
    if len(parts) == 2:
        for (edges, bias), (others, number) in (parts, parts[::-1]):
            if not others:
                return [([(source, x, number * y) for source, x, y in edges], number * bias)]
    return parts


def _reached(drawn: list[list[list[_Drawn]]], target: int) -> list[list[DrawnNode]]:
    """The nodes that lead to the target, numbered anew."""
    wanted = [target]
    found: list[list[DrawnNode]] = []
    for index in reversed(range(len(drawn))):
        nodes = [drawn[index][each] for each in wanted]
        sources = sorted({i for node in nodes for edges, _ in node for i, _, _ in edges})
        number = {each: each if index == 0 else place for place, each in enumerate(sources)}
        found.append(
            [
                DrawnNode(tuple((tuple(DrawnEdge(number[i], x, y) for i, x, y in edges), bias) for edges, bias in node))
                for node in nodes
            ]
        )
        wanted = sources
    return found[::-1]
