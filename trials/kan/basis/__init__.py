"""Families of univariate functions: `BASES` by name."""

from __future__ import annotations

from trials.config import BasisConfig
from trials.kan.basis.basis import Basis
from trials.kan.basis.bernstein import Bernstein
from trials.kan.basis.bspline import BSpline
from trials.kan.basis.chebyshev import Chebyshev
from trials.kan.basis.fourier import Fourier
from trials.kan.basis.gram import Gram
from trials.kan.basis.jacobi import Jacobi
from trials.kan.basis.legendre import Legendre
from trials.kan.basis.rbf import RBF
from trials.kan.basis.relu import ReLUPair
from trials.kan.basis.sine import Sine
from trials.kan.basis.wavelet import Wavelet

__all__ = ["BASES", "Basis", "build_basis"]

BASES: dict[str, type[Basis]] = {
    "bernstein": Bernstein,
    "bspline": BSpline,
    "chebyshev": Chebyshev,
    "fourier": Fourier,
    "gram": Gram,
    "jacobi": Jacobi,
    "legendre": Legendre,
    "rbf": RBF,
    "relu": ReLUPair,
    "sine": Sine,
    "wavelet": Wavelet,
}


def build_basis(config: BasisConfig) -> Basis:
    """The basis that a configuration describes; its fields but `name` are the constructor's arguments.

    Raises ValueError for a name that is no basis: "none", and what `trials.config.basis.expands` says no of.
    """
    if config.name not in BASES:
        raise ValueError(f"no basis is named {config.name!r}; there are {', '.join(sorted(BASES))}")
    basis = BASES[config.name](**config.model_dump(exclude={"name"}))
    basis.config = config
    return basis
