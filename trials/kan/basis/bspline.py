"""B-splines of any order on a uniform grid."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis

__all__ = ["BSpline"]


class BSpline(Basis):
    """φ_k(z) = M_s(|z/h - c_k|) with h = 2R/G, s = spline_order, F = G + s (arXiv 2404.19756).

        M_s(d) = 1/s! Σ_i (-1)^i C(s+1, i) ((s+1)/2 - i - d)₊^s    for d >= 0, i < (s+1)/2

    is the cardinal B-spline in the one form of its truncated powers that is safe in float32: nothing large cancels.
    The grid [-R, R] is extended by s intervals on each side; the φ_k sum to 1 inside it and decay to 0 outside.
    """

    centres: Tensor

    def __init__(self, grid_size: int = 5, spline_order: int = 3, grid_range: float = 2.0) -> None:
        super().__init__()
        if grid_size < 1 or spline_order < 0 or grid_range <= 0:
            raise ValueError(
                f"grid_size >= 1, spline_order >= 0 and grid_range > 0 must hold, "
                f"got {grid_size}, {spline_order} and {grid_range}"
            )
        self.grid_size, self.spline_order, self.grid_range = grid_size, spline_order, grid_range
        self.n_features = grid_size + spline_order
        centres = torch.arange(self.n_features)[:, None] - (self.n_features - 1) / 2
        self.register_buffer("centres", centres)  # in intervals from the middle of the grid: exact in any dtype

    def features(self, u: Tensor) -> Tensor:
        s = self.spline_order
        distance = u * (self.grid_size / (2 * self.grid_range)) - self.centres.to(u.dtype)
        if s == 0:
            return ((distance >= -0.5) & (distance < 0.5)).to(u.dtype)
        distance = distance.abs()
        pieces = (
            (-1) ** i * math.comb(s + 1, i) / math.factorial(s) * torch.relu((s + 1) / 2 - i - distance).pow(s)
            for i in range((s + 2) // 2)
        )
        return sum(pieces, start=torch.zeros((), dtype=u.dtype, device=u.device))
