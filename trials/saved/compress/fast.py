"""Layers as they are computed where nothing is learned, on a CPU: bases read from tables, products of 8-bit integers.

A table has a row for each of evenly spaced z, and in it all planes of a KAN layer: its basis functions and base branch.
Reading a row is a copy of P numbers that lie beside each other, so that the planes of a channel lie beside each other
too, and the channels last in memory.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.conv import KANConv
from trials.kan.layer import KANLayer
from trials.kan.recompute import piece_bytes
from trials.saved.compress.integers import LEVELS, ZERO, IntegerProduct
from trials.training.edges import planes_at

__all__ = ["FastLayer", "IntegerKAN", "IntegerLayer", "TabulatedKAN", "can_be_integer", "can_be_tabulated"]

POINTS = 8192
"""Rows of a table."""


class FastLayer(nn.Module):
    """Computes in eval mode, on a CPU, without a gradient or a trace what `exact` computes, in another way; and else
    lets `exact` compute it. What it needs beside `exact` is made from it, and no part of the state."""

    def __init__(self, exact: nn.Module, low: float, high: float) -> None:
        super().__init__()
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"low < high must hold, got {low} and {high}")
        self.exact, self.low, self.high = exact, low, high

    def forward(self, z: Tensor) -> Tensor:
        if not self._applies(z):
            y: Tensor = self.exact(z)
            return y
        if isinstance(self.exact, (KANConv, nn.Conv2d)):
            return self._in_pieces(z)
        vectors = self._in_pieces(z.reshape(-1, z.shape[-1]))
        return vectors.view(*z.shape[:-1], vectors.shape[-1])

    def compute(self, z: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N, O, *spatial')."""
        raise NotImplementedError

    def row_bytes(self, z: Tensor) -> int:
        """Bytes that a sample's planes take."""
        raise NotImplementedError

    def _in_pieces(self, z: Tensor) -> Tensor:
        """Compute a few samples at a time, so that their planes stay in the cache."""
        rows = max(piece_bytes(z.device) // max(self.row_bytes(z[:1]), 1), 1)
        pieces = [self.compute(piece) for piece in torch.split(z, rows)] if len(z) else [self.compute(z)]
        return torch.cat(pieces) if len(pieces) > 1 else pieces[0]

    def _applies(self, z: Tensor) -> bool:
        traced = torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export()
        learning = self.training or (torch.is_grad_enabled() and z.requires_grad)
        plain = z.device.type == "cpu" and z.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return plain and not traced and not learning


class TabulatedKAN(FastLayer):
    """The planes by linear interpolation between the rows of a table on [low, high]; beyond, its ends go straight on.

    The error of a plane on [low, high] is at most h²/8 max|φ''|, h = (high - low) / 8,191.
    """

    exact: KANLayer
    values: Tensor
    slopes: Tensor
    weight: Tensor

    def __init__(self, exact: KANLayer, low: float, high: float) -> None:
        super().__init__(exact, low, high)
        self.step = (high - low) / (POINTS - 1)
        values = table(exact, low, high)
        slopes = values.diff(dim=0)
        self.register_buffer("values", values.float(), persistent=False)
        self.register_buffer("slopes", torch.cat([slopes, slopes[-1:]]).float(), persistent=False)
        self.register_buffer("weight", _channels_first(exact), persistent=False)

    def planes(self, z: Tensor) -> Tensor:
        """(*shape) -> (*shape, P)."""
        place = (z - self.low) * (1 / self.step)
        row = place.clamp(0, POINTS - 2).to(torch.int32)
        values, slopes = F.embedding(row, self.values), F.embedding(row, self.slopes)
        return torch.addcmul(values, slopes, (place - row).unsqueeze(-1))

    def compute(self, z: Tensor) -> Tensor:
        planes = self.planes(z.movedim(1, -1)).flatten(-2).movedim(-1, 1)  # (N, C, *S) -> (N, C·P, *S)
        layer, bias = self.exact, self.exact.bias
        if isinstance(layer, KANConv):
            where: Any = (layer.stride, layer.padding, layer.dilation, False, (0,) * layer.dims, layer.groups)
            return torch.convolution(planes, self.weight, bias, *where)
        return F.linear(planes, self.weight, bias)

    def row_bytes(self, z: Tensor) -> int:
        return z.numel() * self.values.shape[1] * 4


class IntegerKAN(FastLayer):
    """The planes as bytes out of a table, whose nearest row is read, and a product of integers.

    Plane p is top_p · (byte - 64) / 63 with top_p = max|plane_p| on [low, high]; z beyond is taken for its end.
    """

    exact: KANLayer
    rows: Tensor
    """(rows, P), bytes."""
    product: IntegerProduct

    def __init__(self, exact: KANLayer, low: float, high: float) -> None:
        super().__init__(exact, low, high)
        self.step = (high - low) / (POINTS - 1)
        values = table(exact, low, high)
        top = values.abs().amax(0).clamp(min=1e-12)
        rows = (values / top * (LEVELS - ZERO) + ZERO).round().to(torch.uint8)
        self.register_buffer("rows", rows, persistent=False)
        weight = _channels_first(exact, top.float())
        self.product = IntegerProduct(weight, exact, scale=1 / (LEVELS - ZERO), zero=ZERO)

    def compute(self, z: Tensor) -> Tensor:
        row = ((z.movedim(1, -1) - self.low) * (1 / self.step)).round_().clamp_(0, POINTS - 1).to(torch.int32)
        planes = self.rows.index_select(0, row.flatten())  # the elements of (N, *S, C), P
        product: Tensor = self.product(planes.view(*row.shape[:-1], -1).movedim(-1, 1))
        return product

    def row_bytes(self, z: Tensor) -> int:
        return z.numel() * self.rows.shape[1]


class IntegerLayer(FastLayer):
    """A plain convolution or linear layer of integers: x is rounded to 127 steps between low and high."""

    product: IntegerProduct

    def __init__(self, exact: nn.Module, low: float, high: float) -> None:
        super().__init__(exact, low, high)
        low, high = min(low, 0.0), max(high, 0.0)  # so that padding with zeros is exact
        self.scale = (high - low) / LEVELS
        self.zero = round(-low / self.scale)
        self.product = IntegerProduct(exact.get_parameter("weight").detach(), exact, self.scale, self.zero)

    def compute(self, z: Tensor) -> Tensor:
        rounded = (z * (1 / self.scale) + self.zero).round_().clamp_(0, LEVELS).to(torch.uint8)
        layout = torch.channels_last if z.dim() == 4 else torch.contiguous_format
        product: Tensor = self.product(rounded.contiguous(memory_format=layout))
        return product

    def row_bytes(self, z: Tensor) -> int:
        return z.numel() * 4


def can_be_tabulated(layer: nn.Module) -> bool:
    """Whether a layer has a basis that a table can stand for."""
    return isinstance(layer, KANLayer) and (not isinstance(layer, KANConv) or layer.pad == "features")


def can_be_integer(layer: nn.Module) -> bool:
    """Whether there is a product of integers for a layer: in two dimensions, and between vectors."""
    if isinstance(layer, KANConv):
        return can_be_tabulated(layer) and layer.dims == 2
    zeros = not isinstance(layer, nn.Conv2d) or (layer.padding_mode == "zeros" and not isinstance(layer.padding, str))
    return isinstance(layer, (KANLayer, nn.Conv2d, nn.Linear)) and zeros


@torch.no_grad()
def table(layer: KANLayer, low: float, high: float, points: int = POINTS) -> Tensor:
    """The planes at evenly spaced z: (points, P), float64."""
    return planes_at(layer, torch.linspace(low, high, points, dtype=torch.float64)).double()


def _channels_first(layer: KANLayer, factors: Tensor | None = None) -> Tensor:
    """The effective weights, times a factor for each plane, with the planes of a channel beside each other:
    (O, C/g·P, *kernel), with the channels last in memory."""
    weight = layer.edge_weights().detach()  # (O, C/g, P, *kernel)
    if factors is not None:
        weight = weight * factors.view(-1, *(1 for _ in weight.shape[3:]))
    weight = weight.flatten(1, 2)
    return weight.contiguous(memory_format=torch.channels_last if weight.dim() == 4 else torch.contiguous_format)
