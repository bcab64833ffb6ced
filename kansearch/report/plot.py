"""`Plot`: two scales, their axes, ticks and names, and everything that is drawn on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from markupsafe import Markup

from kansearch.report.scales import Scale
from kansearch.report.svg import drawing, element, text

__all__ = ["Plot"]

_LETTER = 6.3  # width of a letter of 12 px, on average
_BELOW, _ABOVE = 44.0, 12.0


@dataclass(frozen=True)
class Plot:
    """Axes with names and units. Positions on it are in the drawing's units, text is 12 of them high."""

    x: Scale
    y: Scale
    x_name: str
    y_name: str
    width: float = 640
    height: float = 380
    letters: int = 1
    """Least room for the vertical axis' labels."""
    margin: float = 14.0
    """Space on the right."""

    def at(self, x: Any, y: Any) -> tuple[float, float]:
        """Where a point lies."""
        return self.across(self.x(x)), self.up(self.y(y))

    def points(self, pairs: Iterable[tuple[Any, Any]]) -> list[tuple[float, float]]:
        """Where points lie."""
        return [self.at(x, y) for x, y in pairs]

    def across(self, share: float) -> float:
        """Where a share of the horizontal axis lies."""
        return self.left + share * (self.right - self.left)

    def up(self, share: float) -> float:
        """Where a share of the vertical axis lies."""
        return self.bottom - share * (self.bottom - self.top)

    @cached_property
    def left(self) -> float:
        """Where the horizontal axis begins."""
        return 34 + _LETTER * max(self.letters, *(len(label) for _, label in self.y_ticks()))

    @property
    def right(self) -> float:
        """Where it ends."""
        return self.width - self.margin

    @property
    def top(self) -> float:
        """Where the vertical axis ends."""
        return _ABOVE

    @property
    def bottom(self) -> float:
        """Where it begins."""
        return self.height - _BELOW

    def draw(self, body: Sequence[Markup], title: str) -> Markup:
        """The plot with `body` on its axes."""
        axes = element("g", self._axes(), class_="axes")
        return drawing(self.width, self.height, [axes, *body], title)

    def y_ticks(self) -> list[tuple[float, str]]:
        """Shares of the vertical axis, and their labels."""
        return self.y.ticks(max(2, int(self.height / 45)))

    def x_ticks(self) -> list[tuple[float, str]]:
        """Shares of the horizontal axis, and their labels."""
        return self.x.ticks(max(2, int(self.width / 80)))

    def _axes(self) -> list[Markup]:
        middle = (self.top + self.bottom) / 2
        drawn = [self._grid()]
        for share, label in self.x_ticks():
            half = _LETTER * len(label) / 2
            x = min(self.across(share), self.width - half)  # a long one at the end is moved inside
            drawn.append(text(x, self.bottom + 16, label, "tick", "middle"))
        for share, label in self.y_ticks():
            drawn.append(text(self.left - 6, self.up(share) + 4, label, "tick", "end"))
        drawn.append(text((self.left + self.right) / 2, self.height - 8, self.x_name, "name", "middle"))
        drawn.append(text(13, middle, self.y_name, "name", "middle", transform=f"rotate(-90 13 {middle:.0f})"))
        return drawn

    def _grid(self) -> Markup:
        lines = [f"M{self.left:.1f} {self.up(share):.1f}H{self.right:.1f}" for share, _ in self.y_ticks()]
        lines += [f"M{self.across(share):.1f} {self.bottom:.1f}V{self.top:.1f}" for share, _ in self.x_ticks()]
        frame = f"M{self.left:.1f} {self.top:.1f}V{self.bottom:.1f}H{self.right:.1f}"
        return Markup("").join(
            [element("path", d="".join(lines), class_="grid"), element("path", d=frame, class_="axis")]
        )
