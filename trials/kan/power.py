"""PowerMLP's layers: a rectified power of a linear map beside a base branch, the control of a KAN layer's shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.basis.basis import gaussian_integrals

__all__ = ["PowerConv1d", "PowerConv2d", "PowerConv3d", "PowerLayer", "PowerLinear"]

SHARE = 0.001
"""The power's share of a new layer's E[y²]. More makes deep networks explode, since cubes of cubes have heavy tails.
Through eight 3x3 layers of 24 channels gradients grow 4 times with 0.003, 15 to 180 with 0.01, over 1,200 with 0.3."""


class PowerLayer(nn.Module):
    """y = ReLU(W z + b)^n + V a(z), with native maps W and V and an activation a, SiLU unless given.

    Sizes and their names are those of the torch.nn layer `map_type`. Parameters: two such layers, one bias. The weights
    start so that z ~ N(0, 1) gives E[y²] = 1, `share` of it the power's. Source: PowerMLP (arXiv 2412.13571).
    """

    map_type: ClassVar[Callable[..., nn.Module]]

    def __init__(
        self,
        *sizes: Any,
        bias: bool = True,
        power: int = 3,
        activation: Callable[[Tensor], Tensor] = F.silu,
        share: float = SHARE,
        **where: Any,
    ) -> None:
        super().__init__()
        if power < 1 or not 0 < share < 1:
            raise ValueError(f"power >= 1 and 0 < share < 1 must hold, got {power} and {share}")
        self.power, self.activation = power, activation
        self.rectified = self.map_type(*sizes, bias=bias, **where)
        self.base = self.map_type(*sizes, bias=False, **where)
        self.share = share
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights anew, as the class says. On the meta device nothing is done."""
        weight = self.rectified.get_parameter("weight")
        if weight.is_meta:
            return
        fan, n = weight[0].numel(), self.power
        mean, variance, _ = gaussian_integrals(self.activation, weight.device)
        square, share = float(variance + mean.square()), self.share
        moment = 0.5
        for odd in range(1, 2 * n, 2):
            moment *= odd  # E[z₊^2n] = (2n - 1)!! / 2
        nn.init.normal_(weight, std=((share / moment) ** (1 / n) / fan) ** 0.5)
        nn.init.normal_(self.base.get_parameter("weight"), std=((1 - share) / square / fan) ** 0.5)
        if self.rectified.bias is not None:
            self.rectified.get_parameter("bias").zero_()

    def forward(self, z: Tensor) -> Tensor:
        linear = self.rectified(z)
        y: Tensor = linear.relu().pow(self.power).to(linear.dtype) + self.base(self.activation(z))
        return y


class PowerLinear(PowerLayer):
    """(..., in_features) -> (..., out_features). See `PowerLayer`."""

    map_type = nn.Linear


class PowerConv1d(PowerLayer):
    """(N, C, L) -> (N, O, L'). See `PowerLayer`."""

    map_type = nn.Conv1d


class PowerConv2d(PowerLayer):
    """(N, C, H, W) -> (N, O, H', W'). See `PowerLayer`."""

    map_type = nn.Conv2d


class PowerConv3d(PowerLayer):
    """(N, C, D, H, W) -> (N, O, D', H', W'). See `PowerLayer`."""

    map_type = nn.Conv3d
