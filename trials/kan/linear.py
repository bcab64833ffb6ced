"""The KAN linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.basis import Basis
from trials.kan.layer import Activation, KANLayer

__all__ = ["KANLinear"]


class KANLinear(KANLayer):
    """A KAN layer between vectors: (..., in_features) -> (..., out_features) (arXiv 2404.19756).

    Parameters: out · in · (F + 1) + out, with base branch and bias. `KANLayer` has the formula and the initial weights.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        basis: Basis | str = "bspline",
        base: Activation | None = F.silu,
        basis_share: float = 0.5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(basis, base, basis_share)
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features * self.planes, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(out_features, device=device, dtype=dtype)) if bias else None
        self.basis.to(device=device)
        self.reset_parameters()

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[-1] != self.in_features:
            raise ValueError(f"expected a last dimension of in_features={self.in_features}, got shape {tuple(z.shape)}")
        return F.linear(self._expand(z, -1), self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"
