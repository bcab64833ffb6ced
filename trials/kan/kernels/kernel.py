"""One basis and base branch as a pair of Triton launches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trials.kan.kernels.program import MEXICAN_HAT, NO_BASE, RELU_PAIR, Program

__all__ = ["Kernel"]

_LANES = 128  # lanes of eight planes a program of the forward pass


@dataclass(frozen=True)
class Kernel:
    """z (N, C, *spatial) -> planes (N, C·P, *spatial), and back. Memory of both has the channels last.

    `inner` (N, C) multiplies the input of the basis, `outer` (N, C·F) its features; None: nothing.
    """

    program: Program
    base: int
    features: int

    @property
    def width(self) -> int:
        """P, the planes of one channel."""
        return self.features + (self.base != NO_BASE)

    def planes(self, z: Tensor, inner: Tensor | None, outer: Tensor | None, dtype: torch.dtype) -> Tensor:
        """φ_k(z) and b(z), computed in float32 and rounded to `dtype`."""
        from trials.kan.kernels.programs import planes_program

        last = z.movedim(1, -1).contiguous()  # (N, *spatial, C)
        result = torch.empty(*last.shape[:-1], z.shape[1] * self.width, dtype=dtype, device=z.device)
        programs = -(-result.numel() // (8 * _LANES))
        if programs:
            with torch.cuda.device_of(z):  # type: ignore[no-untyped-call]
                planes_program[(programs,)](
                    last, *self._inputs(inner, outer), result, result.numel(), *self._sizes(z),
                    **self._compiled(inner, outer), SPAN=(6 + self.width) // self.width + 1, BLOCK=_LANES,
                )  # fmt: skip
        return result.movedim(-1, 1)

    def pullback(self, z: Tensor, inner: Tensor | None, outer: Tensor | None, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of z, and of each parameter of the basis from that of the planes, (N, C·P, *spatial)."""
        from trials.kan.kernels.programs import pullback_program

        last, grad = z.movedim(1, -1).contiguous(), grad.movedim(1, -1).contiguous()
        result = torch.empty_like(last)
        learnt = self.program.kind >= MEXICAN_HAT or self.program.kind == RELU_PAIR
        rows = 512 if learnt else 256 if self.width <= 12 else 128  # elements a program: as the cache and sums want
        programs = -(-z.numel() // rows)
        partial = torch.empty(programs if learnt else 0, 2, self.features, device=z.device)
        if programs:
            with torch.cuda.device_of(z):  # type: ignore[no-untyped-call]
                pullback_program[(programs,)](
                    last, *self._inputs(inner, outer), grad, result, partial, z.numel(), *self._sizes(z),
                    **self._compiled(inner, outer), LEARNT=learnt, ROWS=rows,
                )  # fmt: skip
        return result.movedim(-1, 1), *(partial.sum(0) if learnt else ())

    def _inputs(self, inner: Tensor | None, outer: Tensor | None) -> tuple[Tensor | None, ...]:
        first, second = (*self.program.tables, None, None)[:2]
        factors = (None if factor is None else factor.float().contiguous() for factor in (inner, outer))
        return (*factors, first, second)

    def _sizes(self, z: Tensor) -> tuple[int, int, float]:
        """Elements of one sample, channels, and intervals a unit."""
        return math.prod(z.shape[1:]), z.shape[1], self.program.scale

    def _compiled(self, inner: Tensor | None, outer: Tensor | None) -> dict[str, Any]:
        return {
            "KIND": self.program.kind, "F": self.features, "P": self.width, "SIZE": self.program.size,
            "CONSTANT": self.program.constant, "BASE": self.base, "INNER": inner is not None,
            "OUTER": outer is not None,
        }  # fmt: skip
