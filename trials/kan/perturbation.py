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

    One factor for a sample and channel, at a placement. It is "full", the input of both branches; "poly", the input of
    the basis branch; or "degree", each feature of the basis by itself.

    `additive` adds noise to single elements of the whole input, z + additive·σ·ε, each with probability `share`. There
    σ is the standard deviation of the element's channel over the batch, a constant for the gradient. In NoiseInjection
    of torch-conv-kan the gradient goes through σ too. It is for "full" alone. Raises ValueError for values out of
    range.
    """

    def __init__(
        self,
        dropout: float = 0.0,
        noise: float = 0.0,
        placement: Placement = "full",
        *,
        additive: float = 0.0,
        share: float = 1.0,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1 or noise < 0:
            raise ValueError(f"0 <= dropout < 1 and noise >= 0 must hold, got {dropout} and {noise}")
        if placement not in ("full", "poly", "degree"):
            raise ValueError(f"placement must be full, poly or degree, got {placement!r}")
        if additive < 0 or not 0 < share <= 1 or (additive and placement != "full"):
            raise ValueError(
                f"additive >= 0, 0 < share <= 1, and placement full for additive noise must hold, "
                f"got {additive}, {share} and {placement}"
            )
        self.dropout, self.noise, self.placement = dropout, noise, placement
        self.additive, self.share = additive, share

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
        if factors is not None:
            z = z * factors.view(*factors.shape, *(1,) * (z.dim() - 2)).to(z.dtype)
        return z + self._added(z.detach()) if self.additive and self.training else z

    def _added(self, z: Tensor) -> Tensor:
        dims = [i for i in range(z.dim()) if i != 1]
        spread = z.float().var(dims, correction=0, keepdim=True).sqrt()
        added = self.additive * spread * torch.randn_like(z, dtype=torch.float32)
        if self.share < 1:
            added = added * (torch.rand_like(added) < self.share)
        return added.to(z.dtype)

    def extra_repr(self) -> str:
        own = f"dropout={self.dropout}, noise={self.noise}, placement={self.placement!r}"
        return f"{own}, additive={self.additive}, share={self.share}" if self.additive else own
