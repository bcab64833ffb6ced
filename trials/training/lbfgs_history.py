"""The inverse Hessian of L-BFGS, from its last steps, without a loop or a wait for the device."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["History"]

_LEAST = 1e-10
"""sᵀy beyond which a pair is kept, as in `torch.optim.LBFGS`."""


class History:
    """The last `size` pairs s (a step) and y (the change of the gradient along it), each (n,), in a ring.

    The two loops of the textbook are triangular systems of R, where Rᵢⱼ = sᵢᵀyⱼ for i not later than j, else 0:

        a = R⁻¹Sg,  r = γ(g - Yᵀa),  Hg = r + Sᵀ R⁻ᵀ(diag(R)∘a - Yr),  γ = sᵀy / yᵀy of the newest pair

    (Byrd, Nocedal and Schnabel 1994, doi 10.1007/BF01582063, theorem 2.2). R⁻¹ gains a column with each pair, and loses
    the oldest pair's row and column. What is (size,) or (size, size) is float64. A place without a pair is all zeros.
    """

    def __init__(self, size: int, n: int, dtype: torch.dtype, device: torch.device) -> None:
        self._size = size
        small: dict[str, Any] = {"dtype": torch.float64, "device": device}
        self._pairs = torch.zeros(size + 1, 2, n, dtype=dtype, device=device)  # the last place is for refused pairs
        self._inverse = torch.zeros(size, size, **small)
        self._curvature = torch.zeros(size, **small)  # sᵀy
        self._scale = torch.ones((), **small)
        self._next = torch.zeros(1, dtype=torch.int64, device=device)
        self._places = torch.arange(size, device=device)

    def remember(self, pair: Tensor) -> None:
        """Put a pair s, y, (2, n), in the oldest one's place, if sᵀy > 1e-10."""
        y = pair[1]
        sy, yy = (pair * y).sum(1).double()
        good = sy > _LEAST
        self._pairs.index_copy_(0, torch.where(good, self._next, self._size), pair[None])
        new = (self._places == self._next) & good  # (size,): one place, or none
        kept = self._inverse.masked_fill(new[:, None] | new, 0)
        across = (self._pairs[:-1, 0] @ y).double().masked_fill(new, 0)
        column = torch.where(new, 1 / sy, (kept @ across) / -sy)
        self._inverse.copy_(torch.where(new, column[:, None], kept))
        self._curvature.copy_(torch.where(new, sy, self._curvature))
        self._scale.copy_(torch.where(good, sy / yy, self._scale))
        self._next.add_(good).remainder_(self._size)

    def times(self, g: Tensor) -> Tensor:
        """The inverse Hessian times g, (n,) -> (n,)."""
        s, y = self._pairs[:-1].unbind(1)
        a = self._inverse @ (s @ g).double()
        r = torch.addmv(g, y.t(), a.to(g.dtype), alpha=-1).mul_(self._scale)
        b = self._inverse.t() @ (self._curvature * a - (y @ r).double())
        return torch.addmv(r, s.t(), b.to(g.dtype))

    def state(self) -> dict[str, Any]:
        """All that `load` needs to go on with the same numbers; the tensors are not copied."""
        return {
            "pairs": self._pairs[:-1],
            "inverse": self._inverse,
            "curvature": self._curvature,
            "scale": self._scale,
            "next": self._next,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a `state()`, or the pairs alone: of another size, or in the state of `torch.optim.LBFGS`."""
        mine = [self._pairs[:-1], self._inverse, self._curvature, self._scale, self._next]
        if "pairs" in state and state["pairs"].shape == mine[0].shape:
            for tensor, name in zip(mine, ("pairs", "inverse", "curvature", "scale", "next"), strict=True):
                tensor.copy_(state[name])
            return
        for tensor in mine:
            tensor.zero_()
        self._scale.fill_(1)
        for s, y in _in_order(state)[-self._size :]:
            self.remember(torch.stack([s, y]).to(self._pairs))


def _in_order(state: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """The pairs of a state from the oldest to the newest."""
    if "pairs" not in state:  # torch's names for s and y
        return list(zip(state.get("old_stps") or [], state.get("old_dirs") or [], strict=True))
    used = state["curvature"].roll(-int(state["next"])) > 0
    s, y = state["pairs"].roll(-int(state["next"]), 0)[used].unbind(1)
    return list(zip(s, y, strict=True))
