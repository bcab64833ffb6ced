"""Data that the Triton programs need of a basis and a base branch: `program_of`, `base_number`. Loads no Triton."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.basis import Basis
from trials.kan.basis.bernstein import Bernstein
from trials.kan.basis.bspline import BSpline
from trials.kan.basis.chebyshev import Chebyshev
from trials.kan.basis.fourier import Fourier
from trials.kan.basis.gram import Gram
from trials.kan.basis.jacobi import Jacobi
from trials.kan.basis.legendre import Legendre
from trials.kan.basis.rbf import RADIAL as RADIAL_KERNELS
from trials.kan.basis.rbf import RBF
from trials.kan.basis.relu import ReLUPair
from trials.kan.basis.sine import Sine
from trials.kan.basis.wavelet import Wavelet

__all__ = ["Program", "base_number", "program_of"]

BSPLINE, RADIAL, FOURIER, RECURRENCE, BERNSTEIN, RELU_PAIR, MEXICAN_HAT, MORLET, DOG, FREE_RADIAL, SINE = range(11)
NO_BASE, SILU, RELU, GELU, IDENTITY = range(5)


@dataclass(frozen=True)
class Program:
    """A family's number, the values that are compiled in, and those that are passed."""

    kind: int
    order: int = 0
    """Order of a spline, index of the first Bernstein polynomial, or number of a radial kernel: compiled in."""
    constant: int = 0
    """Whether a recurrence begins at p_0: compiled in."""
    scale: float = 1.0
    """Intervals of the grid in one unit of z."""
    centre: float = 0.0
    """Middle of the grid."""
    tables: tuple[Tensor, ...] = ()
    """Float32, in device memory: the basis' parameters or constants."""
    learnt: int = 0
    """How many of the tables are parameters; those are the first."""


def program_of(basis: Basis, parameters: Sequence[Tensor]) -> Program | None:
    """The program of a basis at these values of its parameters; None where there is only the twin."""
    build = _PROGRAMS.get(type(basis))
    program = build(basis, tuple(parameters)) if build else None
    if program is None or any(table.dtype != torch.float32 for table in program.tables):
        return None
    return program


def base_number(base: Callable[[Tensor], Tensor] | None) -> int | None:
    """The number of a base branch; None where there is only the twin."""
    if base is None:
        return NO_BASE
    if isinstance(base, nn.GELU):
        return GELU if base.approximate == "none" else None
    if base is F.silu or isinstance(base, nn.SiLU):
        return SILU
    if base is F.relu or isinstance(base, nn.ReLU):
        return RELU
    return IDENTITY if isinstance(base, nn.Identity) else None


def _bspline(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    scale = basis.grid_size / (2 * basis.grid_range)
    return Program(BSPLINE, basis.spline_order, scale=scale, centre=float(basis.grid_centre))


def _rbf(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    kind, kernel = FREE_RADIAL if basis.learnable else RADIAL, list(RADIAL_KERNELS).index(basis.kernel)
    return Program(kind, kernel, scale=basis.per_unit, tables=parameters, learnt=len(parameters))


def _fourier(basis: Any, parameters: tuple[Tensor, ...]) -> Program | None:
    return Program(FOURIER) if basis.domain else None


def _recurrence(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    return Program(RECURRENCE, constant=int(basis.constant), tables=(basis.table,))


def _bernstein(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    return Program(BERNSTEIN, order=0 if basis.constant else 1, tables=(basis.binomials,))


def _relu_pair(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    return Program(RELU_PAIR, tables=parameters, learnt=2)


def _sine(basis: Any, parameters: tuple[Tensor, ...]) -> Program:
    return Program(SINE, tables=(*parameters, basis.phases), learnt=1)


def _wavelet(basis: Any, parameters: tuple[Tensor, ...]) -> Program | None:
    kind = {"mexican_hat": MEXICAN_HAT, "morlet": MORLET, "dog": DOG}.get(basis.kind)
    return None if kind is None else Program(kind, tables=parameters, learnt=2)


_PROGRAMS: dict[type[Basis], Callable[[Any, tuple[Tensor, ...]], Program | None]] = {
    BSpline: _bspline,
    RBF: _rbf,
    Fourier: _fourier,
    Chebyshev: _recurrence,
    Legendre: _recurrence,
    Gram: _recurrence,
    Jacobi: _recurrence,
    Bernstein: _bernstein,
    ReLUPair: _relu_pair,
    Sine: _sine,
    Wavelet: _wavelet,
}
