"""Bernstein polynomials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis, gaussian_integrals
from trials.kan.basis.domain import UNIT

__all__ = ["Bernstein"]


class Bernstein(Basis):
    """b_{k,d}(t) = C(d, k) t^k (1-t)^(d-k), k = 1..d, on t = (tanh z + 1)/2 (arXiv 2407.01092).

    b'_{k,d} = d (b_{k-1,d-1} - b_{k,d-1}). F = d. With `constant` k = 0 is a feature too: all d + 1 sum to 1, which
    only repeats the bias. With `unit_variance` each is divided by its standard deviation under z ~ N(0, 1).
    """

    binomials: Tensor
    domain = UNIT

    def __init__(self, degree: int = 3, constant: bool = False, unit_variance: bool = True) -> None:
        super().__init__()
        if degree < 1:
            raise ValueError(f"degree >= 1 must hold, got {degree}")
        self.degree, self.constant, self.unit_variance = degree, constant, unit_variance
        self.n_features = degree + constant
        self.factors = _scales(degree) if unit_variance else (1.0,) * (degree + 1)
        first = 0 if constant else 1
        binomials = torch.tensor([math.comb(degree, k) * self.factors[k] for k in range(first, degree + 1)])
        self.register_buffer("binomials", binomials, persistent=False)  # for trials.kan.kernels

    def features(self, u: Tensor) -> Tensor:
        columns = _bernstein(u, self.degree, self.factors)
        return torch.cat(columns[0 if self.constant else 1 :], dim=1)

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        lower = _bernstein(u, self.degree - 1)
        rises = [-lower[0], *(before - here for before, here in pairwise(lower)), lower[-1]]
        columns = [rise * (self.degree * factor) for rise, factor in zip(rises, self.factors, strict=True)]
        return torch.cat(columns[0 if self.constant else 1 :], dim=1)


def _bernstein(t: Tensor, degree: int, factors: Sequence[float] | None = None) -> list[Tensor]:
    """All b_{k,d}(t), times their factors."""
    rising, falling = [torch.ones_like(t)], [torch.ones_like(t)]
    for _ in range(degree):
        rising.append(rising[-1] * t)
        falling.append(falling[-1] * (1 - t))
    heights = [math.comb(degree, k) * (factors[k] if factors else 1) for k in range(degree + 1)]
    return [heights[k] * rising[k] * falling[degree - k] for k in range(degree + 1)]


@cache
def _scales(degree: int) -> tuple[float, ...]:
    """1 over the standard deviation of each b_{k,d}((tanh z + 1)/2), z ~ N(0, 1)."""
    _, variance, _ = gaussian_integrals(
        lambda z: torch.stack(_bernstein(UNIT.map(z), degree), dim=-1), torch.device("cpu")
    )
    return tuple(float(each) ** -0.5 for each in variance)
