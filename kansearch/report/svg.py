"""SVG by hand: elements as escaped text, and the marks that plots are made of.

Colours are classes: the page's style sheet says what they are in light and in dark. All text that is given is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from markupsafe import Markup, escape

__all__ = ["SHAPES", "dots", "drawing", "element", "marker", "polyline", "shape_definitions", "text"]

SHAPES = {
    "cross": "M-4-4L4 4M4-4L-4 4",
    "circle": "M-4.4 0A4.4 4.4 0 1 0 4.4 0A4.4 4.4 0 1 0-4.4 0Z",
    "square": "M-4-4H4V4H-4Z",
    "up": "M0-5L5 4H-5Z",
    "diamond": "M0-5.6L5.2 0L0 5.6L-5.2 0Z",
    "down": "M0 5L5-4H-5Z",
    "star": "M0-6L1.6-2L5.7-1.9L2.5.8L3.5 4.9L0 2.5L-3.5 4.9L-2.5.8L-5.7-1.9L-1.6-2Z",
    "plus": "M-1.8-5.4H1.8V-1.8H5.4V1.8H1.8V5.4H-1.8V1.8H-5.4V-1.8H-1.8Z",
    "hexagon": "M-5 0L-2.5-4.4H2.5L5 0L2.5 4.4H-2.5Z",
    "bar": "M-1.9-5.4H1.9V5.4H-1.9Z",
    "bow": "M-5-4.4L5 4.4V-4.4L-5 4.4Z",
    "left": "M-5.4 0L3.8-5V5Z",
    "right": "M5.4 0L-3.8-5V5Z",
    "pentagon": "M0-5.4L5.1-1.7L3.2 4.4H-3.2L-5.1-1.7Z",
    "wedge": "M-4.4-4.4H4.4L-4.4 4.4Z",
    "ring": "M-2.6 0A2.6 2.6 0 1 0 2.6 0A2.6 2.6 0 1 0-2.6 0Z",
}
"""Paths about the origin, some 10 units wide. A cross is drawn by its line alone, the others are filled."""

Points = Iterable[tuple[float, float]]


def element(name: str, content: object = "", /, **attributes: Any) -> Markup:
    """`<name attribute="value">content</name>`; `class_` gives `class`, `stroke_width` gives `stroke-width`."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"' for key, value in attributes.items()
    )
    if isinstance(content, (list, tuple)):
        content = Markup("").join(content)
    inside = escape(content)
    return Markup(f"<{name}{written}>{inside}</{name}>" if inside else f"<{name}{written}/>")


def _short(value: Any) -> Any:
    return _figure(value) if isinstance(value, float) else value


def _figure(value: float) -> str:
    """A coordinate to a tenth of a unit."""
    rounded = round(value, 1)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)


def drawing(width: float, height: float, body: Sequence[object], title: str) -> Markup:
    """An `<svg>` that fills its container, named `title` for screen readers."""
    box = f"0 0 {_figure(width)} {_figure(height)}"
    content = [element("title", title), *map(Markup, body)]
    return element("svg", content, viewBox=box, role="img", aria_label=title)


def text(x: float, y: float, content: object, class_: str = "", anchor: str = "start", **more: Any) -> Markup:
    """A line of text; `anchor` is start, middle or end."""
    named = {"class_": class_} if class_ else {}
    anchored = {} if anchor == "start" else {"text_anchor": anchor}
    return element("text", content, x=float(x), y=float(y), **named, **anchored, **more)


def marker(x: float, y: float, shape: str, class_: str, tip: str = "", small: bool = False, **more: Any) -> Markup:
    """One of `SHAPES`, with a text that a browser shows when it is pointed at.

    `data_trial` is the number of its trial, by which the page's script finds it.
    """
    inside = element("title", tip) if tip else ""
    href = f"#{'t' if small else 's'}-{shape}"
    return element("use", inside, href=href, x=float(x), y=float(y), class_=class_, **more)


def shape_definitions() -> Markup:
    """Define the shapes that `marker` refers to; needed once a page."""
    usual = [element("path", id=f"s-{name}", d=path) for name, path in SHAPES.items()]
    small = [element("path", id=f"t-{name}", d=path, transform="scale(.6)") for name, path in SHAPES.items()]
    return element("defs", usual + small)


def dots(points: Points, class_: str) -> Markup:
    """Round dots, one path for all of them; the class' stroke-width is their diameter."""
    return element("path", d="".join(f"M{_figure(x)} {_figure(y)}h0" for x, y in points), class_=f"dots {class_}")


def polyline(points: Points, class_: str, tip: str = "", **more: Any) -> Markup:
    """A line through `points`; `data_trial` as in `marker`."""
    path = "L".join(f"{_figure(x)} {_figure(y)}" for x, y in points)
    inside = element("title", tip) if tip else ""
    return element("path", inside, d=f"M{path}" if path else "", class_=f"line {class_}", **more)
