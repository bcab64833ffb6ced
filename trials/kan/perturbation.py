"""Dropout and noise in a KAN layer."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["Perturbation", "Placement"]

Placement = Literal["full", "poly", "degree"]


class Perturbation(nn.Module):
    """Factors that a KAN layer multiplies by, in training alone: 0 with probability `dropout`, else 1/(1 - dropout),
    each times 1 + `noise`·ε, ε ~ N(0, 1).

    One factor for a sample and channel, at a placement: "full", the input of both branches; "poly", the input of the
    basis branch; "degree", each feature of the basis by itself. Raises ValueError for values out of range.
    """

    def __init__(self, dropout: float = 0.0, noise: float = 0.0, placement: Placement = "full") -> None:
        super().__init__()
        if not 0 <= dropout < 1 or noise < 0:
            raise ValueError(f"0 <= dropout < 1 and noise >= 0 must hold, got {dropout} and {noise}")
        if placement not in ("full", "poly", "degree"):
            raise ValueError(f"placement must be full, poly or degree, got {placement!r}")
        self.dropout, self.noise, self.placement = dropout, noise, placement

    def factors(self, samples: int, channels: int, like: Tensor) -> Tensor | None:
        """Factors of shape (samples, channels), float32, on the device of `like`; None in eval or without effect."""
        if not self.training or not (self.dropout or self.noise):
            return None
        factors = torch.ones(samples, channels, device=like.device)
        if self.noise:
            factors = factors + self.noise * torch.randn_like(factors)
        return nn.functional.dropout(factors, self.dropout)

    def forward(self, z: Tensor) -> Tensor:
        """The "full" placement by itself: (N, C, *spatial) -> the same shape."""
        factors = self.factors(z.shape[0], z.shape[1], z)
        return z if factors is None else z * factors.view(*factors.shape, *(1,) * (z.dim() - 2)).to(z.dtype)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}, noise={self.noise}, placement={self.placement!r}"
