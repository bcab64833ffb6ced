"""Products of 8-bit integers, by the operators that torch lowers its own quantised networks to: kernels of oneDNN."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trials.kan.conv import KANConv

__all__ = ["LEVELS", "ZERO", "IntegerProduct", "integers_available"]

LEVELS, ZERO = 127, 64
"""Bytes go from 0 to 127, with 64 for zero where both signs occur: a CPU without VNNI adds two products of a byte and
a weight in 16 bits, and 2 · 127 · 127 is less than 2^15."""


class IntegerProduct(nn.Module):
    """Bytes (N, C, H, W) or (N, C) -> (N, O, H', W') or (N, O), float32: Σ scale · (byte - zero) · w + bias.

    The weights are rounded to int8 with a scale for each output channel.
    """

    weight: Tensor
    weight_scale: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, layer: nn.Module, scale: float, zero: int) -> None:
        """weight: (O, C/g, *kernel), float; layer: says its stride, padding, dilation, groups and bias."""
        super().__init__()
        weight = weight.float() if weight.dim() == 4 else weight.float()[:, :, None, None]
        top = weight.abs().amax((1, 2, 3)) / 127
        top = torch.where(top > 0, top, torch.ones_like(top))
        self.register_buffer("weight_scale", top, persistent=False)
        rounded = (weight / top.view(-1, 1, 1, 1)).round().clamp(-127, 127).to(torch.int8)
        self.register_buffer("weight", rounded, persistent=False)
        bias = getattr(layer, "bias", None)
        self.register_buffer("bias", None if bias is None else bias.detach().float().clone(), persistent=False)
        spatial = isinstance(layer, (KANConv, nn.Conv2d))
        sizes: Any = (layer.stride, layer.padding, layer.dilation) if spatial else ((1, 1), (0, 0), (1, 1))
        self.where: list[list[int]] = [list(each) for each in sizes]
        self.groups = int(getattr(layer, "groups", 1))
        self.scale, self.zero = scale, zero
        self._packed: Tensor | None = None

    def forward(self, values: Tensor) -> Tensor:
        if values.dim() == 2:
            return self._convolve(values[:, :, None, None]).flatten(1)
        return self._convolve(values)

    def _convolve(self, values: Tensor) -> Tensor:
        if self._packed is None:
            self._packed = torch.ops.onednn.qconv_prepack(
                self.weight, self.weight_scale, self.scale, self.zero, *self.where, self.groups, None
            )
        zeros = torch.zeros_like(self.weight_scale, dtype=torch.int32)
        product: Tensor = torch.ops.onednn.qconv_pointwise(
            values, self.scale, self.zero, self._packed, self.weight_scale, zeros, self.bias,
            *self.where, self.groups, 1.0, 0, torch.float32, "none", [], "",
        )  # fmt: skip
        return product

    def __getstate__(self) -> dict[str, Any]:
        """Packed weights cannot be copied; they are packed again."""
        return {**super().__getstate__(), "_packed": None}  # type: ignore[no-untyped-call]


def integers_available() -> bool:
    """Whether this torch has the operators."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return available and "onednn" in torch.backends.quantized.supported_engines
