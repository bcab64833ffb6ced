"""Jacobi polynomials."""

from __future__ import annotations

from trials.kan.basis.recurrence import Recurrence

__all__ = ["Jacobi"]


class Jacobi(Recurrence):
    """P_n^(a,b)(u), a, b > -1, orthogonal with weight (1-u)^a (1+u)^b, on u = tanh(z); the recurrence of DLMF 18.9.

    a = b = 0 are Legendre's polynomials. Source: SpaceLearner/JacobiKAN.
    """

    def __init__(
        self, degree: int = 3, a: float = 1.0, b: float = 1.0, constant: bool = False, unit_variance: bool = True
    ) -> None:
        if a <= -1 or b <= -1:
            raise ValueError(f"a > -1 and b > -1 must hold, got {a} and {b}")
        self.a, self.b = a, b
        super().__init__(degree, constant, unit_variance)

    def coefficients(self, n: int) -> tuple[float, float, float]:
        a, b = self.a, self.b
        if n == 0:
            return (a + b + 2) / 2, (a - b) / 2, 0.0
        t = 2 * n + a + b
        divisor = 2 * (n + 1) * (n + a + b + 1)
        return (
            (t + 1) * (t + 2) / divisor,
            (t + 1) * (a * a - b * b) / (divisor * t),
            2 * (n + a) * (n + b) * (t + 2) / (divisor * t),
        )
