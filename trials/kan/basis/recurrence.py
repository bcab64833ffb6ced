"""Orthogonal polynomials by their three-term recurrence."""

from __future__ import annotations

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis, Pullback
from trials.kan.basis.domain import TANH

__all__ = ["Recurrence"]


class Recurrence(Basis):
    """p_0 = 1 and p_{n+1}(u) = (a_n u + b_n) p_n(u) - c_n p_{n-1}(u), on u = tanh(z).

    A member gives (a_n, b_n, c_n) in `coefficients`. F = degree, or degree + 1 with `constant`: p_0 only repeats the
    bias.
    """

    table: Tensor
    domain = TANH

    def __init__(self, degree: int = 3, constant: bool = False) -> None:
        super().__init__()
        if degree < 0 or degree + constant < 1:
            raise ValueError(f"degree >= 1 must hold (0 with constant=True), got degree={degree}, constant={constant}")
        self.degree, self.constant, self.n_features = degree, constant, degree + constant
        table = torch.tensor([self.coefficients(n) for n in range(degree)])
        self.register_buffer("table", table, persistent=False)  # (degree, 3), for trials.kan.kernels

    def coefficients(self, n: int) -> tuple[float, float, float]:
        """(a_n, b_n, c_n); c_0 is not used."""
        raise NotImplementedError

    def features(self, u: Tensor) -> Tensor:
        polynomials = self._polynomials(u)
        return torch.cat(polynomials[0 if self.constant else 1 :], dim=1)

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        polynomials = self._polynomials(u)
        first = 0 if self.constant else 1

        def pull(grad: Tensor) -> tuple[Tensor]:
            """Σ_n a_n p_n r_{n+1}, where r_n = g_n + (a_n u + b_n) r_{n+1} - c_{n+1} r_{n+2} runs backwards."""
            gradients = list(torch.split(grad, 1, dim=1))
            total = torch.zeros_like(u)
            after: Tensor | None = None
            later: Tensor | None = None
            for n in range(self.degree, 0, -1):
                here = gradients[n - first]
                if after is not None:
                    a, b, _ = self.coefficients(n)
                    here = torch.addcmul(here, u, after, value=a).add_(after, alpha=b)
                if later is not None:
                    here = here.sub_(later, alpha=self.coefficients(n + 1)[2])
                total.addcmul_(polynomials[n - 1], here, value=self.coefficients(n - 1)[0])
                after, later = here, after
            return (total,)

        return torch.cat(polynomials[first:], dim=1), pull

    def _polynomials(self, u: Tensor) -> list[Tensor]:
        """p_0 to p_degree, each of the shape of u."""
        polynomials = [torch.ones_like(u)]
        for n in range(self.degree):
            a, b, c = self.coefficients(n)
            if n == 0:
                polynomials.append(u * a + b)
            else:
                step = (u * polynomials[n]).mul_(a).sub_(polynomials[n - 1], alpha=c)
                polynomials.append(step.add_(polynomials[n], alpha=b) if b else step)
        return polynomials
