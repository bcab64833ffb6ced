"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trials.config import AdamWConfig, LBFGSConfig, LionConfig, OptimizerConfig
from trials.kan.layer import KANLayer
from trials.lbfgs import LBFGS

__all__ = ["BasisMultiples", "Lion", "build_optimizer", "learning_rate", "load_optimizer", "set_learning_rate"]


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
        optimizer: Optimizer = Lion(groups, lr=config.lr)
    elif isinstance(config, AdamWConfig):
        on_cuda = all(p.is_cuda for p in parameters)
        optimizer = AdamW(groups, lr=config.lr, fused=on_cuda or None, capturable=on_cuda)
    else:
        raise ValueError(f"unknown optimizer {config!r}")
    if config.basis_lr != 1 or config.basis_weight_decay != 1:
        BasisMultiples(model, config.basis_lr, config.basis_weight_decay).follow(optimizer)
    return optimizer


class BasisMultiples:
    """Another learning rate and weight decay for the basis branch of a model's KAN layers.

    The basis branch is planes of a layer's `weight`, its scaler, and the basis' own parameters. A decoupled step p -
    lr·λp - lr·u is linear in lr. So the optimizer steps as ever, and afterwards these elements are put at

        p + a·(p' - p) - lr·a·(b - 1)·λ·p          p' after the step, a and b the two multiples

    which is what a group of parameters with lr·a and λ·b would do, to rounding. A CUDA graph can hold it.
    """

    def __init__(self, model: nn.Module, rate: float, decay: float) -> None:
        self.model, self.rate, self.decay = model, rate, decay
        self._before: list[Tensor] = []

    def follow(self, optimizer: Optimizer) -> None:
        """Act on each step of the optimizer from now on."""
        optimizer.register_step_pre_hook(self._note)
        optimizer.register_step_post_hook(self._correct)

    @torch.no_grad()
    def _note(self, *step: object) -> None:
        self._before = [view.clone() for _, view in self._parts()]

    @torch.no_grad()
    def _correct(self, optimizer: Optimizer, *step: object) -> None:
        groups = {p: group for group in optimizer.param_groups for p in group["params"]}
        for (p, view), before in zip(self._parts(), self._before, strict=True):
            group = groups.get(p)
            if group is None or p.grad is None:
                continue
            if self.rate != 1:
                view.lerp_(before, 1 - self.rate)
            if self.decay != 1 and group["weight_decay"]:
                view.sub_(before * (group["lr"] * (self.rate * (self.decay - 1) * group["weight_decay"])))
        self._before = []

    def _parts(self) -> list[tuple[Tensor, Tensor]]:
        """The parameters of the basis branches, and of each what belongs there."""
        parts: dict[Tensor, Tensor] = {}
        for layer in self.model.modules():
            if isinstance(layer, KANLayer):
                parts[layer.weight] = layer.basis_weight()
                others = [*layer.basis.parameters(), *([] if layer.spline_scaler is None else [layer.spline_scaler])]
                parts |= {p: p for p in others}
        return list(parts.items())


def learning_rate(
    schedule: str, peak: float, step: int, steps: int, *, warmup: float = 0.0, power: float = 1.0
) -> float:
    """The learning rate of step 0 <= step < steps.

    cosine: from `peak` to near 0 along half a cosine. one_cycle: up from peak/25 over the first 30 %, then down to
    peak/250000, both along half a cosine (arXiv 1708.07120). polynomial: peak·(1 - step/steps)^power. constant: `peak`.

    warmup: the share of the steps, w in number, in which the rate rises linearly, by (step + 1) / (w + 1), to the
    schedule's first one; the schedule takes the rest.
    """
    rising = min(round(warmup * steps), steps - 1)
    if step < rising:
        return learning_rate(schedule, peak, 0, steps, power=power) * (step + 1) / (rising + 1)
    step, steps = step - rising, steps - rising
    if schedule == "constant":
        return peak
    if schedule == "cosine":
        return _between(peak, 0.0, step / steps)
    if schedule == "one_cycle":
        summit = 0.3 * steps
        if step < summit:
            return _between(peak / 25, peak, step / summit)
        return _between(peak, peak / 250_000, (step - summit) / (steps - summit))
    if schedule == "polynomial":
        return float(peak * (1 - step / steps) ** power)
    raise ValueError(f"schedule must be constant, cosine, one_cycle or polynomial, got {schedule!r}")


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
