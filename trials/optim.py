"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trials.config import AdamWConfig, LBFGSConfig, LionConfig, OptimizerConfig
from trials.lbfgs import LBFGS

__all__ = ["Lion", "build_optimizer", "learning_rate", "load_optimizer", "set_learning_rate"]


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


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """The optimizer that a configuration describes. Biases and normalisation parameters (one dimension) never decay.

    On CUDA, AdamW is one fused kernel that a CUDA graph can hold.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if isinstance(config, LBFGSConfig):
        return LBFGS(parameters, config.lr, config.max_iter, config.history_size)
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if isinstance(config, LionConfig):
        return Lion(groups, lr=config.lr)
    if isinstance(config, AdamWConfig):
        on_cuda = all(p.is_cuda for p in parameters)
        return AdamW(groups, lr=config.lr, fused=on_cuda or None, capturable=on_cuda)
    raise ValueError(f"unknown optimizer {config!r}")


def learning_rate(schedule: str, peak: float, step: int, steps: int) -> float:
    """The learning rate of step 0 <= step < steps.

    cosine: from `peak` to near 0 along half a cosine. one_cycle: up from peak/25 over the first 30 %, then down to
    peak/250000, both along half a cosine (arXiv 1708.07120). constant: `peak`.
    """
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return _between(peak, 0.0, step / steps)
    if schedule == "one_cycle":
        summit = 0.3 * steps
        if step < summit:
            return _between(peak / 25, peak, step / summit)
        return _between(peak, peak / 250_000, (step - summit) / (steps - summit))
    raise ValueError(f"schedule must be constant, cosine or one_cycle, got {schedule!r}")


def load_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Take the state in a `state_dict()`, which may be another device's; the groups' options stay as they are."""
    optimizer.load_state_dict({**saved, "param_groups": optimizer.state_dict()["param_groups"]})
    for p, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == p.shape and value.stride() != p.stride():
                state[name] = torch.empty_like(p).copy_(value)


def set_learning_rate(optimizer: Optimizer, lr: float | Tensor) -> None:
    """Use `lr` from the next step on."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
