"""Chebyshev polynomials of the first kind."""

from __future__ import annotations

from trials.kan.basis.recurrence import Recurrence

__all__ = ["Chebyshev"]


class Chebyshev(Recurrence):
    """T_{n+1} = 2u T_n - T_{n-1}, T_1 = u, on u = tanh(z); no arc cosine, whose gradient is infinite at the ends.

    Source: SynodicMonth/ChebyKAN.
    """

    def coefficients(self, n: int) -> tuple[float, float, float]:
        return (2.0 if n else 1.0), 0.0, 1.0
