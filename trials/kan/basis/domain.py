"""Maps of the real line onto the interval where a basis is defined."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ERF", "TANH", "UNIT", "Domain"]


@dataclass(frozen=True)
class Domain:
    """u = map(z), and its derivative as a function of (z, u)."""

    map: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]


TANH = Domain(torch.tanh, lambda z, u: 1 - u * u)
"""u = tanh z, in (-1, 1)."""
UNIT = Domain(lambda z: (torch.tanh(z) + 1) / 2, lambda z, u: 2 * u * (1 - u))
"""u = (tanh z + 1)/2, in (0, 1)."""
ERF = Domain(
    lambda z: torch.erf(z * math.sqrt(0.5)), lambda z, u: math.sqrt(2 / math.pi) * torch.exp(-0.5 * z.square())
)
"""u = erf(z/√2), in (-1, 1): evenly spread where z ~ N(0, 1)."""
