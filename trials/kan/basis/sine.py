"""Sines of learnable frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["Sine"]


class Sine(Basis):
    """sin(ω_k z + p_k), k = 1..G, with ω_k learnable from k/(G+1), shared by every channel, and p_k = πk/(G+1) fixed.

    Source: SineKAN (arXiv 2407.04149). There each input has a phase of its own as well; here all channels of a layer
    share their functions, and the phases are spread evenly over these.
    """

    phases: Tensor

    def __init__(self, grid_size: int = 8) -> None:
        super().__init__()
        if grid_size < 1:
            raise ValueError(f"grid_size >= 1 must hold, got {grid_size}")
        self.grid_size, self.n_features = grid_size, grid_size
        steps = torch.arange(1.0, grid_size + 1) / (grid_size + 1)
        self.frequency = nn.Parameter(steps.clone())
        self.register_buffer("phases", steps)  # in half turns

    def features(self, u: Tensor) -> Tensor:
        return self._angle(u)[0].sin()

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        angle, frequency = self._angle(u)

        def pull(grad: Tensor) -> tuple[Tensor, Tensor]:
            outer = angle.cos().mul_(grad)
            return (outer * frequency).sum(1, keepdim=True), (outer * u).sum((0, 2))

        return angle.sin(), pull

    def _angle(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """ω_k z + p_k, shape (A, F, B), and ω_k, shape (F, 1)."""
        frequency = self.frequency.to(u.dtype)[:, None]
        return u * frequency + math.pi * self.phases.to(u.dtype)[:, None], frequency
