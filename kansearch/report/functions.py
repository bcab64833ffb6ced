"""Pictures of what a trained network has learned: `kansearch inspect`.

PICTURES/
├── layers.png                 each layer's function norm, share of prunable edges, share of inputs outside the grid
├── layers.json                the same as numbers
├── edges.csv                  every edge of every layer with its importance, rank and sign
├── graph.png                  a small network of the family mlp as a graph: see `graph`
└── <n>-<layer>-functions.png  φ of the most important kernels, entry by entry, over the inputs that they have seen
             -mesh.png         the sum of two inputs' functions, for the most important outputs
             -signs.png        the binarised kernels, sign of φ(1) - φ(-1)
             -edges.png        edges ranked by importance, the prunable ones marked
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trials.files import as_json, write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trials.saved import LearnedLayer

__all__ = ["draw_layers", "layer_summary"]

BLUE, ORANGE, GREY, VERMILION = "#0072b2", "#e69f00", "#999999", "#d55e00"  # Okabe and Ito's
KERNELS, FUNCTIONS, MESHES, SIDE = 12, 40, 6, 48
"""The most that a picture shows: kernels, functions of a linear layer, heat maps, kernels along a side of a mosaic."""


def draw_layers(layers: Sequence[LearnedLayer], out: Path) -> list[dict[str, Any]]:
    """Write every picture and table of the layers into the folder `out`, made if missing; the summaries of layers.json.

    Raises OSError where it cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    summaries = [layer_summary(layer) for layer in layers]
    write_whole(out / "layers.json", as_json(summaries))
    _write_edges(layers, out / "edges.csv")
    _save(_overview(summaries), out / "layers.png")
    pictures: dict[str, Callable[[LearnedLayer], Figure]] = {
        "functions": _functions, "mesh": _mesh, "signs": _signs, "edges": _edges
    }  # fmt: skip
    for index, layer in enumerate(layers, start=1):
        for kind, draw in pictures.items():
            _save(draw(layer), out / f"{index:02}-{layer.name}-{kind}.png")
    return summaries


def layer_summary(layer: LearnedLayer) -> dict[str, Any]:
    """A layer in numbers, JSON-able. norm and the importances are standard deviations of φ over the inputs seen."""
    outputs, inputs, entries = layer.importance.shape
    return {
        "layer": layer.name,
        "basis": layer.basis,
        "outputs": outputs,
        "inputs": inputs,
        "kernel": list(layer.kernel),
        "edges": outputs * inputs * entries,
        "norm": layer.norm,
        "largest": float(layer.importance.max()),
        "prunable": float(layer.prunable.mean()),
        "outside": layer.outside,
    }


def _write_edges(layers: Sequence[LearnedLayer], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", "output", "input", "kernel", "importance", "rank", "prunable", "sign"])
        for layer in layers:
            signs, prunable = layer.signs, layer.prunable
            for rank, edge in enumerate(_ranked(layer), start=1):
                entry = " ".join(map(str, _position(layer, edge[2])))
                importance = f"{layer.importance[edge]:.6g}"
                writer.writerow([layer.name, *edge[:2], entry, importance, rank, int(prunable[edge]), int(signs[edge])])


def _ranked(layer: LearnedLayer) -> list[tuple[int, ...]]:
    """All edges (output, input, entry), the most important first."""
    order = np.argsort(-layer.importance, axis=None, kind="stable")
    indices = np.stack(np.unravel_index(order, layer.importance.shape), axis=1)
    return [tuple(edge) for edge in indices.tolist()]


def _position(layer: LearnedLayer, entry: int) -> tuple[int, ...]:
    """Row and column of a kernel entry."""
    return tuple(int(each) for each in np.unravel_index(entry, layer.kernel)) if layer.kernel else ()


def _words(layer: LearnedLayer, edge: Sequence[int]) -> str:
    where = _position(layer, edge[2])
    return f"input {edge[1]}" + (f" at {','.join(map(str, where))}" if len(where) else "")


# -- figures ---------------------------------------------------------------------------------------


def _figure(title: str, width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
    figure.suptitle(title, fontsize=11)
    return figure


def _save(figure: Figure, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.savefig(path)


def _functions(layer: LearnedLayer) -> Figure:
    """Draw a grid of entries for each of the most important kernels; for a linear layer, a grid of edges."""
    strength = np.square(layer.importance).sum(2)
    rows, columns = layer.kernel if len(layer.kernel) == 2 else (1, layer.importance.shape[2])
    shown = np.argsort(-strength, axis=None, kind="stable")[: KERNELS if layer.kernel else FUNCTIONS]
    across = min(4 if layer.kernel else 8, len(shown))
    down = -(-len(shown) // across)
    what = "kernels" if layer.kernel else "edges"
    title = f"{layer.name} ({layer.basis}): φ of the {len(shown)} most important of {strength.size:,} {what}"
    width, height = across * max(1.5, 0.95 * columns), 0.8 + down * max(1.3, 0.85 * rows)
    figure = _figure(title, width, height, layout=None)
    figure.subplots_adjust(left=0.6 / width, right=1 - 0.1 / width, top=1 - 0.7 / height, bottom=0.6 / height)
    blocks = figure.add_gridspec(down, across, wspace=0.2, hspace=0.3 if rows > 1 else 0.55)
    for place, flat in enumerate(shown):
        output, source = (int(each) for each in np.unravel_index(flat, strength.shape))
        inner = blocks[place // across, place % across].subgridspec(rows, columns, wspace=0.08, hspace=0.08)
        axes = inner.subplots(sharex=True, sharey=True, squeeze=False)
        axes[0, columns // 2].set_title(f"output {output}, input {source}", fontsize=8)
        _kernel(layer, axes.ravel().tolist(), output, source)
    figure.supxlabel("input z   (solid: learned φ, dashed: before training, grey: inputs seen)", fontsize=9)
    figure.supylabel("φ(z)", fontsize=9)
    return figure


def _kernel(layer: LearnedLayer, axes: Sequence[Axes], output: int, source: int) -> None:
    """The functions of one kernel on axes of a common scale."""
    edges = ([output] * len(axes), [source] * len(axes), range(len(axes)))
    learned, initial = layer.functions(edges), layer.functions(edges, initial=True)
    heights, bounds = _histogram(layer, source)
    low, high = min(learned.min(), initial.min()), max(learned.max(), initial.max())
    margin = 0.05 * (high - low) or 1.0
    for each, after, before in zip(axes, learned, initial, strict=True):
        each.stairs(low - margin + heights * (high - low), bounds, baseline=low - margin, fill=True, color="#dddddd")
        each.plot(layer.z, before, "--", color=ORANGE, linewidth=0.8)
        each.plot(layer.z, after, color=BLUE, linewidth=1.1)
        each.set_ylim(low - margin, high + margin)
        each.tick_params(labelsize=5, length=2)


def _histogram(layer: LearnedLayer, source: int) -> tuple[Any, Any]:
    """Heights, at most 1, and bounds of the inputs that channel `source` has seen. In a grouped convolution an input is
    one of its group; the histogram is then that of every group together."""
    inputs = layer.importance.shape[1]
    seen = layer.seen[:, source::inputs]
    counts, bounds = np.histogram(seen, bins=30, range=(layer.z[0], layer.z[-1]))
    return counts / max(counts.max(), 1), bounds


def _mesh(layer: LearnedLayer) -> Figure:
    """Heat maps of φ_a(z) + φ_b(z') for the two most important edges of the most important outputs."""
    strength = np.square(layer.importance).sum((1, 2))
    shown = np.argsort(-strength, kind="stable")[:MESHES]
    across = min(3, len(shown))
    down = -(-len(shown) // across)
    title = f"{layer.name} ({layer.basis}): sum of the two most important functions of an output"
    figure = _figure(title, 3.4 * across, 0.5 + 3.0 * down)
    for each, output in zip(figure.subplots(down, across, squeeze=False).ravel(), shown, strict=False):
        best = np.argsort(-layer.importance[output], axis=None, kind="stable")[:2]
        pairs = [tuple(map(int, np.unravel_index(flat, layer.importance.shape[1:]))) for flat in best]
        edges = [(int(output), *pair) for pair in pairs] * (2 // len(pairs))
        first, second = layer.functions(tuple(zip(*edges, strict=True)))
        extent = (layer.z[0], layer.z[-1], layer.z[0], layer.z[-1])
        image = each.imshow(first[None, :] + second[:, None], origin="lower", extent=extent, cmap="viridis")
        figure.colorbar(image, ax=each, shrink=0.8).ax.tick_params(labelsize=6)
        each.set_title(f"output {output}", fontsize=8)
        each.set_xlabel(_words(layer, edges[0]), fontsize=7)
        each.set_ylabel(_words(layer, edges[1]), fontsize=7)
        each.tick_params(labelsize=6)
    return figure


def _signs(layer: LearnedLayer) -> Figure:
    """A mosaic of the binarised kernels, an output a row and an input a column."""
    signs = layer.signs[:SIDE, :SIDE]
    outputs, inputs, entries = signs.shape
    rows, columns = layer.kernel if len(layer.kernel) == 2 else (1, entries)
    tiles = np.full((outputs, inputs, rows + 1, columns + 1), np.nan)
    tiles[:, :, :rows, :columns] = signs.reshape(outputs, inputs, rows, columns)
    mosaic = tiles.transpose(0, 2, 1, 3).reshape(outputs * (rows + 1), -1)[:-1, :-1]
    figure = _figure(f"{layer.name} ({layer.basis}): sign of φ(1) - φ(-1)", *_size(mosaic.shape))
    axes = figure.subplots()
    from matplotlib.colors import ListedColormap

    axes.imshow(mosaic, cmap=ListedColormap([VERMILION, "#eeeeee", BLUE]), vmin=-1, vmax=1, interpolation="nearest")
    axes.set_xlabel(f"input, 0 to {inputs - 1}" + _cut(layer.signs.shape[1]), fontsize=9)
    axes.set_ylabel(f"output, 0 to {outputs - 1}" + _cut(layer.signs.shape[0]), fontsize=9)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("blue: rising, red: falling", fontsize=8)
    return figure


def _size(shape: tuple[int, ...]) -> tuple[float, float]:
    """Width and height in inches, in proportion, the longer side at most 9."""
    scale = min(9 / max(shape), 0.25)
    return max(shape[1] * scale, 3.2), max(shape[0] * scale, 1.0) + 1.0


def _cut(count: int) -> str:
    return f" of {count}" if count > SIDE else ""


def _edges(layer: LearnedLayer) -> Figure:
    """Importance by rank, and the inputs seen against the grid."""
    figure = _figure(f"{layer.name} ({layer.basis})", 8, 3.2)
    ranks, inputs = figure.subplots(1, 2)
    importance = np.sort(layer.importance.ravel())[::-1]
    count = len(importance) - int(layer.prunable.sum())
    places = np.arange(1, len(importance) + 1)
    ranks.plot(places[:count], importance[:count], color=BLUE, label=f"kept: {count:,}")
    pruned = len(importance) - count
    if pruned:
        ranks.plot(places[count:], importance[count:], ":", color=VERMILION, linewidth=2, label=f"prunable: {pruned:,}")
    scale = "log" if importance[-1] > 0 else "linear"
    ranks.set(xlabel="rank of the edge", ylabel="importance: std of φ(z)", yscale=scale)
    ranks.legend(frameon=False, fontsize=8)
    counts, bounds = np.histogram(layer.seen, bins=60)
    inputs.stairs(counts / counts.sum(), bounds, fill=True, color=GREY)
    if layer.grid is not None:
        for edge in layer.grid:
            inputs.axvline(edge, linestyle="--", color=ORANGE)
        inputs.set_title(f"{layer.outside:.1%} of the inputs outside the grid (dashed)", fontsize=9)
    inputs.set(xlabel="input z", ylabel="share of the inputs seen")
    return figure


def _overview(summaries: Sequence[dict[str, Any]]) -> Figure:
    """Each layer's norm, prunable share and share of inputs outside the grid."""
    figure = _figure("layers of the network", 9, 1.2 + 0.35 * len(summaries))
    names = [each["layer"] for each in summaries]
    axes = figure.subplots(1, 3, sharey=True)
    for each, key, label, colour in zip(
        axes,
        ("norm", "prunable", "outside"),
        ("function norm: rms of std φ(z)", "share of prunable edges", "share of inputs outside the grid"),
        (BLUE, VERMILION, ORANGE),
        strict=True,
    ):
        bars = each.barh(names, [summary[key] or 0.0 for summary in summaries], color=colour)
        each.bar_label(bars, ["-" if s[key] is None else f"{s[key]:.3g}" for s in summaries], fontsize=7, padding=2)
        each.set_xlabel(label, fontsize=8)
        each.margins(x=0.25)
        each.tick_params(labelsize=7)
    axes[0].invert_yaxis()
    return figure
