"""The front as a picture in a file: the geometry of the report's page, in the same colours and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.report.geometry import Geometry, axis_name, value_of
from kansearch.report.palette import name_of, series_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
from trials.metrics import METRICS

__all__ = ["COLOURS", "MARKERS", "front_png"]

COLOURS = {
    "ink": "#1b1f24", "blue": "#0072b2", "red": "#d55e00", "green": "#009e73",
    "purple": "#b0588f", "orange": "#c98a00", "sky": "#3a9bd0",
}  # fmt: skip
"""The colours of `palette.Series`, as the page's style sheet has them in light."""
MARKERS: Mapping[str, Any] = {
    "cross": "x", "circle": "o", "square": "s", "up": "^", "diamond": "D", "down": "v", "star": "*", "plus": "P",
    "hexagon": "H", "bar": "|", "bow": "X", "left": "<", "right": ">", "pentagon": "p",
    "wedge": [(-1, 1), (1, 1), (-1, -1)],
}  # fmt: skip
"""Matplotlib's marker for each of `svg.SHAPES` that a basis has."""


def front_png(geometry: Geometry, path: Path) -> None:
    """Draw the front into the PNG (or SVG, PDF, by its ending) file `path`; needs one complete trial."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=144, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _draw(axes, geometry, *geometry.axes)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_title(f"Front: {len(geometry.front)} of {len(geometry.complete)} complete trials", loc="left")
    figure.savefig(path)


def _draw(axes: Axes, geometry: Geometry, across: str, up: str) -> None:
    """Draw in shares of the axes, which have the page's ticks."""
    x, y = geometry.extent(across), geometry.extent(up)
    for axis, scale, name, count in ((axes.xaxis, x, across, 8), (axes.yaxis, y, up, 7)):
        ticks = scale.ticks(count)
        axis.set_ticks([share for share, _ in ticks], [label for _, label in ticks])
        axis.set_label_text(axis_name(name))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    corners = [(x(a), y(b)) for a, b in geometry.staircase(across, up)]
    axes.plot([a for a, _ in corners], [b for _, b in corners], color="#888888", lw=1, zorder=1)
    for basis, series in series_of({record.stored.basis for record in geometry.complete}).items():
        look: dict[str, Any] = {"color": COLOURS[series.colour], "marker": MARKERS[series.shape], "clip_on": False}
        for those, more in (
            (geometry.rest, {"s": 14, "alpha": 0.3}),
            (geometry.front, {"s": 44, "label": name_of(basis), "zorder": 2}),
        ):
            own = [(value_of(record, across), value_of(record, up)) for record in those if record.stored.basis == basis]
            places = [(x(a), y(b)) for a, b in own if a is not None and b is not None]
            axes.scatter([a for a, _ in places], [b for _, b in places], **look, **more)
    published = [each.values for each in geometry.references if {across, up} <= each.values.keys()]
    if published:
        places = [(x(values[across]), y(values[up])) for values in published]
        rings: dict[str, Any] = {
            "facecolors": "none",
            "edgecolors": COLOURS["ink"],
            "label": "published",
            "clip_on": False,
        }
        axes.scatter([a for a, _ in places], [b for _, b in places], s=18, **rings)
    axes.legend(frameon=False, loc="upper right" if METRICS[up].regression else "lower right")
