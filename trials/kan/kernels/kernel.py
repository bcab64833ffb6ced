"""One basis and base branch as a pair of Triton launches."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trials.kan.kernels.once import compiled_once
from trials.kan.kernels.program import NO_BASE, Program

__all__ = ["Kernel", "first_use"]

_EIGHT = 8  # neighbours of a lane: of bfloat16 what one instruction loads or stores
_LANES, _WARPS = 128, 4


@dataclass(frozen=True)
class Kernel:
    """z (N, C, *spatial) -> planes (N, P·C, *spatial), and back; `Expansion` has their order. Memory of both has the
    channels last.

    `inner` (N, C) multiplies the input of the basis, `outer` (N, F·C) its features; None: nothing.
    """

    program: Program
    base: int
    features: int
    groups: int = 1

    @property
    def width(self) -> int:
        """P, the planes of one channel."""
        return self.features + (self.base != NO_BASE)

    def planes(self, z: Tensor, inner: Tensor | None, outer: Tensor | None, dtype: torch.dtype) -> Tensor:
        """φ_k(z) and b(z), computed in float32 and rounded to `dtype`."""
        from trials.kan.kernels.programs import narrow_planes_program, planes_program

        last = z.movedim(1, -1).contiguous()  # (N, *spatial, C)
        result = torch.empty(*last.shape[:-1], self.width * z.shape[1], dtype=dtype, device=z.device)
        narrow = self._span(last) % _EIGHT > 0
        program, unit = (narrow_planes_program, 1) if narrow else (planes_program, _EIGHT)
        programs = -(-(result if narrow else last).numel() // (_EIGHT * _LANES))
        compiled = {"VECTOR": _EIGHT, "LANES": _LANES, "num_warps": _WARPS}
        self._launch(program, programs, last, inner, outer, [result], unit, compiled)
        return result.movedim(-1, 1)

    def pullback(self, z: Tensor, inner: Tensor | None, outer: Tensor | None, grad: Tensor) -> tuple[Tensor, ...]:
        """Gradients of z, and of each parameter of the basis from that of the planes, (N, P·C, *spatial)."""
        from trials.kan.kernels.programs import pullback_program

        last, grad = z.movedim(1, -1).contiguous(), grad.movedim(1, -1).contiguous()
        result = torch.empty_like(last)
        vector = 1 if self._span(last) % _EIGHT else _EIGHT
        learnt = self.program.learnt
        lanes, warps = (_LANES, _WARPS) if not learnt else (128 if vector == 1 else 32, 1)  # sums want one warp
        programs = -(-last.numel() // (vector * lanes))
        partial = torch.empty(programs if learnt else 0, 2, self.features, device=z.device)
        compiled = {"VECTOR": vector, "LANES": lanes, "num_warps": warps, "LEARNT": learnt > 0}
        self._launch(pullback_program, programs, last, inner, outer, [grad, result, partial], vector, compiled)
        return result.movedim(-1, 1), *(partial.sum(0)[:learnt] if learnt else ())

    def _span(self, last: Tensor) -> int:
        """Channels of a group."""
        return last.shape[-1] // self.groups

    def _launch(
        self, program: Any, programs: int, last: Tensor, inner: Tensor | None, outer: Tensor | None,
        tensors: list[Tensor], unit: int, compiled: dict[str, Any],
    ) -> None:  # fmt: skip
        """Run a program on z (N, *spatial, C), whose channels it counts in units of `unit`."""
        if not programs:
            return
        first, second = (*self.program.tables, None, None)[:2]
        factors = (None if factor is None else factor.float().contiguous() for factor in (inner, outer))
        rows = last.numel() // self._span(last)
        key = (
            self.program.kind, self.program.order, self.program.constant, self.base, inner is None, outer is None,
            *(tensor.dtype for tensor in (last, *tensors)), *compiled.items(),
        )  # fmt: skip
        compiling = first_use(program, last, key) if last.is_cuda else nullcontext()
        with compiling, torch.cuda.device_of(last):  # type: ignore[no-untyped-call]
            program[(programs,)](
                last, *factors, first, second, *tensors, rows, self._span(last) // unit, self.features, self.groups,
                rows // len(last), self.program.scale, self.program.centre,
                KIND=self.program.kind, ORDER=self.program.order, CONSTANT=self.program.constant, BASE=self.base,
                INNER=inner is not None, OUTER=outer is not None, **compiled,
            )  # fmt: skip


def first_use(program: Any, z: Tensor, key: Hashable) -> AbstractContextManager[None]:
    """Within it a program is compiled, by this process or another: not by each of them."""
    from trials.kan.kernels.programs import cache_folder, version_of

    capability = torch.cuda.get_device_capability(z.device)
    return compiled_once((program.__name__, key), cache_folder, lambda: f"{version_of(program)} {capability}")
