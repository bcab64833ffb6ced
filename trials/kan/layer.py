"""What every KAN layer shares: the basis, the base branch, one weight, and how it starts."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan.basis import BASES, Basis
from trials.kan.basis.basis import autocast_enabled, gaussian_moments

__all__ = ["KANLayer"]

Activation = Callable[[Tensor], Tensor]


class KANLayer(nn.Module):
    """y_o = Σ_i [Σ_k w_{o,i,k} φ_k(z_i) + w_{o,i,b} b(z_i)] + bias_o: a native linear map of the expanded input.

    `weight` has shape (out, in/groups · P, *kernel): P = F basis functions and, where there is a base branch, b last;
    the channels are ordered input-major, c·P + k, so that native `groups=` splits them rightly.

    The weights start so that z ~ N(0, 1) gives outputs of mean 0 and variance 1 whatever the basis is: with
    fan = in/groups · kernel elements, std(w_k) = √(α / (fan · Σ_k Var φ_k)), std(w_b) = √((1-α) / (fan · Var b)), and
    bias = -Σ w E[φ]; α = `basis_share`, 1 without base branch. Without a bias E[φ²] stands for Var φ.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(self, basis: Basis | str, base: Activation | None, basis_share: float) -> None:
        super().__init__()
        if isinstance(basis, str) and basis not in BASES:
            raise ValueError(f"no basis is named {basis!r}; there are {', '.join(sorted(BASES))}")
        if not 0 < basis_share < 1:
            raise ValueError(f"0 < basis_share < 1 must hold, got {basis_share}")
        self.basis = BASES[basis]() if isinstance(basis, str) else basis
        self.base = base
        self.basis_share = basis_share if base is not None else 1.0
        self.planes = self.basis.n_features + (base is not None)

    def basis_weight(self) -> Tensor:
        """The weights of the basis branch, shape (out, in/groups, F, *kernel): a view of `weight`."""
        return self._by_plane()[:, :, : self.basis.n_features]

    def reset_parameters(self) -> None:
        """Draw the weights anew, as the class says. On the meta device nothing is done."""
        if self.weight.is_meta:
            return
        mean, scale = self._moments()
        with torch.no_grad():
            weight = self._by_plane()
            fan = weight[0, :, 0].numel()
            shape = (-1,) + (1,) * (weight.dim() - 3)
            weight.normal_().mul_((scale / math.sqrt(fan)).to(weight).view(shape))
            if self.bias is not None:
                self.bias.copy_(-(weight * mean.to(weight).view(shape)).flatten(1).sum(1))

    def _expand(self, z: Tensor, channels_at: int) -> Tensor:
        """(*lead, C, *spatial) -> (*lead, C·P, *spatial), with C the dimension `channels_at`, counted from the end."""
        spatial = z.shape[z.dim() + channels_at + 1 :]
        lead = z.shape[: z.dim() + channels_at]
        column = z.reshape(-1, 1, math.prod(spatial))  # (A, 1, B)
        planes = self.basis.columns(column)  # (A, F, B)
        if self.base is not None:
            planes = torch.cat([planes, self.base(column).to(planes.dtype)], dim=1)  # (A, P, B)
        planes = planes.view(*lead, z.shape[channels_at] * self.planes, *spatial)
        return planes if autocast_enabled(z.device) else planes.to(self.weight.dtype)

    def _by_plane(self) -> Tensor:
        out, channels, *kernel = self.weight.shape
        return self.weight.view(out, channels // self.planes, self.planes, *kernel)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean of each plane, and the standard deviation of its weights before division by √fan; each of shape (P,)."""
        mean, variance = self.basis.moments()
        spread = variance if self.bias is not None else variance + mean.square()
        scale = (self.basis_share / spread.sum()).sqrt().expand_as(mean)
        if self.base is None:
            return mean, scale
        base_mean, base_variance = gaussian_moments(self.base, mean.device)
        base_spread = base_variance if self.bias is not None else base_variance + base_mean.square()
        base_scale = ((1 - self.basis_share) / base_spread).sqrt()
        return torch.cat([mean, base_mean[None]]), torch.cat([scale, base_scale[None]])
