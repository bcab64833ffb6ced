"""Optimizers, one record each, and learning-rate schedules.

Another optimizer is a class of `trials/config/optimizer.py`, for the schema, and a record here. All that the rest of a
trial needs to know of it is in the record: how it is built, its memory, its epochs, its passes over a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trials.config.optimizer import AdamWConfig, AdamWThenLBFGSConfig, LBFGSConfig, LionConfig, OptimizerConfig
from trials.training.basis_multiples import BasisMultiples
from trials.training.lbfgs import LBFGS
from trials.training.lion import Lion

__all__ = [
    "OPTIMIZERS",
    "OptimizerRecord",
    "build_optimizer",
    "learning_rate",
    "load_optimizer",
    "optimizer_record",
    "set_learning_rate",
]

_Decoupled: TypeAlias = AdamWConfig | LionConfig


@dataclass(frozen=True, kw_only=True)
class OptimizerRecord:
    """All that is to be known of an optimizer. Each function takes its configuration.

    A copy is a float32 tensor for each trainable parameter, of its size: 4 bytes a weight.
    """

    config: type[OptimizerConfig]
    """The configuration that the schema accepts."""
    build: Callable[[Any, nn.Module], Optimizer]
    """Make the optimizer of a model's trainable parameters."""
    state_copies: Callable[[Any], int]
    """Copies that it holds from its first step on."""
    step_copies: Callable[[Any], int]
    """Copies that a step takes for a moment, of all parameters together."""
    update_copies: int
    """Copies that a step takes besides, of what it updates together: all on a GPU, one parameter after another on a
    CPU."""
    epoch: Literal["eager", "step", "line_search"]
    """The part in a CUDA graph: nothing, a whole step (`GraphedEpoch`), or the pieces between the decisions of a line
    search (`LineSearchEpoch`). A line search compares losses: several processes sum them, and take it step by step."""
    passes: Callable[[Any], float]
    """Forward and backward passes over a batch in each step, on average."""
    channels_last: bool
    """Whether parameters may lie with their channels last in memory; if not, each is wanted in one piece."""
    survives_grids: bool
    """Whether its state goes through a change of the model's grids (see `grids`); if not, it is built anew."""


def optimizer_record(config: OptimizerConfig) -> OptimizerRecord:
    """The record of a configuration's optimizer. Raises ValueError where there is none."""
    record = OPTIMIZERS.get(config.name)
    if record is None:
        raise ValueError(f"unknown optimizer {config!r}")
    return record


def build_optimizer(config: OptimizerConfig, model: nn.Module) -> Optimizer:
    """The optimizer that a configuration describes. Biases and normalisation parameters (one dimension) never decay.

    On a CPU and on CUDA, AdamW is one fused kernel, on CUDA one that a CUDA graph can hold.
    """
    return optimizer_record(config).build(config, model)


def _adamw(config: AdamWConfig, model: nn.Module) -> Optimizer:
    kinds = {p.device.type for p in _trainable(model)}
    fused = kinds in ({"cpu"}, {"cuda"})
    adamw = AdamW(_groups(config, model), lr=config.lr, fused=fused or None, capturable=kinds == {"cuda"})
    return _following(config, model, adamw)


def _lion(config: LionConfig, model: nn.Module) -> Optimizer:
    return _following(config, model, Lion(_groups(config, model), lr=config.lr))


def _lbfgs(config: LBFGSConfig, model: nn.Module) -> Optimizer:
    parameters = _trainable(model)
    double = bool(parameters) and parameters[0].dtype == torch.float64
    tolerances = (1e-12, 1e-16) if double else (1e-7, 1e-9)  # of the gradient and of a change, as float32 resolves them
    return LBFGS(parameters, config.lr, config.max_iter, config.history_size, *tolerances)


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _groups(config: _Decoupled, model: nn.Module) -> list[dict[str, Any]]:
    parameters = _trainable(model)
    return [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]


def _following(config: _Decoupled, model: nn.Module, optimizer: Optimizer) -> Optimizer:
    """The optimizer, followed by the basis branch's multiples where there are any."""
    if _multiples(config):
        BasisMultiples(model, config.basis_lr, config.basis_weight_decay).follow(optimizer)
    return optimizer


def _multiples(config: _Decoupled) -> bool:
    """Whether the basis branch has multiples. They copy what they are for, which may be all."""
    return config.basis_lr != 1 or config.basis_weight_decay != 1


OPTIMIZERS: dict[str, OptimizerRecord] = {
    "adamw": OptimizerRecord(
        config=AdamWConfig,
        build=_adamw,
        state_copies=lambda config: 2,
        step_copies=lambda config: int(_multiples(config)),
        update_copies=2,
        epoch="step",
        passes=lambda config: 1,
        channels_last=True,
        survives_grids=True,
    ),
    "lion": OptimizerRecord(
        config=LionConfig,
        build=_lion,
        state_copies=lambda config: 1,
        step_copies=lambda config: 2 + _multiples(config),
        update_copies=0,
        epoch="step",
        passes=lambda config: 1,
        channels_last=True,
        survives_grids=True,
    ),
    "lbfgs": OptimizerRecord(
        config=LBFGSConfig,
        build=_lbfgs,
        state_copies=lambda config: 2 * config.history_size + 9,
        step_copies=lambda config: 3,
        update_copies=0,
        epoch="line_search",
        passes=lambda config: max(2, 1.25 * config.max_iter),  # it stops at 5/4 max_iter evaluations
        channels_last=False,
        survives_grids=False,
    ),
    "adamw_lbfgs": OptimizerRecord(  # of a whole trial; each of its phases has the record of its own optimizer
        config=AdamWThenLBFGSConfig,
        build=lambda config, model: _adamw(
            AdamWConfig(name="adamw", lr=config.lr, weight_decay=config.weight_decay), model
        ),
        state_copies=lambda config: 2 * config.history_size + 9,
        step_copies=lambda config: 3,
        update_copies=2,
        epoch="eager",
        passes=lambda config: config.switch + (1 - config.switch) * max(2, 1.25 * config.max_iter),
        channels_last=False,
        survives_grids=False,
    ),
}
"""The record of each optimizer that the schema accepts, under its name there."""


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
