"""The fast path of the layers: Triton programs that expand an input into its planes, and pull a gradient back.

    kernel = find(basis, base, parameters, z)
    if kernel is not None:
        planes = kernel.planes(z, None, None, torch.bfloat16)

The twin in plain PyTorch (`Basis`, `Expansion`) runs everywhere and gives the same numbers to float32's precision.
`find` chooses for each call: the kernel on CUDA where Triton is installed, else None; `force` overrules it in tests.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from trials.kan.basis import Basis
from trials.kan.kernels.kernel import Kernel
from trials.kan.kernels.program import base_number, program_of

__all__ = ["Kernel", "find", "force"]

_forced: bool | None = None


def find(
    basis: Basis, base: Callable[[Tensor], Tensor] | None, parameters: Sequence[Tensor], z: Tensor
) -> Kernel | None:
    """The kernel that expands z by `basis`, at these values of its parameters, and `base`; None: use the twin."""
    if _forced is False or not (_forced or (z.is_cuda and _triton_is_installed())):
        return None
    program, number = program_of(basis, parameters), base_number(base)
    planes = basis.n_features + (base is not None)
    if program is None or number is None or z.numel() * planes >= 2**31:
        return None
    if z.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return None
    return Kernel(program, number, basis.n_features)


@contextmanager
def force(kernels: bool | None) -> Iterator[None]:
    """Use the kernels wherever there is one (True) or never (False) inside, in every thread; None: choose."""
    global _forced
    before, _forced = _forced, kernels
    try:
        yield
    finally:
        _forced = before


@functools.cache
def _triton_is_installed() -> bool:
    return importlib.util.find_spec("triton") is not None
