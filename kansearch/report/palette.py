"""A colour and a shape for each basis, the same in every report. Colours are Okabe and Ito's (2008), told apart by the
colour-blind; as there are more bases than colours, no two share a shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from kansearch.report.svg import SHAPES

__all__ = ["Series", "name_of", "series_of"]


@dataclass(frozen=True)
class Series:
    """How a basis is drawn: a class of the style sheet and one of `svg.SHAPES`."""

    colour: str
    shape: str


_KNOWN = {
    "none": Series("ink", "cross"),
    "bspline": Series("blue", "circle"),
    "rbf": Series("red", "square"),
    "gram": Series("green", "up"),
    "fourier": Series("purple", "diamond"),
    "chebyshev": Series("orange", "down"),
    "legendre": Series("sky", "star"),
    "jacobi": Series("blue", "plus"),
    "bernstein": Series("red", "hexagon"),
    "wavelet": Series("green", "bar"),
    "relu": Series("purple", "bow"),
    "sine": Series("orange", "pentagon"),
    "rational": Series("sky", "wedge"),
    "spline_activation": Series("ink", "left"),
    "power_mlp": Series("ink", "right"),
}


def series_of(bases: Collection[str]) -> Mapping[str, Series]:
    """Return the series of each of `bases`, plain first, then by name."""
    ordered = sorted(bases, key=lambda name: (name != "none", name))
    return {name: _KNOWN.get(name, Series("orange", list(SHAPES)[index % 11])) for index, name in enumerate(ordered)}


def name_of(basis: str) -> str:
    """Return the name of a basis that is shown to readers."""
    return "plain" if basis == "none" else basis.replace("_", " ")
