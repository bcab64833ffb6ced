"""Learnable spline activations: the control that has a spline for each channel instead of each edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.activation import ChannelActivation
from trials.kan.basis import Basis
from trials.kan.basis.basis import autocast_enabled
from trials.kan.basis.bspline import BSpline
from trials.kan.conv import Convolution
from trials.kan.layer import Activation
from trials.kan.recompute import Expansion, Recomputed, learns

__all__ = ["SplineActivation"]


class SplineActivation(ChannelActivation):
    """φ_c(x) = Σ_k w_ck B_k(x) + v_c b(x), a function of its own for each channel c: (N, C, *spatial) -> the same.

    `weight` has shape (C, P): the basis, then v where there is a base branch. It starts as `base`, v = 1 and w = 0;
    without base branch w is the least-squares fit of SiLU on the grid. Parameters: C · P. A plain layer follows it:
    the control of KANbeFair (arXiv 2407.16674).
    """

    name = "spline_activation"

    def __init__(self, channels: int, basis: Basis | None = None, base: Activation | None = F.silu) -> None:
        super().__init__()
        if channels < 1:
            raise ValueError(f"channels >= 1 must hold, got {channels}")
        self.channels, self.basis, self.base = channels, basis or BSpline(), base
        self.planes = self.basis.n_features + (base is not None)
        self.weight = nn.Parameter(torch.empty(channels, self.planes))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Make every function the one it starts as. On the meta device nothing is done."""
        if self.weight.is_meta:
            return
        first = torch.zeros(self.planes)
        if self.base is None:
            reach = self.basis.grid_range
            probe = self.basis.grid_centre + torch.linspace(-reach, reach, 20 * self.planes, dtype=torch.float64)
            features = self.basis.expand(probe.to(self.weight.device)).cpu()
            fit = torch.linalg.lstsq(features, F.silu(probe)[:, None], driver="gelsd")
            first = fit.solution[:, 0]
        else:
            first[-1] = 1.0
        self.weight.copy_(first)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ValueError(f"expected (N, {self.channels}, *sizes), got shape {tuple(x.shape)}")
        z = x if x.dim() > 2 else x[..., None]
        ones, zeros = (1,) * (z.dim() - 2), (0,) * (z.dim() - 2)
        weight = self.weight.view(*self.weight.shape, *ones)
        if autocast_enabled(z.device):
            weight = weight.to(torch.get_autocast_dtype(z.device.type))
        expansion, product = Expansion(self.basis, self.base, self.channels), _Sum(ones, zeros, ones, self.channels)
        if torch.compiler.is_compiling() or learns(self.base):
            y = product.forward(expansion.planes(z, None, None, weight.dtype), weight, None)
        else:
            keep = torch.is_grad_enabled()
            y = Recomputed.apply(expansion, product, z, weight, None, None, None, keep, *self.basis.parameters())
        return y.view_as(x)

    def functions(self, z: Tensor) -> Tensor:
        features = self.basis.expand(z)
        return features if self.base is None else torch.cat([features, self.base(z)[..., None]], dim=-1)

    def mixture(self) -> Tensor:
        return self.weight

    def keep(self, chosen: Tensor) -> None:
        self.weight, self.channels = nn.Parameter(self.weight.detach()[chosen].contiguous()), len(chosen)

    def extra_repr(self) -> str:
        return f"{self.channels}, planes={self.planes}"


@dataclass(frozen=True)
class _Sum(Convolution):
    """Σ_k w_ck of each channel's planes: a convolution of as many groups as channels, which cuDNN is slow at; so on
    CUDA a product and a sum."""

    def forward(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if not planes.is_cuda:
            return super().forward(planes, weight, bias)
        return (torch.unflatten(planes, 1, weight.shape[:2]) * weight).sum(2)  # (N, C, P, *S) -> (N, C, *S)

    def backward(self, grad: Tensor, planes: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        if not planes.is_cuda:
            return super().backward(grad, planes, weight, wanted)
        column = grad.unsqueeze(2)
        of_planes = (column * weight).flatten(1, 2) if wanted[0] else None
        if not wanted[1]:
            return of_planes, None
        rows = column * torch.unflatten(planes, 1, weight.shape[:2])
        return of_planes, rows.sum([0, *range(3, rows.dim())]).view_as(weight)
