"""The KAN linear layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.kan.layer import KANLayer, LayerOptions

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
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.in_features, self.out_features = in_features, out_features
        self._create((out_features, in_features), bias, device, dtype)

    def forward(self, z: Tensor) -> Tensor:
        if z.shape[-1] != self.in_features:
            raise ValueError(f"expected a last dimension of in_features={self.in_features}, got shape {tuple(z.shape)}")
        return self._map(z.reshape(-1, self.in_features), MatrixProduct()).view(*z.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


@dataclass(frozen=True)
class MatrixProduct:
    """The `Product` of a linear layer."""

    def forward(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(planes, weight, bias)

    def backward(self, grad: Tensor, planes: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        return grad @ weight if wanted[0] else None, grad.mT @ planes if wanted[1] else None
