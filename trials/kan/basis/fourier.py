"""Cosines and sines."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from trials.kan.basis.basis import Basis
from trials.kan.basis.domain import ERF

__all__ = ["Fourier"]


class Fourier(Basis):
    """cos(kπu) for k = 1..G, then sin(kπu), on u = erf(z/√2): F = 2G.

    Raw they are cos(kz) and sin(kz), as GistNoesis/FourierKAN has them. Those have no Triton kernel.
    """

    frequencies: Tensor

    def __init__(self, grid_size: int = 4, raw: bool = False) -> None:
        super().__init__()
        if grid_size < 1:
            raise ValueError(f"grid_size >= 1 must hold, got {grid_size}")
        self.grid_size, self.n_features = grid_size, 2 * grid_size
        self.domain, self._turn = (None, 1.0) if raw else (ERF, math.pi)
        self.register_buffer("frequencies", torch.arange(1.0, grid_size + 1)[:, None])  # in half turns

    def features(self, u: Tensor) -> Tensor:
        angle = u * self._turn * self.frequencies.to(u.dtype)
        return torch.cat([angle.cos(), angle.sin()], dim=1)

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        cosine, sine = features.chunk(2, dim=1)
        scale = self._turn * self.frequencies.to(u.dtype)
        return torch.cat([sine * -scale, cosine * scale], dim=1)
