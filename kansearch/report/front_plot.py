"""The front as a picture: the first objective against the last, every complete trial faint behind the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kansearch.space import Direction
from kansearch.study.front import front_of
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["front_png"]

_COLOURS = {
    "none": "#6b6b6b", "spline_activation": "#8f8f8f", "power_mlp": "#b3b3b3",
    "bspline": "#0b5cad", "rbf": "#c8500a", "gram": "#19764a",
}  # fmt: skip
"""Colours of the controls, which are greys, and of the common bases."""
_OTHER_COLOURS = (
    "#7a3fa0", "#b5123e", "#7d6a00", "#00818a", "#a04b8c", "#4a5d23", "#5a4632", "#2f4b7c", "#d45087"
)  # fmt: skip


def front_png(records: Sequence[TrialRecord], objectives: Mapping[str, Direction], path: Path) -> None:
    """Draw the front of `records` into the PNG (or SVG, PDF, by its ending) file `path`; needs one complete trial.

    With one objective it is drawn over the number of parameters.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = Figure(figsize=(7.2, 4.6), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = list(objectives)
    across, up = (names[-1], names[0]) if len(names) > 1 else ("parameters", names[0])
    front = front_of(records, objectives)
    _draw(axes, [record for record in records if record.state == "complete"], front, across, up)
    axes.set_xlabel(across.replace("_", " "))
    own = METRICS[up].regression
    axes.set_ylabel(METRICS[up].short if own else ("validation " if METRICS[up].share else "") + up.replace("_", " "))
    if own and METRICS[up].logarithmic:
        axes.set_yscale("log")
    if METRICS[across].size:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_title(f"Front: {len(front)} of {sum(r.state == 'complete' for r in records)} complete trials", loc="left")
    figure.savefig(path)


def _draw(axes: Axes, complete: Sequence[TrialRecord], front: Sequence[TrialRecord], across: str, up: str) -> None:
    colours = basis_colours({_basis(record) for record in complete})
    on_front = {record.number for record in front}
    axes.step(
        [_value(r, across) for r in front],
        [_value(r, up) for r in front],
        where="post",
        color="#888888",
        lw=1,
        zorder=1,
    )
    for basis, colour in colours.items():
        rest = [r for r in complete if _basis(r) == basis and r.number not in on_front]
        best = [r for r in front if _basis(r) == basis]
        axes.scatter([_value(r, across) for r in rest], [_value(r, up) for r in rest], s=14, color=colour, alpha=0.3)
        plain = "plain network" if METRICS[up].regression else "plain convolution"
        label = plain if basis == "none" else basis.replace("_", " ")
        axes.scatter(
            [_value(r, across) for r in best], [_value(r, up) for r in best], s=44, color=colour, label=label, zorder=2
        )
    axes.legend(frameon=False, loc="upper right" if METRICS[up].regression else "lower right")


def basis_colours(names: set[str]) -> dict[str, str]:
    """A colour for each basis, the same in every picture for the common ones."""
    others = iter(_OTHER_COLOURS * (1 + len(names) // len(_OTHER_COLOURS)))
    return {name: _COLOURS.get(name) or next(others) for name in sorted(names)}


def _basis(record: TrialRecord) -> str:
    return record.stored.basis


def _value(record: TrialRecord, name: str) -> float:
    return float(record.values[name] if name in record.values else record.metrics[name])
