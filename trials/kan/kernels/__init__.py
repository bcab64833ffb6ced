"""The fast path of the layers: Triton programs that expand an input into its planes, and pull a gradient back.

    kernel = find(basis, base, parameters, z)
    if kernel is not None:
        planes = kernel.planes(z, None, None, torch.bfloat16)

The twin in plain PyTorch (`Basis`, `Expansion`) runs everywhere and gives the same numbers to float32's precision.
`find` chooses for each call: the kernel on CUDA where Triton is installed, else None; `force` overrules it in tests.
Where the twin must run on CUDA, `log_twin` says why.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from trials.kan.basis import Basis
from trials.kan.kernels.kernel import Kernel
from trials.kan.kernels.program import base_number, program_of

__all__ = ["Kernel", "find", "find_elementwise", "force", "log_twin", "wanted"]

_log = logging.getLogger(__name__)
_forced: bool | None = None


def find(
    basis: Basis, base: Callable[[Tensor], Tensor] | None, parameters: Sequence[Tensor], z: Tensor, groups: int = 1
) -> Kernel | None:
    """The kernel that expands z by `basis`, at these values of its parameters, and `base`; None: use the twin."""
    if not wanted(z):
        return None
    if not (_forced or _triton_is_installed()):
        log_twin("Triton is not installed")
        return None
    program, number = program_of(basis, parameters), base_number(base)
    planes = basis.n_features + (base is not None)
    if z.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        log_twin(f"there is none for {z.dtype}")
    elif program is None:
        log_twin(f"{type(basis).__name__} {getattr(basis, 'kind', '')}".strip() + " has none")
    elif number is None:
        log_twin(f"the base branch {getattr(base, '__name__', base)} has none")
    elif z.numel() * planes >= 2**31:
        log_twin("a batch has more than 2**31 features")
    else:
        return Kernel(program, number, basis.n_features, groups)
    return None


def find_elementwise(x: Tensor, *parameters: Tensor) -> bool:
    """Whether kernels compute a learnable activation of x at these parameters; False: use the twin."""
    if not wanted(x):
        return False
    dtypes = (torch.float32, torch.bfloat16, torch.float16)
    if not (_forced or _triton_is_installed()):
        log_twin("Triton is not installed")
    elif x.dtype not in dtypes or any(each.dtype != torch.float32 for each in parameters):
        log_twin(f"there is none for {x.dtype} and {parameters[0].dtype}")
    elif x.numel() >= 2**31:
        log_twin("a batch has more than 2**31 elements")
    else:
        return True
    return False


def wanted(z: Tensor) -> bool:
    """Whether a kernel, if there is one, expands z."""
    return z.is_cuda if _forced is None else _forced


@functools.cache
def log_twin(reason: str) -> None:
    """Log, once in a process, that a basis is evaluated in plain PyTorch where a kernel was wanted."""
    _log.warning("no Triton kernel, so a basis takes several times longer: %s", reason)


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
