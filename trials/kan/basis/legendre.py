"""Legendre polynomials."""

from __future__ import annotations

from trials.kan.basis.recurrence import Recurrence

__all__ = ["Legendre"]


class Legendre(Recurrence):
    """(n+1) P_{n+1} = (2n+1) u P_n - n P_{n-1} (Bonnet), on u = tanh(z). Source: 1ssb/torchkan."""

    def coefficients(self, n: int) -> tuple[float, float, float]:
        return (2 * n + 1) / (n + 1), 0.0, n / (n + 1)
