"""Squared products of two ReLUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["ReLUPair"]


class ReLUPair(Basis):
    """φ_j(z) = ((z - l_j)₊ (h_j - z)₊ · 4/(h_j - l_j)²)², F = G + s, with learnable l_j and h_j shared by every
    channel.

    They start as the supports of B-splines of order s on the grid: h_j - l_j is s + 1 intervals of [-R, R]/G. Each φ_j
    is a bump of height 1. Source: quiqi/relu_kan.
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
        low = (torch.arange(self.n_features) - spline_order) * interval - grid_range
        self.low = nn.Parameter(low)
        self.high = nn.Parameter(low + (spline_order + 1) * interval)

    def features(self, u: Tensor) -> Tensor:
        left, right, scale, _ = self._parts(u)
        return left.mul_(right).mul_(scale).square_()

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        left, right, scale, width = self._parts(u)
        root = (left * right).mul_(scale)

        def pull(grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            outer = (root * grad).mul_(2 * scale)  # zero outside the support: left and right stand for their own slopes
            widening = (outer * root).sum((0, 2)) * (2 / (scale * width))[:, 0]
            rising, falling = outer * right, outer.mul_(left)
            at_low = widening - rising.sum((0, 2))
            at_high = falling.sum((0, 2)) - widening
            return rising.sub_(falling).sum(1, keepdim=True), at_low, at_high

        return root.square(), pull

    def _parts(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(u - l)₊ and (h - u)₊, shape (A, F, B), 4/(h - l)² and h - l, shape (F, 1)."""
        low, high = self.low.to(u.dtype)[:, None], self.high.to(u.dtype)[:, None]
        width = high - low
        return (u - low).relu_(), (high - u).relu_(), 4 / width.square(), width
