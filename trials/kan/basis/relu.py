"""Squared products of two ReLUs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["ReLUPair"]


class ReLUPair(Basis):
    """φ_j(z) = ((z - l_j)₊ (h_j - z)₊ · 4/(h_j - l_j)²)² = ((1 - v²)₊)² with v = (z - c_j)/r_j, F = G + s.

    c_j, the middle of the support [l_j, h_j], and ln r_j, r_j half of its width, are learnable and shared by every
    channel: its ends can't cross. They start as the supports of B-splines of order s on the grid: 2r_j is s + 1
    intervals of [-R, R]/G. Each φ_j is a bump of height 1. Source: quiqi/relu_kan, which learns l_j and h_j.
    """

    def __init__(self, grid_size: int = 5, spline_order: int = 3, grid_range: float = 2.0) -> None:
        super().__init__()
        if grid_size < 1 or spline_order < 0 or grid_range <= 0:
            raise ValueError(
                f"grid_size >= 1, spline_order >= 0 and grid_range > 0 must hold, "
                f"got {grid_size}, {spline_order} and {grid_range}"
            )
        self.grid_size, self.spline_order, self.grid_range = grid_size, spline_order, grid_range
        self.n_features = grid_size + spline_order
        interval = 2 * grid_range / grid_size
        self.centre = nn.Parameter((torch.arange(self.n_features) - (self.n_features - 1) / 2) * interval)
        half = (spline_order + 1) * interval / 2
        self.log_half_width = nn.Parameter(torch.full((self.n_features,), math.log(half)))

    def features(self, u: Tensor) -> Tensor:
        position, _ = self._position(u)
        return position.square_().neg_().add_(1).relu_().square_()

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        position, half = self._position(u)
        root = (1 - position.square()).relu_()

        def pull(grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            by_position = (root * grad).mul_(position).mul_(-4)  # zero outside the support
            slope = by_position / half
            return slope.sum(1, keepdim=True), -slope.sum((0, 2)), -(by_position * position).sum((0, 2))

        return root.square(), pull

    def _position(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(z - c)/r, shape (A, F, B), and r, shape (F, 1)."""
        half = self.log_half_width.to(u.dtype).exp()[:, None]
        return (u - self.centre.to(u.dtype)[:, None]) / half, half
