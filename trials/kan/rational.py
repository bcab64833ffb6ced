"""Learnable rational activations: what GR-KAN puts before an ordinary linear map."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trials.kan import kernels
from trials.kan.activation import ChannelActivation
from trials.kan.basis.basis import full_precision, widened
from trials.kan.kernels.rational import rational, rational_pullback

__all__ = ["STARTS", "GroupRational"]

NUMERATOR, DENOMINATOR = 6, 4
STARTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "identity": ((0.0, 1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)),
    "swish": ((0.0, 0.5, 0.25, 0.05327, 0.0058, 0.00028), (0.0, 0.10653, 0.0, 0.00055)),
}
"""First values of a and of b in every group: x itself, and x·sigmoid(x) to 0.04 on [-3, 3]."""


class GroupRational(ChannelActivation):
    """φ_g(x) = Σ_{i=0..5} a_i x^i / (1 + Σ_{j=1..4} |b_gj| |x|^j), a shared by all groups, b_g of each group.

    The channels are in min(groups, C) groups of neighbours, as equal as can be. Parameters: 6 + 4 for each group. The
    denominator is at least 1, so that there is no pole. Computed in float32 at least. Source: GR-KAN, the layer of the
    Kolmogorov-Arnold Transformer (arXiv 2409.10594). Raises ValueError for no channels, no groups or another start.
    """

    name = "rational"
    group: Tensor

    def __init__(self, channels: int, groups: int = 8, start: Literal["identity", "swish"] = "swish") -> None:
        super().__init__()
        if channels < 1 or groups < 1 or start not in STARTS:
            raise ValueError(
                f"channels >= 1, groups >= 1 and start in {', '.join(STARTS)} must hold, "
                f"got {channels}, {groups} and {start!r}"
            )
        self.channels, self.groups, self.start = channels, min(groups, channels), start
        self.numerator = nn.Parameter(torch.empty(NUMERATOR))
        self.denominator = nn.Parameter(torch.empty(self.groups * DENOMINATOR))  # one dimension: it never decays
        self.register_buffer("group", torch.arange(channels) * self.groups // channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Make every function the one it starts as."""
        numerator, denominator = STARTS[self.start]
        with torch.no_grad():
            self.numerator.copy_(torch.tensor(numerator))
            self.denominator.copy_(torch.tensor(denominator * self.groups))

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[1] != self.channels:
            raise ValueError(f"expected (N, {self.channels}, *sizes), got shape {tuple(x.shape)}")
        with full_precision(x.device):
            if torch.compiler.is_compiling():
                spread = self.denominator.view(-1, DENOMINATOR)[self.group]
                return _rational(widened(x), self.numerator, spread)[0].to(x.dtype)
            y: Tensor = _Rational.apply(x, self.numerator, self.denominator, self.group)
            return y

    def functions(self, z: Tensor) -> Tensor:
        column = widened(z).reshape(-1, 1).expand(-1, self.groups)  # one channel for each group
        values = _rational(column, self.numerator, self.denominator.view(-1, DENOMINATOR))[0]
        return values.reshape(*z.shape, self.groups)

    def mixture(self) -> Tensor:
        return _members(self.group, self.groups, self.numerator.dtype)

    def keep(self, chosen: Tensor) -> None:
        self.group, self.channels = self.group[chosen].contiguous(), len(chosen)

    def extra_repr(self) -> str:
        return f"{self.channels}, groups={self.groups}, start={self.start!r}"


class _Rational(torch.autograd.Function):
    """The functions with their gradient written by hand: x alone is saved. Sums over groups are products, without
    atomic additions, and so the same each time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, numerator: Tensor, denominator: Tensor, group: Tensor) -> Tensor:
        ctx.save_for_backward(x, numerator, denominator, group)
        if kernels.find_elementwise(x, numerator, denominator):
            return rational(x, numerator, denominator, group)
        return _rational(widened(x), numerator, denominator.view(-1, DENOMINATOR)[group])[0].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, numerator, denominator, group = ctx.saved_tensors
        with full_precision(x.device):
            if kernels.find_elementwise(x, numerator, denominator):
                of_x, sums = rational_pullback(x, numerator, denominator, group, grad)
                of_numerator, of_spread = sums[:NUMERATOR].sum(1), sums[NUMERATOR:].T
            else:
                spread = denominator.view(-1, DENOMINATOR)[group]
                of_x, of_numerator, of_spread = _pullback(widened(x), numerator, spread, grad)
            members = _members(group, len(denominator) // DENOMINATOR, of_spread.dtype)
            of_denominator = (members.T @ of_spread).flatten() * _sign(denominator)
        return of_x.to(x.dtype), of_numerator.to(numerator), of_denominator.to(denominator), None


def _rational(x: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """φ(x), and its denominator; b: (C, 4)."""
    size, a = x.abs(), a.to(x.dtype)
    of_channel = _over_channels(b.abs(), x)
    top = a[5] * x
    for i in range(4, 0, -1):
        top = (top + a[i]) * x
    bottom = of_channel[3] * size
    for j in range(2, -1, -1):
        bottom = (bottom + of_channel[j]) * size
    bottom = bottom + 1
    return (top + a[0]) / bottom, bottom


def _pullback(x: Tensor, a: Tensor, b: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, of a, and of |b| for each channel, (C, 4)."""
    y, bottom = _rational(x, a, b)
    size, a = x.abs(), a.to(x.dtype)
    of_channel = _over_channels(b.abs(), x)
    rise, fall = 5 * a[5] * x, 4 * of_channel[3] * size
    for i in range(4, 1, -1):
        rise = (rise + i * a[i]) * x
    for j in range(3, 1, -1):
        fall = (fall + j * of_channel[j - 1]) * size
    outer = grad.to(x.dtype) / bottom
    of_x = outer * ((rise + a[1]) - y * (fall + of_channel[0]) * x.sign())
    others = [i for i in range(x.dim()) if i != 1]
    falling, term = outer * y, outer
    of_a, of_b = [], []
    for i in range(NUMERATOR):
        of_a.append(term.sum())
        term = term * x if i + 1 < NUMERATOR else term
    for _ in range(DENOMINATOR):
        falling = falling * size
        of_b.append(-falling.sum(others))
    return of_x, torch.stack(of_a), torch.stack(of_b, dim=1)


def _over_channels(b: Tensor, x: Tensor) -> list[Tensor]:
    """Columns of (C, 4), each to be multiplied by x, (N, C, *spatial)."""
    return [column.to(x.dtype).view(1, -1, *(1,) * (x.dim() - 2)) for column in b.unbind(1)]


def _sign(b: Tensor) -> Tensor:
    """1 for zero, so that a coefficient that starts at zero learns: 1 or -1."""
    return torch.where(b < 0, -1.0, 1.0).to(b.dtype)


def _members(group: Tensor, groups: int, dtype: torch.dtype) -> Tensor:
    """(C, G): 1 where a channel is of a group."""
    return (group[:, None] == torch.arange(groups, device=group.device)).to(dtype)
