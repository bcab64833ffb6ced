"""Bernstein polynomials."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.kan.basis.basis import Basis
from trials.kan.basis.domain import UNIT

__all__ = ["Bernstein"]


class Bernstein(Basis):
    """b_{k,d}(t) = C(d, k) t^k (1-t)^(d-k), k = 0..d, on t = (tanh z + 1)/2: they sum to 1 (arXiv 2407.01092).

    b'_{k,d} = d (b_{k-1,d-1} - b_{k,d-1}).
    """

    binomials: Tensor
    domain = UNIT

    def __init__(self, degree: int = 3) -> None:
        super().__init__()
        if degree < 1:
            raise ValueError(f"degree >= 1 must hold, got {degree}")
        self.degree, self.n_features = degree, degree + 1
        binomials = torch.tensor([float(math.comb(degree, k)) for k in range(degree + 1)])
        self.register_buffer("binomials", binomials, persistent=False)  # for trials.kan.kernels

    def features(self, u: Tensor) -> Tensor:
        return torch.cat(_bernstein(u, self.degree), dim=1)

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        lower = torch.cat(_bernstein(u, self.degree - 1), dim=1)
        return (F.pad(lower, (0, 0, 1, 0)) - F.pad(lower, (0, 0, 0, 1))).mul_(self.degree)


def _bernstein(t: Tensor, degree: int) -> list[Tensor]:
    rising, falling = [torch.ones_like(t)], [torch.ones_like(t)]
    for _ in range(degree):
        rising.append(rising[-1] * t)
        falling.append(falling[-1] * (1 - t))
    return [math.comb(degree, k) * rising[k] * falling[degree - k] for k in range(degree + 1)]
