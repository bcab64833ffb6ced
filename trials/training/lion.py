"""Lion: steps along the sign of an average of the gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

__all__ = ["Lion"]


class Lion(Optimizer):
    """p ← p(1 - lr·λ) - lr·sign(β₁m + (1-β₁)g);  m ← β₂m + (1-β₂)g (arXiv 2302.06675).

    λ, the decoupled weight decay, is 0 unless given. The learning rate of a group may be a tensor of no dimension:
    then a CUDA graph can hold the step. Raises ValueError for a value out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        if lr <= 0 or weight_decay < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                f"lr > 0, weight_decay >= 0 and 0 <= beta < 1 must hold, got {lr}, {weight_decay} and {betas}"
            )
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                self._update(params, group["lr"], group["betas"], group["weight_decay"])
        return loss

    def _update(self, params: list[Tensor], lr: Any, betas: tuple[float, float], weight_decay: float) -> None:
        for p in params:
            if not self.state[p]:
                self.state[p]["exp_avg"] = torch.zeros_like(p)
        averages = [self.state[p]["exp_avg"] for p in params]
        gradients = [p.grad for p in params if p.grad is not None]
        if weight_decay:
            torch._foreach_mul_(params, 1 - lr * weight_decay)
        directions = torch._foreach_sign(torch._foreach_lerp(averages, gradients, 1 - betas[0]))
        torch._foreach_mul_(directions, lr)
        torch._foreach_sub_(params, directions)
        torch._foreach_lerp_(averages, gradients, 1 - betas[1])
