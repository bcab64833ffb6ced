"""A small network as a picture of its graph: every edge that is not zero, with the function that it has learned.

PICTURES/graph.png: inputs below, outputs above, × for a product; the darker an edge, the more its function varies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trials.saved import LearnedLayer

__all__ = ["draw_graph", "fits_graph"]

_MOST = 40
"""Edges of a layer that a picture shows at most."""
_BOX, _ROW = 0.62, 2.4
"""Side of a function's box, and height of a layer, in inches."""


def fits_graph(layers: Sequence[LearnedLayer], outputs: int) -> bool:
    """Whether layers are a small network of the family mlp: each reads the nodes of the one before it."""
    if any(layer.kernel or np.count_nonzero(layer.importance) > _MOST for layer in layers):
        return False
    products = [_products(layer, nodes) for layer, nodes in zip(layers, _widths(layers, outputs), strict=True)]
    sums = [layer.importance.shape[0] - 2 * count for layer, count in zip(layers, products, strict=True)]
    return all(count >= 0 for count in (*products, *sums)) and products[-1] == 0


def draw_graph(layers: Sequence[LearnedLayer], inputs: Sequence[str], outputs: Sequence[str], path: Path) -> None:
    """Write the picture of a network that `fits_graph`. Raises OSError where it cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    most = max(np.count_nonzero(layer.importance) for layer in layers)
    width, height = max(_BOX * 1.25 * most, 4.0), _ROW * len(layers) + 0.6
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    names, below = list(inputs), _spread(len(inputs), width)
    for number, (layer, nodes) in enumerate(zip(layers, _widths(layers, len(outputs)), strict=True)):
        bottom, top = 0.35 + number * _ROW, 0.35 + (number + 1) * _ROW
        for i, (x, name) in enumerate(zip(below, names, strict=True)):
            if number == 0 or layer.importance[:, i].any():
                _node(axes, x, bottom, name)
        above = _spread(nodes, width)
        _edges(axes, layer, below, above, bottom, top)
        count = _products(layer, nodes)
        names = [*[""] * (nodes - count), *["×"] * count]
        below = above
    for x, name in zip(below, outputs, strict=True):
        _node(axes, x, 0.35 + len(layers) * _ROW, name)
    figure.savefig(path)


def _widths(layers: Sequence[LearnedLayer], outputs: int) -> list[int]:
    """Nodes that each layer leads to."""
    return [*(layer.importance.shape[1] for layer in layers[1:]), outputs]


def _products(layer: LearnedLayer, nodes: int) -> int:
    """The nodes that are products of two outputs of the layer."""
    return int(layer.importance.shape[0]) - nodes


def _spread(count: int, width: float) -> list[float]:
    return [width * (place + 0.5) / count for place in range(count)]


def _node(axes: Axes, x: float, y: float, name: str) -> None:
    axes.plot([x], [y], "o", color="#333333", markersize=5, zorder=3)
    axes.annotate(name, (x, y), (0, -14 if y < 0.5 else 7), textcoords="offset points", ha="center", fontsize=9)


def _edges(
    axes: Axes, layer: LearnedLayer, below: Sequence[float], above: Sequence[float], bottom: float, top: float
) -> None:
    """The boxes of a layer's functions in a row, each joined to the node that it reads and the one that it leads to."""
    importance = layer.importance[:, :, 0]
    sums = len(importance) - 2 * _products(layer, len(above))
    edges = [(int(o), int(i)) for i in range(importance.shape[1]) for o in np.flatnonzero(importance[:, i])]
    edges.sort(key=lambda edge: (below[edge[1]] + above[_node_of(edge[0], sums)], edge))
    width, middle = axes.get_xlim()[1], (bottom + top) / 2
    for (o, i), x in zip(edges, _spread(len(edges), width), strict=True):
        shade = 0.25 + 0.75 * float(importance[o, i] / importance.max())
        line: dict[str, Any] = {"color": "#333333", "linewidth": 1.2, "alpha": shade, "zorder": 1}
        axes.plot([below[i], x], [bottom, middle - _BOX / 2], **line)
        axes.plot([x, above[_node_of(o, sums)]], [middle + _BOX / 2, top], **line)
        box = axes.inset_axes((x - _BOX / 2, middle - _BOX / 2, _BOX, _BOX), transform=axes.transData)
        seen = layer.seen[:, i]
        shown = (layer.z >= seen.min()) & (layer.z <= seen.max())
        box.plot(layer.z[shown], layer.functions(([o], [i], [0]))[0][shown], color="#0072b2", linewidth=1.4)
        box.set(xticks=[], yticks=[])


def _node_of(output: int, sums: int) -> int:
    """The node that an output of a layer is, or is a factor of."""
    return output if output < sums else sums + (output - sums) // 2
