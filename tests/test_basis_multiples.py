"""The basis branch learns at a rate of its own: as groups of parameters for each plane would."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from trials.config import OptimizerConfig
from trials.kan import BASES, KANConv2d, KANLinear
from trials.training.lion import Lion
from trials.training.optim import build_optimizer

BUILD: dict[str, Any] = {"adamw": AdamW, "lion": Lion}
LR, DECAY = 1e-2, 0.3


def build(model: nn.Module, name: str, **multiples: float) -> Optimizer:
    config = {"name": name, "lr": LR, "weight_decay": DECAY, **multiples}
    return build_optimizer(TypeAdapter(OptimizerConfig).validate_python(config), model)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    convolution = KANConv2d(2, 3, 3, basis=BASES["wavelet"](), spline_scaler=True)
    return nn.Sequential(convolution, nn.BatchNorm2d(3), nn.Flatten(), KANLinear(12, 2, base=None))


class Oracle:
    """A copy of each part of each parameter in a group of its own, with the rates and decays multiplied."""

    def __init__(self, model: nn.Module, name: str, rate: float, decay: float) -> None:
        self.copies: list[tuple[nn.Parameter, Tensor]] = []  # and what it is a copy of: a view of a parameter
        groups = []
        for key, p in model.named_parameters():
            layer = model[int(key[0])]  # type: ignore[index]
            weight = key.endswith(".weight") and isinstance(layer, (KANConv2d, KANLinear))
            own = "basis" in key or "spline_scaler" in key
            edge = layer.basis.n_features * p.shape[1] // layer.planes if weight else 0
            parts = [(p[:, :edge], True), (p[:, edge:], False)] if weight else [(p, own)]
            for view, multiplied in parts:
                copy = nn.Parameter(view.detach().clone())
                self.copies.append((copy, view))
                a, b = (rate, decay) if multiplied else (1.0, 1.0)
                groups.append({"params": [copy], "lr": LR * a, "weight_decay": DECAY * b if p.dim() > 1 else 0.0})
        self.parameters = dict(model.named_parameters())
        self.optimizer = BUILD[name](groups, lr=LR)

    def step(self, gradients: dict[int, Tensor]) -> None:
        for copy, view in self.copies:
            whole = view if view._base is None else view._base
            gradient = gradients[whole.data_ptr()]
            copy.grad = gradient.as_strided(view.shape, view.stride(), view.storage_offset()).clone()
        self.optimizer.step()


@pytest.mark.parametrize("name", BUILD)
@pytest.mark.parametrize(("rate", "decay"), [(0.1, 1.0), (10.0, 1.0), (1.0, 0.0), (1.0, 4.0), (0.5, 3.0)])
def test_it_equals_groups_of_parameters(name: str, rate: float, decay: float) -> None:
    model = network()
    oracle = Oracle(model, name, rate, decay)
    optimizer = build(model, name, basis_lr=rate, basis_weight_decay=decay)
    for _ in range(20):
        gradients = {}
        for p in model.parameters():
            p.grad = torch.randn_like(p)
            gradients[p.data_ptr()] = p.grad.clone()
        optimizer.step()
        oracle.step(gradients)
    for copy, view in oracle.copies:
        torch.testing.assert_close(view.detach(), copy.detach(), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("name", BUILD)
def test_multiples_of_one_are_the_plain_optimizer_bit_for_bit(name: str) -> None:
    results = []
    for multiples in ({}, {"basis_lr": 1.0, "basis_weight_decay": 1.0}):
        model = network()
        optimizer = build(model, name, **multiples)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 2, 4, 4)).square().sum().backward()
            optimizer.step()
        assert not optimizer._optimizer_step_pre_hooks
        results.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("name", BUILD)
def test_what_has_no_gradient_and_what_learns_at_no_rate_stays(name: str) -> None:
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = build(model, name, basis_lr=3.0, basis_weight_decay=2.0)
    optimizer.step()
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.0)
    if name == "lion":  # AdamW wants its tensors on a GPU
        optimizer.step()
        assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))


def test_lbfgs_has_one_step_length_and_says_so() -> None:
    for field, value in itertools.product(("basis_lr", "basis_weight_decay"), (2.0,)):
        with pytest.raises(ValidationError, match=field):
            TypeAdapter(OptimizerConfig).validate_python({"name": "lbfgs", field: value})
