"""Values of a function at points drawn uniformly: `special`, `feynman` and `formula`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials.config.tables import (
    FeynmanDataConfig,
    FormulaDataConfig,
    FunctionValuesConfig,
    SpecialDataConfig,
    ranges_of,
)
from trials.data.errors import DataFileError
from trials.data.images import Images
from trials.data.shape import DataShape
from trials.data.tables.feynman import EQUATIONS
from trials.formulas import Formula

__all__ = ["SPECIAL", "Drawn", "drawn_of", "function_shape", "read_function_values"]

_Arrays = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """A function with the range that each of its variables is drawn from."""

    ranges: Mapping[str, tuple[float, float]]
    outputs: tuple[str, ...]
    compute: Callable[[Mapping[str, _Arrays]], Any]
    """From arrays (N,) by variable to values (N,), or several of them."""


_UNIT = (0.0, 1.0)


def _scipy(name: str, *before: int) -> Callable[[_Arrays, _Arrays], Any]:
    def compute(a: _Arrays, b: _Arrays) -> Any:
        from scipy import special  # type: ignore[import-untyped]

        return getattr(special, name)(*before, a, b)

    return compute


def _harmonic(degree: int) -> Callable[[_Arrays, _Arrays], Any]:
    """The real part of Y of order 0; `azimuth` changes nothing in it, as in KANbeFair's data."""

    def compute(azimuth: _Arrays, polar: _Arrays) -> Any:
        from scipy import special

        return special.sph_harm_y(degree, 0, polar, azimuth).real

    return compute


SPECIAL: dict[str, tuple[tuple[str, str], tuple[str, ...], Callable[[_Arrays, _Arrays], Any]]] = {
    "ellipj": (("u", "m"), ("sn", "cn", "dn"), lambda u, m: _scipy("ellipj")(u, m)[:3]),
    "ellipkinc": (("phi", "m"), ("value",), _scipy("ellipkinc")),
    "ellipeinc": (("phi", "m"), ("value",), _scipy("ellipeinc")),
    **{name: (("order", "x"), ("value",), _scipy(name)) for name in ("jv", "yv", "kv", "iv")},
    **{name: (("order", "x"), ("value",), _scipy(name)) for name in ("jvp", "yvp", "kvp", "ivp")},
    "lpmv0": (("degree", "x"), ("value",), _scipy("lpmv", 0)),
    "lpmv1": (("degree", "x"), ("value",), _scipy("lpmv", 1)),
    "sph_harm01": (("azimuth", "polar"), ("value",), _harmonic(1)),
    "sph_harm02": (("azimuth", "polar"), ("value",), _harmonic(2)),
}
"""Variables, outputs and function of each special function, all of (0, 1) x (0, 1)."""


def drawn_of(config: FunctionValuesConfig) -> Drawn:
    """The function that a configuration names."""
    if isinstance(config, SpecialDataConfig):
        (first, second), outputs, compute = SPECIAL[config.special]
        return Drawn({first: _UNIT, second: _UNIT}, outputs, lambda at: compute(at[first], at[second]))
    if isinstance(config, FeynmanDataConfig):
        text, ranges = EQUATIONS[config.equation]
        return Drawn(_ranges(ranges), ("value",), Formula(text))
    assert isinstance(config, FormulaDataConfig)
    return Drawn(ranges_of(config.variables), ("value",), Formula(config.formula))


def _ranges(text: str) -> dict[str, tuple[float, float]]:
    """`x y 1 5, z 2 3` -> {"x": (1, 5), "y": (1, 5), "z": (2, 3)}"""
    parts = [part.split() for part in text.split(",")]
    return {name: (float(low), float(high)) for *names, low, high in parts for name in names}


def function_shape(config: FunctionValuesConfig) -> DataShape:
    """The shape of its points and values."""
    drawn = drawn_of(config)
    return DataShape(len(drawn.ranges), (), len(drawn.outputs), regression=True)


def read_function_values(config: FunctionValuesConfig) -> tuple[Images, Images]:
    """The training split, with noise on its targets, and the test split, without. Raises DataFileError where a value is
    not finite."""
    drawn = drawn_of(config)
    rng = np.random.default_rng(config.make_seed)
    ends = np.array([*drawn.ranges.values()])  # (F, 2)
    splits = []
    for count in (config.samples, config.test_samples):
        open_unit = 1.0 - rng.random((count, len(ends)))  # (0, 1]: some functions are infinite at 0
        points = ends[:, 0] + (ends[:, 1] - ends[:, 0]) * open_unit
        values = drawn.compute(dict(zip(drawn.ranges, points.T, strict=True)))
        each = values if isinstance(values, tuple) else (values,)
        targets = np.stack([np.broadcast_to(value, count) for value in each], 1).astype(np.float64)  # (N, outputs)
        if len(wrong := np.flatnonzero(~np.isfinite(targets).all(1))):
            at = ", ".join(f"{name} = {x:.4g}" for name, x in zip(drawn.ranges, points[wrong[0]], strict=True))
            raise DataFileError(f"{config.dataset}: the value is not finite at {at}; change the variables' ranges")
        splits.append((points, targets))
    (points, targets), test = splits
    if config.noise:
        targets = targets + config.noise * targets.std(0) * rng.standard_normal(targets.shape)
    return Images(points, targets), Images(*test)
