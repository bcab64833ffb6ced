"""Pictures of a retraining: `curves.png`, and `confusion.png` or `predictions.png`. Drawn without a display."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kansearch.study.seeds import SeedRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["confusion_figure", "curves_figure", "predictions_figure", "write_pictures"]

BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito's
_NAMED = 25
"""The most classes whose names, and counts, are written into a picture."""
_LONGEST_NAME = 14
_SLANTED: dict[str, Any] = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
_WIDE = 20  # times the smallest loss: then the axis is logarithmic


def write_pictures(out: Path, runs: Sequence[SeedRecord]) -> None:
    """Draw them into the folder of a retraining: the confusion of classes, of a regression its predictions.

    Raises OSError, and ValueError where a file there is damaged.
    """
    loss = "loss of targets of deviation 1" if "nrmse" in runs[0].test else "loss (nats)"
    figures = {"curves.png": curves_figure([run.curve for run in runs], loss)}
    if "confusion_matrix" in runs[0].test:
        classes = json.loads((out / f"seed-{runs[0].seed}" / "model.json").read_text())["classes"]
        matrices = np.array([run.test["confusion_matrix"] for run in runs])
        figures["confusion.png"] = confusion_figure(matrices.sum(0), classes, len(matrices))
    if "per_target" in runs[0].test:
        figures["predictions.png"] = predictions_figure([run.test["per_target"] for run in runs])
    for name, figure in figures.items():
        unfinished = out / f".{name}"
        figure.savefig(unfinished, format="png")
        unfinished.replace(out / name)


def curves_figure(curves: Sequence[Sequence[Mapping[str, Any]]], loss_label: str = "loss (nats)") -> Figure:
    """Loss over the epochs, a thin line for each seed and a thick one for their mean.

    The validation part's loss and accuracy, or nRMSE, are beside it where they were measured.
    """
    regression = curves[0][0].get("nrmse") is not None
    quality = "nrmse" if regression else "accuracy"
    measured = curves[0][0][quality] is not None
    figure = _figure(10.4 if measured else 6.4, 4.2)
    loss, *rest = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    _lines(loss, curves, "train_loss", "training", BLUE)
    if measured:
        _lines(loss, curves, "validation_loss", "validation", ORANGE)
        _lines(rest[0], curves, quality, "validation", ORANGE)
        rest[0].set(xlabel="epoch", ylabel="validation nRMSE" if regression else "validation accuracy")
        if regression:
            rest[0].set_yscale("log")
    loss.set(xlabel="epoch", ylabel=loss_label)
    losses = [row["train_loss"] for curve in curves for row in curve]
    if 0 < min(losses) < max(losses) / _WIDE:
        _logarithmic(loss)
    loss.legend(frameon=False)
    seeds = f"mean of {len(curves)} seeds; each seed faint" if len(curves) > 1 else "one seed"
    figure.suptitle(f"Training curves ({seeds})", x=0.01, ha="left")
    for axes in (loss, *rest):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _logarithmic(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with its numbers written as usual, not as powers of ten."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _lines(axes: Axes, curves: Sequence[Sequence[Mapping[str, Any]]], name: str, label: str, colour: str) -> None:
    epochs = [row["epoch"] for row in curves[0]]
    rows = np.array([[row[name] for row in curve] for curve in curves], dtype=float)  # (seeds, epochs)
    marker = "o" if len(epochs) == 1 else None
    if len(rows) > 1:
        for row in rows:
            axes.plot(epochs, row, color=colour, lw=0.8, alpha=0.35)
    axes.plot(epochs, rows.mean(0), color=colour, lw=1.8, label=label, marker=marker)


def confusion_figure(matrix: NDArray[np.int64], classes: Sequence[str], seeds: int) -> Figure:
    """Rows are the labels, columns the predictions; the colour is the share of a row, the number the count in it."""
    count = len(classes)
    named = count <= _NAMED
    side = min(max(4.8, 0.52 * count + 2.4), 14.0) if named else 8.0
    figure = _figure(side + 0.9, side)
    axes = figure.add_subplot()
    share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the class", shrink=0.85)
    if named:
        names = [_short(each) for each in classes]
        long = max(map(len, names)) > 3
        axes.set_xticks(range(count), names, **(_SLANTED if long else {}))
        axes.set_yticks(range(count), names)
        size = 8 if matrix.max() < 10_000 else 6
        for row, column in np.argwhere(matrix > 0):
            colour = "white" if share[row, column] > 0.55 else "#222222"
            text = f"{matrix[row, column]}"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)
    axes.set(xlabel="prediction", ylabel="label")
    over = f", summed over {seeds} seeds" if seeds > 1 else ""
    axes.set_title(f"Test split{over}", loc="left")
    return figure


def predictions_figure(runs: Sequence[Sequence[Mapping[str, Any]]]) -> Figure:
    """Predicted against true values, and what is left, a row for each target; the samples of all seeds together.

    runs: of each seed `per_target` of the test split's figures.
    """
    figure = _figure(9.6, 4.2 * len(runs[0]))
    for row, targets in zip(figure.subplots(len(runs[0]), 2, squeeze=False), zip(*runs, strict=True), strict=True):
        true, predicted = np.array([pair for target in targets for pair in target["pairs"]]).T
        ends, name = [min(true.min(), predicted.min()), max(true.max(), predicted.max())], targets[0]["target"]
        for axes, values, line, label in zip(
            row, (predicted, predicted - true), (ends, [0, 0]), ("predicted", "predicted - true"), strict=True
        ):
            axes.plot(ends, line, color="#222222", lw=1.2, ls="--")
            axes.plot(true, values, ".", color=BLUE, alpha=0.5, ms=5, mew=0)
            axes.set(xlabel=f"true {name}", ylabel=label)
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25)
    figure.suptitle(f"Test split ({len(runs)} {'seeds' if len(runs) > 1 else 'seed'})", x=0.01, ha="left")
    return figure


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
