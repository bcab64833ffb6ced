"""Every optimizer passes one suite; Lion equals lion-pytorch; schedules are functions of the step."""

from __future__ import annotations

import copy
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import lion_pytorch
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.optim import lr_scheduler

from trials.config import AdamWConfig, OptimizerConfig
from trials.training.lion import Lion
from trials.training.optim import OPTIMIZERS, build_optimizer, learning_rate, load_optimizer, set_learning_rate

CONFIGS = [{"name": "adamw", "lr": 1e-2}, {"name": "lion", "lr": 1e-2}, {"name": "lbfgs", "lr": 0.5}]
EVERY_OPTIMIZER = pytest.mark.parametrize("config", CONFIGS, ids=[str(config["name"]) for config in CONFIGS])


def build(config: dict[str, Any], model: nn.Module) -> Any:
    return build_optimizer(validated(config), model)


def validated(config: dict[str, Any]) -> Any:
    return TypeAdapter(OptimizerConfig).validate_python(config)


def problem() -> tuple[nn.Module, Any]:
    """A small regression, and its closure for an optimizer."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(64, 5)
    y = x.prod(1, keepdim=True)

    def closure_for(optimizer: Any) -> Any:
        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            return loss

        return closure

    return model, closure_for


def test_every_optimizer_of_the_schema_has_one_record() -> None:
    schema = {
        get_args(each.model_fields["name"].annotation)[0]: each for each in get_args(get_args(OptimizerConfig)[0])
    }
    assert {name: record.config for name, record in OPTIMIZERS.items()} == schema
    assert {config["name"] for config in CONFIGS} == set(schema) - {"adamw_lbfgs"}, "and passes this suite"
    assert OPTIMIZERS["adamw_lbfgs"].epoch == "eager", "it is two of the others, each with its own: test_phases.py"


def test_an_optimizer_without_a_record_is_refused() -> None:
    config = AdamWConfig.model_construct(name="sgd")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"unknown optimizer .*sgd"):
        build_optimizer(config, nn.Linear(2, 2))


@EVERY_OPTIMIZER
def test_a_record_counts_the_state(config: dict[str, Any]) -> None:
    model = nn.Linear(50, 40)
    optimizer, x = build(config, model), torch.randn(64, 50)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).sin().square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    held = {each.untyped_storage()._cdata: each.untyped_storage().nbytes() for each in tensors(vars(optimizer))}
    weights = sum(p.nbytes for p in model.parameters())
    copies = sum(size for storage, size in held.items() if storage not in own) / weights
    assert round(copies) == OPTIMIZERS[config["name"]].state_copies(validated(config)), "beside some numbers"


def tensors(held: object) -> Iterator[torch.Tensor]:
    """All tensors that an object holds, in whatever."""
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, (Mapping, list, tuple)):
        for each in held.values() if isinstance(held, Mapping) else held:
            yield from tensors(each)
    elif type(held).__module__.startswith("trials."):
        yield from tensors(vars(held))


@EVERY_OPTIMIZER
def test_a_few_steps_lower_the_loss(config: dict[str, Any]) -> None:
    model, closure_for = problem()
    optimizer = build(config, model)
    closure = closure_for(optimizer)
    before = closure().item()
    for _ in range(20):
        optimizer.step(closure)
    assert closure().item() < 0.95 * before


@EVERY_OPTIMIZER
def test_state_resumes_to_the_same_weights(config: dict[str, Any]) -> None:
    model, closure_for = problem()
    optimizer = build(config, model)
    for _ in range(3):
        optimizer.step(closure_for(optimizer))
    resumed, resumed_closure_for = problem()
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    other = build(config, resumed)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        optimizer.step(closure_for(optimizer))
        other.step(resumed_closure_for(other))
    for ours, theirs in zip(model.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@EVERY_OPTIMIZER
def test_a_parameter_without_gradient_stays(config: dict[str, Any]) -> None:
    model = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    idle = model[1].weight.detach().clone()
    optimizer = build(config, model)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = model[0](torch.ones(1, 2)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.equal(model[1].weight, idle)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lion_equals_lion_pytorch(weight_decay: float) -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(7, 3)), nn.Parameter(torch.randn(5))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    options: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.98), "weight_decay": weight_decay}
    optimizers = Lion(ours, **options), lion_pytorch.Lion(theirs, **options)
    for _ in range(50):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_lion_decays_nothing_unless_told() -> None:
    p = nn.Parameter(torch.ones(3))
    p.grad = torch.zeros(3)
    Lion([p], lr=0.1).step()
    assert torch.equal(p, torch.ones(3))


@pytest.mark.parametrize("options", [{"lr": 0.0}, {"weight_decay": -1.0}, {"betas": (0.9, 1.0)}])
def test_lion_refuses_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must hold"):
        Lion([nn.Parameter(torch.ones(1))], **options)


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_biases_and_normalisation_never_decay(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    optimizer = build({"name": name, "lr": 0.1, "weight_decay": 0.5}, model)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    for key, p in model.named_parameters():
        factor = 0.95 if key == "0.weight" else 1.0
        torch.testing.assert_close(p.detach(), before[key] * factor, msg=key)


def test_cosine_equals_torchs_schedule() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert learning_rate("cosine", 0.3, step, 20) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()


def test_one_cycle_rises_to_its_peak_and_ends_near_zero() -> None:
    rates = [learning_rate("one_cycle", 1.0, step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(1 / 25)
    assert max(rates) == rates[300] == 1.0
    assert all(a < b for a, b in itertools.pairwise(rates[:301]))
    assert all(a > b for a, b in itertools.pairwise(rates[300:]))
    assert rates[-1] < 1e-4


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_polynomial_decay_equals_torchs_schedule(power: float) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=power)
    for step in range(20):
        ours = learning_rate("polynomial", 0.3, step, 20, power=power)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        schedule.step()


TORCHS: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda optimizer, steps: lr_scheduler.ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer, steps: lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps),
    "polynomial": lambda optimizer, steps: lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=2.0),
}


@pytest.mark.parametrize("name", TORCHS)
def test_a_warm_up_before_a_schedule_equals_torchs(name: str) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    rising, steps = 12, 40
    linear = lr_scheduler.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The epoch parameter")  # that SequentialLR passes itself
        schedule = lr_scheduler.SequentialLR(optimizer, [linear, TORCHS[name](optimizer, steps - rising)], [rising])
        for step in range(steps):
            ours = learning_rate(name, 0.3, step, steps, warmup=0.3, power=2.0)
            assert ours == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-9)
            optimizer.step()
            schedule.step()


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "polynomial"])
def test_a_warm_up_rises_to_the_first_rate_and_leaves_the_schedule_as_it_is(schedule: str) -> None:
    rates = [learning_rate(schedule, 1.0, step, 100, warmup=0.2) for step in range(100)]
    alone = [learning_rate(schedule, 1.0, step, 80) for step in range(80)]
    assert rates[20:] == alone
    differences = [b - a for a, b in itertools.pairwise([0.0, *rates[:20], alone[0]])]
    assert differences == pytest.approx([alone[0] / 21] * 21)
    assert [learning_rate(schedule, 1.0, step, 100, warmup=0.0) for step in range(100)] == [
        learning_rate(schedule, 1.0, step, 100) for step in range(100)
    ]
    assert 0 < learning_rate(schedule, 1.0, 2, 3, warmup=0.99) <= 1, "one step at least is the schedule's"


def test_a_constant_schedule_is_constant_and_an_unknown_one_is_named() -> None:
    assert {learning_rate("constant", 0.1, step, 9) for step in range(9)} == {0.1}
    with pytest.raises(ValueError, match="'linear'"):
        learning_rate("linear", 0.1, 0, 1)


def test_set_learning_rate_reaches_every_group() -> None:
    optimizer = build({"name": "adamw"}, nn.Linear(2, 2))
    set_learning_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]


@EVERY_OPTIMIZER
def test_saved_state_is_taken_over_and_the_groups_options_are_not(config: dict[str, Any]) -> None:
    model, closure_for = problem()
    optimizer = build(config, model)
    optimizer.step(closure_for(optimizer))
    saved = copy.deepcopy(optimizer.state_dict())
    for group in saved["param_groups"]:
        group["lr"] = torch.tensor(123.0)
    other = build(config, model)
    load_optimizer(other, saved)
    assert [group["lr"] for group in other.param_groups] == [config["lr"]] * len(other.param_groups)
    ours, theirs = copy.deepcopy(model), copy.deepcopy(model)
    results = []
    for stepped in (optimizer, other):
        model.load_state_dict(ours.state_dict())
        stepped.step(closure_for(stepped))
        results.append(copy.deepcopy(model.state_dict()))
    assert all(torch.equal(results[0][name], results[1][name]) for name in theirs.state_dict())


def test_saved_moments_are_laid_out_as_the_parameters_are() -> None:
    model = nn.Conv2d(3, 4, 3)
    optimizer = build(CONFIGS[0], model)
    model(torch.randn(1, 3, 5, 5)).sum().backward()
    optimizer.step()
    saved = copy.deepcopy(optimizer.state_dict())
    model.to(memory_format=torch.channels_last)
    other = build(CONFIGS[0], model)
    load_optimizer(other, saved)
    moments = other.state[model.weight]
    assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == model.weight.stride()
    assert torch.equal(moments["exp_avg"], saved["state"][0]["exp_avg"])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_lion_steps_the_same_by_a_rate_in_memory(weight_decay: float) -> None:
    results = []
    for lr in (1e-2, torch.tensor(1e-2)):
        model, closure_for = problem()
        optimizer = Lion(model.parameters(), weight_decay=weight_decay)
        set_learning_rate(optimizer, lr)
        for _ in range(3):
            optimizer.step(closure_for(optimizer))
        results.append([p.detach().clone() for p in model.parameters()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_adamw_is_torchs_whichever_kernel_takes_its_steps() -> None:
    fused, closure_for = problem()
    plain = copy.deepcopy(fused)
    ours = build({"name": "adamw", "lr": 1e-2, "weight_decay": 0.1}, fused)
    groups = [
        {"params": [p for p in plain.parameters() if (p.dim() > 1) == decays], "weight_decay": 0.1 * decays}
        for decays in (True, False)
    ]
    theirs = torch.optim.AdamW(groups, lr=1e-2, foreach=False, fused=False)
    for _ in range(30):
        ours.step(closure_for(ours))
        for theirs_p, ours_p in zip(plain.parameters(), fused.parameters(), strict=True):
            theirs_p.grad = None if ours_p.grad is None else ours_p.grad.clone()
        theirs.step()
    for theirs_p, ours_p in zip(plain.parameters(), fused.parameters(), strict=True):
        torch.testing.assert_close(theirs_p, ours_p, rtol=1e-4, atol=1e-6)
