"""Orthogonal polynomials by their three-term recurrence."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis, Pullback, gaussian_integrals
from trials.kan.basis.domain import TANH

__all__ = ["Recurrence"]

Row = tuple[float, float, float]
"""(a_n, b_n, c_n) of one step of a recurrence."""


class Recurrence(Basis):
    """p_0 = 1 and p_{n+1}(u) = (a_n u + b_n) p_n(u) - c_n p_{n-1}(u), on u = tanh(z).

    A member gives (a_n, b_n, c_n) in `coefficients`. F = degree, or degree + 1 with `constant`: p_0 only repeats the
    bias.

    With `unit_variance` each p_n, n > 0, is divided by its standard deviation under z ~ N(0, 1): one scale of weights
    and one learning rate then serve all degrees. The scaled polynomials have a recurrence too, and cost nothing more.
    """

    table: Tensor
    domain = TANH

    def __init__(self, degree: int = 3, constant: bool = False, unit_variance: bool = True) -> None:
        super().__init__()
        if degree < 0 or degree + constant < 1:
            raise ValueError(f"degree >= 1 must hold (0 with constant=True), got degree={degree}, constant={constant}")
        self.degree, self.constant, self.n_features = degree, constant, degree + constant
        self.unit_variance = unit_variance
        published = tuple(self.coefficients(n) for n in range(degree))
        self.rows = _scaled(published) if unit_variance else published
        self.register_buffer("table", torch.tensor(self.rows), persistent=False)  # (degree, 3), for trials.kan.kernels

    def coefficients(self, n: int) -> Row:
        """(a_n, b_n, c_n) of the published polynomials; c_0 is not used."""
        raise NotImplementedError

    def features(self, u: Tensor) -> Tensor:
        return torch.cat(_polynomials(u, self.rows)[0 if self.constant else 1 :], dim=1)

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        polynomials = _polynomials(u, self.rows)
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
                    a, b, _ = self.rows[n]
                    here = torch.addcmul(here, u, after, value=a).add_(after, alpha=b)
                if later is not None:
                    here = here.sub_(later, alpha=self.rows[n + 1][2])
                total.addcmul_(polynomials[n - 1], here, value=self.rows[n - 1][0])
                after, later = here, after
            return (total,)

        return torch.cat(polynomials[first:], dim=1), pull


def _polynomials(u: Tensor, rows: tuple[Row, ...]) -> list[Tensor]:
    """p_0 to p_degree, each of the shape of u."""
    polynomials = [torch.ones_like(u)]
    for n, (a, b, c) in enumerate(rows):
        if n == 0:
            polynomials.append(u * a + b)
        else:
            step = (u * polynomials[n]).mul_(a).sub_(polynomials[n - 1], alpha=c)
            polynomials.append(step.add_(polynomials[n], alpha=b) if b else step)
    return polynomials


@cache
def _scaled(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The recurrence of p_0 and s_n p_n, n > 0, where s_n p_n(tanh z) has variance 1 for z ~ N(0, 1)."""
    _, variance, _ = gaussian_integrals(
        lambda z: torch.stack(_polynomials(TANH.map(z), rows), dim=-1), torch.device("cpu")
    )
    scales = [1.0, *(float(each) ** -0.5 for each in variance[1:])]
    one_step = [after / here for here, after in pairwise(scales)]
    two_steps = [0.0, *(after / before for before, after in zip(scales, scales[2:], strict=False))]  # c_0 is not used
    return tuple((a * r, b * r, c * q) for (a, b, c), r, q in zip(rows, one_step, two_steps, strict=False))
