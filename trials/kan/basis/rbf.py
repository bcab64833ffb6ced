"""Gaussian radial basis functions."""

from __future__ import annotations

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis

__all__ = ["RBF"]


class RBF(Basis):
    """φ_j(z) = exp(-((z - c_j)/h)²) with G centres c_j evenly spaced by h on [-R, R] (FastKAN, arXiv 2405.06721)."""

    centres: Tensor

    def __init__(self, grid_size: int = 8, grid_range: float = 2.0) -> None:
        super().__init__()
        if grid_size < 2 or grid_range <= 0:
            raise ValueError(f"grid_size >= 2 and grid_range > 0 must hold, got {grid_size} and {grid_range}")
        self.grid_size, self.grid_range, self.n_features = grid_size, grid_range, grid_size
        self.per_unit = (grid_size - 1) / (2 * grid_range)  # 1/h
        self.register_buffer("centres", torch.arange(grid_size)[:, None] - (grid_size - 1) / 2)  # in spacings

    def features(self, u: Tensor) -> Tensor:
        return (u * self.per_unit - self.centres.to(u.dtype)).square_().neg_().exp_()

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        return (self.centres.to(u.dtype) - u * self.per_unit).mul_(2 * self.per_unit).mul_(features)

    def on_range(self, grid_range: float) -> RBF:
        return RBF(self.grid_size, grid_range)
