"""Gram polynomials: discrete Chebyshev polynomials."""

from __future__ import annotations

from trials.kan.basis.recurrence import Recurrence

__all__ = ["Gram"]


class Gram(Recurrence):
    """p_{n+1} = u p_n - β_n p_{n-1} with β_n = n²(m² - n²) / (m²(4n² - 1)): orthogonal on m nodes.

    The nodes u_i = (2i + 1)/m - 1, i < m, are evenly spaced on [-1, 1], m = degree + 1. Polynomials on u = tanh(z).
    Without `unit_variance` they are monic: their standard deviations fall from .63 at degree 1 to .037 at degree 6.
    """

    def coefficients(self, n: int) -> tuple[float, float, float]:
        m = self.degree + 1
        return 1.0, 0.0, n * n * (m * m - n * n) / (m * m * (4 * n * n - 1))
