"""Sines of learnable frequencies."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["Sine"]


class Sine(Basis):
    """sin(ω_k z + p_k), k = 1..G: ω_k learnable from k/(G+1), shared by every channel; p_k = (k/(G+1) - 1/2) π/2 fixed.

    Source: SineKAN (arXiv 2407.04149). There the phases are k/(G+1), and πi/(C-1) more for input i of C. Here all
    channels of a layer share their functions. Of its phases alone eight functions are all but dependent, condition 2e15
    on [-2, 2]; spread evenly over a quarter turn about 0 they have 6e7, and small means.
    """

    phases: Tensor

    def __init__(self, grid_size: int = 8) -> None:
        super().__init__()
        if grid_size < 1:
            raise ValueError(f"grid_size >= 1 must hold, got {grid_size}")
        self.grid_size, self.n_features = grid_size, grid_size
        steps = torch.arange(1.0, grid_size + 1) / (grid_size + 1)
        self.frequency = nn.Parameter(steps.clone())
        self.register_buffer("phases", (steps - 0.5) * (math.pi / 2))

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
        return u * frequency + self.phases.to(u.dtype)[:, None], frequency
