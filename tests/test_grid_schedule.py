"""Grids that change while a trial trains: functions and sizes stay, and a killed trial goes on bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from tests.results import untimed
from trials.config import TrialConfig
from trials.data.splits import load_training
from trials.kan.basis.bspline import BSpline
from trials.kan.layer import KANLayer
from trials.measure.sizes import count_flops, count_parameters
from trials.models import build_network
from trials.saved.compress.larger import refine_network, refined_config
from trials.saved.compress.quantize import dequantize, quantize
from trials.saved.inspection import inspect_weights
from trials.saved.weights import load_weights
from trials.training import epoch, loop
from trials.training.checkpoint import CheckpointError, load_checkpoint
from trials.training.epoch import GraphedEpoch
from trials.training.grids import change_grids, changes_grids, staged
from trials.training.optim import build_optimizer
from trials.training.run import evaluate, run_trial
from trials.training.step import backward

OPTIMIZERS = {
    "adamw": {"name": "adamw", "lr": 1e-2, "basis_lr": 0.5},
    "lion": {"name": "lion", "lr": 3e-3},
    "lbfgs": {"name": "lbfgs", "lr": 0.5},
}
EXTENDED = {"grid_schedule": {"extensions": 2, "until": 0.6}}
MOVED = {"adapt_grid": {"times": 2, "until": 0.6}}


def config_of(**fields: Any) -> TrialConfig:
    base: dict[str, Any] = {
        "data": {"dataset": "digits", "batch_size": 64, "limit": 200},
        "model": {"depth": 2, "width": 4, "halvings": 1, "basis": {"name": "bspline", "grid_size": 8}},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "epochs": 4,
    }
    parts = {key: {**base.get(key, {}), **value} if isinstance(value, dict) else value for key, value in fields.items()}
    return TrialConfig.model_validate({**base, **parts})


def grid_sizes(model: nn.Module) -> set[int]:
    return {each.grid_size for each in model.modules() if isinstance(each, BSpline)}


def images() -> Tensor:
    raise AssertionError("an extension needs no images")


def averages(optimizer: Any, layer: KANLayer, name: str) -> Tensor:
    """An average of the optimizer by plane: (out, P, in, *kernel)."""
    value: Tensor = optimizer.state[layer.weight][name]
    return torch.unflatten(value, 1, (layer.planes, -1))


def test_each_epoch_has_its_grid_and_the_last_one_has_the_models() -> None:
    config = config_of(epochs=10, **EXTENDED)
    sizes = [staged(config, epoch).model.basis.model_dump()["grid_size"] for epoch in range(10)]
    assert sizes == [2, 2, 2, 4, 4, 4, 8, 8, 8, 8]
    assert [epoch for epoch in range(10) if changes_grids(config, epoch)] == [3, 6]
    for epochs in range(1, 5):
        short = config.model_copy(update={"epochs": epochs})
        assert staged(short, epochs - 1).model == config.model
    assert not any(changes_grids(config_of(), epoch) for epoch in range(4))


@pytest.mark.parametrize("experts", [None, 3])
@pytest.mark.parametrize("scaler", [False, True], ids=["", "scaler"])
@pytest.mark.parametrize(("factor", "grid_size"), [(2, 8), (3, 9)])
def test_an_extension_leaves_the_training_loss_as_it_is(
    factor: int, grid_size: int, scaler: bool, experts: int | None
) -> None:
    """The grid holds all inputs: outside of it the fine splines end sooner than the coarse ones."""
    basis = {"name": "bspline", "grid_size": grid_size, "grid_range": 12.0}
    model = {"basis": basis, "spline_scaler": scaler, "experts": experts, "base_branch": not scaler}
    config = config_of(model=model, grid_schedule={"extensions": 1, "factor": factor})
    split, _ = load_training(config.data, torch.device("cpu"))
    network = build_network(staged(config, 0)).double()
    optimizer = build_optimizer(config.optimizer, network)
    samples, labels = split.normalised(split.images).double(), split.labels.long()

    def loss() -> float:
        optimizer.zero_grad()
        return backward(network, config.regularization, samples, labels, torch.float32)[0].item()

    loss()
    optimizer.step()
    before = loss()
    change_grids(config, network, optimizer, 2, images)
    assert grid_sizes(network) == {grid_size}
    assert loss() == pytest.approx(before, abs=1e-6)
    optimizer.step()
    assert loss() != pytest.approx(before, abs=1e-4), "it goes on learning"


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_the_optimizers_averages_go_through_the_same_map(name: str) -> None:
    config = config_of(optimizer=OPTIMIZERS[name], **EXTENDED, epochs=3)
    network = build_network(staged(config, 0))
    optimizer = build_optimizer(config.optimizer, network)
    for p in network.parameters():
        p.grad = torch.randn_like(p)
    optimizer.step()
    layers = [each for each in network.modules() if isinstance(each, KANLayer)]
    names = [each for each in ("exp_avg", "exp_avg_sq") if each in optimizer.state[layers[0].weight]]
    before = {(layer, each): averages(optimizer, layer, each).clone() for layer in layers for each in names}
    steps = [optimizer.state[layer.weight].get("step") for layer in layers]
    _, matrix = layers[0].basis.refine()
    change_grids(config, network, optimizer, 1, images)
    assert {p for group in optimizer.param_groups for p in group["params"]} == set(network.parameters())
    assert optimizer.state.keys() == set(network.parameters())
    for (layer, each), old in before.items():
        new, features = averages(optimizer, layer, each), matrix.shape[1]
        expected = torch.einsum("jk,okc...->ojc...", matrix.float(), old[:, :features])
        expected *= 0.5**0.5 if each == "exp_avg_sq" else 1
        torch.testing.assert_close(new[:, : len(matrix)], expected)
        assert torch.equal(new[:, len(matrix) :], old[:, features:]), "the base branch has no grid"
    assert [optimizer.state[layer.weight].get("step") for layer in layers] == steps
    optimizer.step()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("change", [EXTENDED, MOVED, {**EXTENDED, **MOVED}], ids=["extended", "moved", "both"])
def test_a_trial_killed_before_or_after_a_change_goes_on_bit_for_bit(
    optimizer: str, change: dict[str, Any], tmp_path: Path
) -> None:
    config = config_of(optimizer=OPTIMIZERS[optimizer], **change)
    whole = untimed(list(run_trial(config, device="cpu", checkpoint=tmp_path / "whole.pt")))
    for done in (1, 2, 3):
        path = tmp_path / f"after-{done}.pt"
        first = run_trial(config, device="cpu", checkpoint=path)
        for _ in range(done):
            next(first)
        first.close()
        torch.manual_seed(12345)
        assert untimed(list(run_trial(config, device="cpu", checkpoint=path))) == whole
        ours, theirs = (load_checkpoint(each) for each in (path, tmp_path / "whole.pt"))
        assert all(torch.equal(ours["model"][name], theirs["model"][name]) for name in theirs["model"])
        for index, state in theirs["optimizer"]["state"].items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(ours["optimizer"]["state"][index][name]), torch.as_tensor(value))


@pytest.mark.parametrize("change", [EXTENDED, MOVED, {**EXTENDED, **MOVED}], ids=["extended", "moved", "both"])
def test_sizes_are_those_of_the_last_grid_and_its_weights_load(change: dict[str, Any], tmp_path: Path) -> None:
    config, weights, path = config_of(**change), tmp_path / "model.safetensors", tmp_path / "checkpoint.pt"
    results = list(run_trial(config, device="cpu", checkpoint=path, weights=weights))
    assert {result.parameters for result in results} == {count_parameters(config)} == {count_parameters(config_of())}
    assert {result.flops for result in results} == {count_flops(config_of())}
    network, trained = build_network(config).eval(), load_checkpoint(path)["model"]
    load_weights(weights, network)
    assert grid_sizes(network) == {8}
    assert network.state_dict().keys() == trained.keys()
    ranges = {each.basis.grid_range for each in network.modules() if isinstance(each, KANLayer)}
    assert (ranges != {2.0}) == ("adapt_grid" in change)
    _, held_out = load_training(config.data, torch.device("cpu"))
    assert held_out is not None
    with torch.no_grad():
        hits = network(held_out.normalised(held_out.images)).argmax(1) == held_out.labels
    assert hits.float().mean().item() == pytest.approx(results[-1].accuracy)
    assert evaluate(config, path, device="cpu")["accuracy"] > 0.1
    first = inspect_weights(config, weights)[1]
    features = 2 + 3 if "grid_schedule" in change else 8 + 3
    assert first.initial_planes.shape[1] == features + 1 and first.planes.shape[1] == 8 + 3 + 1


def test_moved_grids_hold_the_share_of_the_inputs_that_was_asked_for(tmp_path: Path) -> None:
    moved = {"adapt_grid": {"times": 1, "until": 0.9, "share": 0.8}}
    config = config_of(data={"limit": None}, model={"experts": 2}, **moved, optimizer={"lr": 1e-9})
    list(run_trial(config, device="cpu", weights=tmp_path / "model.safetensors"))
    outside = [layer.outside for layer in inspect_weights(config, tmp_path / "model.safetensors")]
    assert all(each is not None and 0.1 < each < 0.3 for each in outside), outside


def test_moving_keeps_what_the_network_computes_where_its_functions_are_smooth() -> None:
    """Functions of a coarser grid are; random weights on the grid itself are noise, which no other grid can repeat."""
    extended = {"extensions": 1, "factor": 4, "until": 0.25}
    basis = {"name": "bspline", "grid_size": 16}
    config = config_of(model={"basis": basis}, grid_schedule=extended, adapt_grid={"times": 1})
    split, _ = load_training(config.data, torch.device("cpu"))
    samples = split.normalised(split.images)
    network = build_network(staged(config, 0))
    optimizer = build_optimizer(config.optimizer, network)
    change_grids(config, network, optimizer, 1, images)
    with torch.no_grad():
        for _ in range(60):
            network.train()(samples)  # the averages of the normalisation settle
        before = network.eval()(samples)
        change_grids(config, network, optimizer, 2, lambda: samples)
        after = network.eval()(samples)
    assert (after - before).square().mean() < 0.02 * before.var()
    assert not torch.equal(after, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"grid_schedule": {"extensions": 4}}, "model.basis.grid_size to be a multiple of 16, got 8"),
        ({"grid_schedule": {"extensions": 1, "factor": 3}}, "1 extensions by 3"),
        ({"grid_schedule": {"extensions": 1}, "start": {"weights": "x@sha256:" + 64 * "0"}}, "bring the final ones"),
        ({"adapt_grid": {"times": 1}, "start": {"weights": "x@sha256:" + 64 * "0"}}, "bring the final ones"),
    ],
)
def test_what_cannot_be_nested_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config_of(**fields)


def test_other_bases_and_plain_networks_take_no_notice() -> None:
    for basis in ({"name": "gram"}, {"name": "none"}):
        config = config_of(**EXTENDED, **MOVED, epochs=2)
        config = config.model_validate({**config.model_dump(), "model": {"depth": 1, "width": 4, "basis": basis}})
        still = config.model_validate({**config.model_dump(), "grid_schedule": {}, "adapt_grid": {}})
        ours, theirs = (untimed(list(run_trial(each, device="cpu"))) for each in (config, still))
        assert ours == theirs


def test_a_checkpoint_of_another_grid_schedule_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    list(run_trial(config_of(**EXTENDED, epochs=1), device="cpu", checkpoint=path))
    for other in (config_of(epochs=1), config_of(**EXTENDED, epochs=2)):
        with pytest.raises(CheckpointError, match="whose grids change otherwise"):
            list(run_trial(other, device="cpu", checkpoint=path))


class Eagerly:
    """Stands for a CUDA graph: computes at each replay what was to be recorded."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function: Callable[[], object] | None = function

    def replay(self) -> None:
        assert self.function is not None, "a graph that was released is not replayed"
        self.function()

    def reset(self) -> None:
        self.function = None


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_graphs_are_captured_anew_after_each_change(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = config_of(optimizer=OPTIMIZERS[optimizer], accumulate=2, warmup=0.2, **EXTENDED, **MOVED)
    graphs: list[Eagerly] = []

    def capture(function: Callable[[], object], warm_up: Callable[[], object], *more: Any) -> Eagerly:
        assert all(each.function is None for each in graphs), "the one before was released"
        warm_up()
        graphs.append(Eagerly(lambda: (function.__self__.model.train(), function())))  # type: ignore[attr-defined]
        return graphs[-1]

    def build(config: TrialConfig, model: nn.Module, optimizer: Any, training: Any, *more: Any) -> GraphedEpoch:
        return GraphedEpoch(config, model, optimizer, training)

    eager = untimed(list(run_trial(config, device="cpu")))
    monkeypatch.setattr(epoch, "capture", capture)
    monkeypatch.setattr(loop, "build_epoch", build)
    replayed = untimed(list(run_trial(config, device="cpu")))
    assert len(graphs) == 1 + sum(changes_grids(config, each) for each in range(config.epochs)) > 2
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert ours.learning_rate == theirs.learning_rate


def test_a_model_whose_grids_moved_is_quantised_exported_and_refined_as_every_other(tmp_path: Path) -> None:
    config = config_of(**EXTENDED, **MOVED)
    list(run_trial(config, device="cpu", weights=tmp_path / "model.safetensors"))
    network = build_network(config).eval()
    load_weights(tmp_path / "model.safetensors", network)
    samples = torch.randn(4, 1, 8, 8).clamp(-1, 1)
    expected = network(samples)
    copied = build_network(config).eval()
    copied.load_state_dict(dequantize(quantize(network), "x"))
    assert (copied(samples) - expected).square().mean() < 0.01 * expected.var()
    program = torch.export.export(network, (samples,))
    torch.testing.assert_close(program.module()(samples), expected)
    ranges = [each.basis.grid_range for each in network.modules() if isinstance(each, KANLayer)]
    grown = refine_network(network, refined_config(config))
    assert [each.basis.grid_range for each in grown.modules() if isinstance(each, KANLayer)] == ranges
    assert grid_sizes(grown) == {16}
