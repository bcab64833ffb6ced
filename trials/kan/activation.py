"""The base class of learnable activations: a function for each channel, made of a few that all channels read."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import gaussian_integrals

__all__ = ["ChannelActivation"]


class ChannelActivation(nn.Module):
    """y_c = φ_c(x_c) with φ_c = Σ_k m_ck f_k: (N, C, *spatial) -> the same shape.

    A plain convolution or linear layer follows it. A member writes `forward`, `functions`, `mixture` and `keep`.
    """

    name: ClassVar[str]
    """Name in a configuration's `basis`."""
    channels: int
    """C."""

    def functions(self, z: Tensor) -> Tensor:
        """f_k(z): (...) -> (..., K)."""
        raise NotImplementedError

    def mixture(self) -> Tensor:
        """m, shape (C, K)."""
        raise NotImplementedError

    def keep(self, chosen: Tensor) -> None:
        """Leave these channels alone; `chosen` holds their indices, ascending."""
        raise NotImplementedError

    @torch.no_grad()
    def second_moment(self) -> float:
        """E[φ_c(z)²] for z ~ N(0, 1), the mean over channels: the layer after it keeps the variance with gain
        1/E[φ²]."""
        mixture = self.mixture().double()
        mean, variance, _ = gaussian_integrals(lambda z: self.functions(z) @ mixture.T, mixture.device)
        return float((variance + mean.square()).mean())
