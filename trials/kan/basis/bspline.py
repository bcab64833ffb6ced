"""B-splines of any order on a uniform grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis, Integrals, Pullback

__all__ = ["BSpline"]


class BSpline(Basis):
    """φ_k(z) = M_s(|(z - m)/h - c_k|) with h = 2R/G, s = spline_order, F = G + s (arXiv 2404.19756).

        M_s(d) = 1/s! Σ_i (-1)^i C(s+1, i) ((s+1)/2 - i - d)₊^s    for d >= 0, i < (s+1)/2

    is the cardinal B-spline in the one form of its truncated powers that is safe in float32: nothing large cancels.
    The grid [m-R, m+R] is extended by s intervals on each side; the φ_k sum to 1 inside it and decay to 0 outside.
    They are not scaled to one variance. A spline at the end of the grid is high on few inputs: scaled, it would be the
    steepest of all there, and learn from the fewest. Unscaled, a weight is the value of the function near its c_k.
    """

    centres: Tensor

    def __init__(
        self, grid_size: int = 5, spline_order: int = 3, grid_range: float = 2.0, grid_centre: float = 0.0
    ) -> None:
        super().__init__()
        if grid_size < 1 or spline_order < 0 or grid_range <= 0:
            raise ValueError(
                f"grid_size >= 1, spline_order >= 0 and grid_range > 0 must hold, "
                f"got {grid_size}, {spline_order} and {grid_range}"
            )
        self.grid_size, self.spline_order = grid_size, spline_order
        self.grid_range, self.grid_centre = grid_range, grid_centre
        self.n_features = grid_size + spline_order
        self.register_buffer("centres", self._centres())

    def features(self, u: Tensor) -> Tensor:
        if self.spline_order == 0:
            offset = (u - self.grid_centre) * (self.grid_size / (2 * self.grid_range)) - self.centres.to(u.dtype)
            return ((offset >= -0.5) & (offset < 0.5)).to(u.dtype)
        pieces = self._pieces(self._offsets(u).abs_())
        return self._alternating([piece.pow_(self.spline_order) for piece in pieces])

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        order = self.spline_order
        if order == 0:
            return self.features(u), lambda grad: (torch.zeros_like(u),)
        offsets = self._offsets(u)
        pieces = self._pieces(offsets.abs())
        features = self._alternating([piece.pow(order) for piece in pieces])

        def pull(grad: Tensor) -> tuple[Tensor]:
            powers = [piece.pow_(order - 1) if order > 1 else (piece > 0).to(u.dtype) for piece in pieces]
            ratios = [self._scale(i) / self._scale(0) for i in range(len(powers))]
            total = self._alternating(powers, ratios).mul_(grad).mul_(offsets.sign_()).sum(1, keepdim=True)
            return (total.mul_(-order * self._scale(0) * self.grid_size / (2 * self.grid_range)),)

        return features, pull

    def integrals(self) -> Integrals:
        found = super().integrals()
        if self.spline_order:
            return found
        return found._replace(slope=torch.zeros_like(found.slope))  # of a step, as `vjp` has it

    def _centres(self) -> Tensor:
        """c_k, shape (F, 1), in intervals from the middle of the grid: exact in any dtype."""
        return torch.arange(self.n_features)[:, None] - (self.n_features - 1) / 2

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Load, but keep the centres: older files have them in intervals from 0, rounded to float32."""
        super()._load_from_state_dict(*args, **kwargs)
        self.centres.copy_(self._centres())

    def _scale(self, i: int) -> float:
        """(C(s+1, i)/s!)^(1/s): taken into the power, it costs nothing."""
        s = self.spline_order
        return float((math.comb(s + 1, i) / math.factorial(s)) ** (1 / s))

    def _offsets(self, u: Tensor) -> Tensor:
        """((u - m)/h - c_k) times the first piece's scale: (A, 1, B) -> (A, F, B)."""
        scale = self._scale(0)
        away = u - self.grid_centre if self.grid_centre else u
        return away * (scale * self.grid_size / (2 * self.grid_range)) - self.centres.to(u.dtype) * scale

    def _pieces(self, distance: Tensor) -> list[Tensor]:
        """The i-th: its scale times ((s+1)/2 - i - d)₊. The first overwrites `distance`."""
        s, count = self.spline_order, (self.spline_order + 2) // 2
        edges = [self._scale(i) * ((s + 1) / 2 - i) for i in range(count)]
        rest = [torch.rsub(distance, edges[i], alpha=self._scale(i) / self._scale(0)) for i in range(1, count)]
        return [piece.relu_() for piece in (distance.neg_().add_(edges[0]), *rest)]

    @staticmethod
    def _alternating(terms: list[Tensor], factors: Sequence[float] = (1.0,) * 4) -> Tensor:
        """t_0 - f_1 t_1 + f_2 t_2 ..., into t_0."""
        for i, term in enumerate(terms[1:], 1):
            terms[0].add_(term, alpha=(-1) ** i * factors[i])
        return terms[0]

    def refine(self) -> tuple[BSpline, Tensor]:
        """The basis on 2G intervals, and the matrix of knot insertion (2G+s, F): φ_k = Σ_j T_jk φ'_j on the grid.

        φ_k is Σ_i 2^-s C(s+1, i) times the s + 2 fine splines under it; those that vanish on the grid are left out.
        """
        s = self.spline_order
        fine = BSpline(2 * self.grid_size, s, self.grid_range, self.grid_centre)
        matrix = torch.zeros(fine.n_features, self.n_features, dtype=torch.float64)
        for k in range(self.n_features):
            for i in range(s + 2):
                if 0 <= 2 * k + i - s < fine.n_features:
                    matrix[2 * k + i - s, k] = math.comb(s + 1, i) / 2**s
        return fine, matrix

    def on_range(self, grid_range: float) -> BSpline:
        return BSpline(self.grid_size, self.spline_order, grid_range, self.grid_centre)
