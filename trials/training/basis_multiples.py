"""Another learning rate and weight decay for a part of the weights, behind any optimizer with a decoupled step."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trials.kan.layer import KANLayer

__all__ = ["BasisMultiples"]


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
