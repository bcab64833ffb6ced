"""Families of univariate functions: `BASES` by name."""

from __future__ import annotations

from trials.config import BasisConfig
from trials.kan.basis.basis import Basis
from trials.kan.basis.bspline import BSpline
from trials.kan.basis.gram import Gram
from trials.kan.basis.rbf import RBF

__all__ = ["BASES", "RBF", "BSpline", "Basis", "Gram", "build_basis"]

BASES: dict[str, type[Basis]] = {"bspline": BSpline, "gram": Gram, "rbf": RBF}


def build_basis(config: BasisConfig) -> Basis:
    """The basis that a configuration describes; its fields but `name` are the constructor's arguments.

    Raises ValueError for a name that is no basis ("none" among them).
    """
    if config.name not in BASES:
        raise ValueError(f"no basis is named {config.name!r}; there are {', '.join(sorted(BASES))}")
    return BASES[config.name](**config.model_dump(exclude={"name"}))
