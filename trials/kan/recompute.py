"""Expand and multiply without keeping the features: the backward pass computes them anew from z.

On a CPU the features of a small batch of vectors are kept: there a call costs more than the numbers that it computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trials.kan import kernels
from trials.kan.basis.basis import Basis, Pullback, full_precision, vjp_at, widened

__all__ = ["Expansion", "Product", "Recomputed"]

KEPT_BYTES = 2 * 2**20
"""Features of a layer that are kept from the forward to the backward pass, in float32."""


class Product(Protocol):
    """A native linear map of the planes: a convolution or a matrix product."""

    def forward(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor: ...

    def backward(self, grad: Tensor, planes: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        """Gradients of planes and weight, each None unless wanted."""
        ...


@dataclass(frozen=True)
class Expansion:
    """z (N, C, *spatial) -> planes (N, P·C, *spatial): each function of the basis, then the base branch, of a group's
    channels one after the other, and so group by group.

    `inner` (N, C) multiplies the input of the basis, `outer` (N, F·C) its features; None: nothing.
    """

    basis: Basis
    base: Callable[[Tensor], Tensor] | None
    groups: int = 1

    def planes(self, z: Tensor, inner: Tensor | None, outer: Tensor | None, dtype: torch.dtype) -> Tensor:
        """The planes, in `dtype`; differentiable where gradients are enabled."""
        if not torch.is_grad_enabled():
            kernel = self._kernel(z, [*self.basis.parameters()])
            if kernel is not None:
                return kernel.planes(z, inner, outer, dtype)
        elif kernels.wanted(z):
            kernels.log_twin("in training a mixture of experts, and a layer that keeps its features, have none")
        column = self._column(widened(z))
        features = self._times(self.basis.columns(self._times(column, inner, z)), outer, z)
        if self.base is not None:
            features = torch.cat([features, self.base(column)], dim=1)  # (A, P, B)
        return _spread(features, z).to(dtype)

    @property
    def n_planes(self) -> int:
        """P: the basis functions, and the base branch."""
        return self.basis.n_features + (self.base is not None)

    def vjp(
        self, z: Tensor, inner: Tensor | None, outer: Tensor | None, dtype: torch.dtype, parameters: list[Tensor]
    ) -> tuple[Tensor, Pullback]:
        """`planes`, and the map from their gradient to those of z and of the basis' parameters."""
        kernel = self._kernel(z, parameters)
        if kernel is not None:
            return kernel.planes(z, inner, outer, dtype), lambda grad: kernel.pullback(z, inner, outer, grad)
        column = self._column(widened(z))
        features, pull = vjp_at(self.basis, self._times(column, inner, z), parameters)
        features = self._times(features, outer, z)
        base, pull_base = _base_vjp(self.base, column) if self.base is not None else (None, None)
        planes = features if base is None else torch.cat([features, base], dim=1)

        def pull_both(grad: Tensor) -> tuple[Tensor, ...]:
            grad = grad.reshape(planes.shape).to(column.dtype)
            grad_z, *rest = pull(self._times(grad[:, : self.basis.n_features], outer, z))
            grad_z = self._times(grad_z, inner, z)
            if pull_base is not None:
                grad_z = grad_z + pull_base(grad[:, self.basis.n_features :])
            return grad_z.view_as(z).to(z.dtype), *rest

        return _spread(planes, z).to(dtype), pull_both

    def _kernel(self, z: Tensor, parameters: Sequence[Tensor]) -> kernels.Kernel | None:
        return kernels.find(self.basis, self.base, parameters, z, self.groups)

    def _column(self, z: Tensor) -> Tensor:
        """(N, C, *spatial) -> (N·groups, 1, C/groups · elements of spatial)."""
        return z.reshape(z.shape[0] * self.groups, 1, z.shape[1] // self.groups * math.prod(z.shape[2:]))

    def _times(self, columns: Tensor, factors: Tensor | None, z: Tensor) -> Tensor:
        """Columns (A, K, B) of z times factors (N, K·C); None: nothing."""
        if factors is None:
            return columns
        sizes = (*columns.shape[:2], z.shape[1] // self.groups)
        spread = columns.reshape(*sizes, math.prod(z.shape[2:]))
        return (spread * factors.reshape(*sizes, 1)).view_as(columns)


class Recomputed(torch.autograd.Function):
    """product(expansion(z), weight, bias), a few samples at a time; z alone is saved, the features where `is_small`.

    The samples of one piece have features of about `piece_bytes`, so that on a CPU they stay in its cache.
    keep: whether a gradient will be wanted.
    """

    @staticmethod
    def forward(
        ctx: Any,
        expansion: Expansion,
        product: Product,
        z: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        inner: Tensor | None,
        outer: Tensor | None,
        keep: bool,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.expansion, ctx.product, ctx.kept = expansion, product, None
        ctx.save_for_backward(z, weight, inner, outer, *parameters)
        ctx.has_bias = bias is not None
        with full_precision(z.device):
            if z.is_meta:  # only the shape is asked for
                planes = weight.new_empty(z.shape[0], z.shape[1] * expansion.n_planes, *z.shape[2:])
                return product.forward(planes, weight, bias)
            if keep and is_small(z, expansion.n_planes):
                ctx.kept = _expanded(expansion, (z, inner, outer), weight, parameters, _wants_input(ctx))
                return product.forward(ctx.kept[0], weight, bias)
            outputs: list[Tensor] = [
                product.forward(expansion.planes(*piece, weight.dtype), weight, bias)
                for piece in _pieces(z, inner, outer, expansion)
            ]
        return torch.cat(outputs) if len(outputs) > 1 else outputs[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        z, weight, inner, outer, *parameters = ctx.saved_tensors
        expansion, product, needs = ctx.expansion, ctx.product, ctx.needs_input_grad
        wants_input, kept = _wants_input(ctx), ctx.kept
        ctx.kept = None  # a pullback works once; a second backward pass computes anew
        grads_z: list[Tensor] = []
        sums: list[Tensor | None] = [None] * (1 + len(parameters))  # of the weight and of the basis' parameters
        start = 0
        with full_precision(z.device):
            for piece in [(z, inner, outer)] if kept else _pieces(z, inner, outer, expansion):
                here = grad[start : start + len(piece[0])]
                start += len(piece[0])
                planes, pull = kept or _expanded(expansion, piece, weight, parameters, wants_input)
                of_planes, of_weight = product.backward(here, planes, weight, (wants_input, needs[3]))
                of_z, *of_parameters = pull(of_planes) if pull else (None,)
                grads_z += [] if of_z is None else [of_z]
                for i, term in enumerate([of_weight, *of_parameters]):
                    sums[i] = _plus(sums[i], term)
        of_bias = _bias_gradient(grad) if ctx.has_bias and needs[4] else None
        return None, None, _joined(grads_z), sums[0], of_bias, None, None, None, *sums[1:]


def _wants_input(ctx: Any) -> bool:
    """Whether a gradient of z or of the basis' parameters is wanted."""
    return bool(ctx.needs_input_grad[2] or any(ctx.needs_input_grad[8:]))


def _expanded(
    expansion: Expansion,
    piece: tuple[Tensor, Tensor | None, Tensor | None],
    weight: Tensor,
    parameters: Sequence[Tensor],
    wants_input: bool,
) -> tuple[Tensor, Pullback | None]:
    """The planes of a piece, and their pullback where one is wanted."""
    if wants_input:
        return expansion.vjp(*piece, weight.dtype, list(parameters))
    return expansion.planes(*piece, weight.dtype), None


def is_small(z: Tensor, planes: int) -> bool:
    """Whether the features of z are kept: those of vectors, on a CPU, of no more than `KEPT_BYTES`."""
    return z.device.type == "cpu" and math.prod(z.shape[2:]) == 1 and z.numel() * planes * 4 <= KEPT_BYTES


def piece_bytes(device: torch.device, threads: int | None = None) -> int:
    """On a CPU what its caches hold, for so many threads or torch's; elsewhere a bound on what is used for a moment."""
    return 2 * 2**20 * (threads or torch.get_num_threads()) if device.type == "cpu" else 2**30


def piece_rows(z: Tensor, planes: int, size: int) -> int:
    """Samples of z whose features take about `size` bytes; at least one."""
    return max(size // max(z[:1].numel() * planes * 4, 1), 1)


def _pieces(
    z: Tensor, inner: Tensor | None, outer: Tensor | None, expansion: Expansion
) -> Iterator[tuple[Tensor, Tensor | None, Tensor | None]]:
    rows = piece_rows(z, expansion.n_planes, piece_bytes(z.device))
    for start in range(0, max(len(z), 1), rows):
        chosen = slice(start, start + rows)
        yield z[chosen], None if inner is None else inner[chosen], None if outer is None else outer[chosen]


def _joined(pieces: list[Tensor]) -> Any:
    return torch.cat(pieces) if len(pieces) > 1 else next(iter(pieces), None)


def _spread(planes: Tensor, z: Tensor) -> Tensor:
    """(N·groups, P, C/groups · elements of spatial) -> (N, P·C, *spatial)."""
    return planes.reshape(z.shape[0], z.shape[1] * planes.shape[1], *z.shape[2:])


def _base_vjp(base: Callable[[Tensor], Tensor], column: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    if base is F.silu or isinstance(base, nn.SiLU):  # the operator that autograd would call
        return F.silu(column), lambda grad: torch.ops.aten.silu_backward(grad, column)
    with torch.enable_grad():
        leaf = column.detach().requires_grad_()
        value = base(leaf)
    return value.detach(), lambda grad: torch.autograd.grad(value, leaf, grad)[0]


def _plus(total: Tensor | None, term: Any) -> Any:
    if total is None:
        return term
    return total if term is None else total.add_(term)


def _bias_gradient(grad: Tensor) -> Tensor:
    """The sum of (N, O, *spatial) over all but O; on CUDA as a matrix product, which is up to four times faster."""
    if not grad.is_cuda:
        return grad.sum([i for i in range(grad.dim()) if i != 1])
    rows = grad.movedim(1, -1).reshape(-1, grad.shape[1])
    return (rows.new_ones(1, len(rows)) @ rows)[0]


def learns(base: Callable[[Tensor], Tensor] | None) -> bool:
    """Whether a base branch has parameters of its own, which `Recomputed` does not know of."""
    return isinstance(base, nn.Module) and next(base.parameters(), None) is not None
