"""Orthogonal polynomials by their three-term recurrence."""

from __future__ import annotations

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis

__all__ = ["Recurrence"]


class Recurrence(Basis):
    """p_0 = 1 and p_{n+1}(u) = (a_n u + b_n) p_n(u) - c_n p_{n-1}(u), on u = tanh(z).

    A member gives (a_n, b_n, c_n) in `coefficients`. F = degree, or degree + 1 with `constant`: p_0 only repeats the
    bias.
    """

    domain = staticmethod(torch.tanh)

    def __init__(self, degree: int = 3, constant: bool = False) -> None:
        super().__init__()
        if degree < 0 or degree + constant < 1:
            raise ValueError(f"degree >= 1 must hold (0 with constant=True), got degree={degree}, constant={constant}")
        self.degree, self.constant, self.n_features = degree, constant, degree + constant

    def coefficients(self, n: int) -> tuple[float, float, float]:
        """(a_n, b_n, c_n); c_0 is not used."""
        raise NotImplementedError

    def features(self, u: Tensor) -> Tensor:
        polynomials = [torch.ones_like(u)]
        for n in range(self.degree):
            a, b, c = self.coefficients(n)
            step = (a * u + b) * polynomials[n]
            polynomials.append(step - c * polynomials[n - 1] if n else step)
        return torch.cat(polynomials[0 if self.constant else 1 :], dim=1)
