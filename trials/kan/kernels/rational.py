"""A rational activation as a pair of Triton launches: where there are kernels, and what they compute."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from trials.kan.kernels.kernel import first_use

__all__ = ["SUMS", "rational", "rational_pullback"]

SUMS = 10
"""Gradients that are summed for each channel: those of a_0..a_5 and of |b_1|..|b_4|."""
_ELEMENTS, _CHANNELS = 1024, 32  # of a program; channels at most


def rational(x: Tensor, numerator: Tensor, denominator: Tensor, group: Tensor) -> Tensor:
    """φ(x), (N, C, *spatial) -> the same shape and dtype, the channels last in memory."""
    from trials.kan.kernels.rational_programs import rational_program

    last = x.movedim(1, -1).contiguous()
    y = torch.empty_like(last)
    _launch(rational_program, last, [numerator, denominator, group, y])
    return y.movedim(-1, 1)


def rational_pullback(
    x: Tensor, numerator: Tensor, denominator: Tensor, group: Tensor, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradient of x, and the sums for each channel, (10, C)."""
    from trials.kan.kernels.rational_programs import rational_pullback_program

    last, grad = x.movedim(1, -1).contiguous(), grad.movedim(1, -1).contiguous()
    of_x = torch.empty_like(last)
    partial = torch.empty(_programs(last)[0], SUMS, x.shape[1], device=x.device)
    _launch(rational_pullback_program, last, [numerator, denominator, group, grad, of_x, partial])
    return of_x.movedim(-1, 1), partial.sum(0)


def _launch(program: Any, last: Tensor, tensors: list[Tensor]) -> None:
    if not last.numel():
        return
    down, across, rows, channels = _programs(last)
    key: Hashable = (channels, rows, *(tensor.dtype for tensor in (last, *tensors)))
    compiling = first_use(program, last, key) if last.is_cuda else nullcontext()
    with compiling, torch.cuda.device_of(last):  # type: ignore[no-untyped-call]
        program[(down, across)](
            last, *tensors, last.numel() // last.shape[-1], last.shape[-1], ROWS=rows, CHANNELS=channels, num_warps=4
        )


def _programs(last: Tensor) -> tuple[int, int, int, int]:
    """Programs along the rows and along the channels; rows and channels of each, powers of two."""
    channels = min(1 << (last.shape[-1] - 1).bit_length(), _CHANNELS)
    rows = _ELEMENTS // channels
    return -(-last.numel() // (last.shape[-1] * rows)), -(-last.shape[-1] // channels), rows, channels
