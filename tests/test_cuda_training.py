"""On CUDA: what changes while a trial trains is captured anew, and what a step does besides is in its graph."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from kansearch.cluster import trainable
from kansearch.cluster.trainable import Request
from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from tests.results import untimed
from trials.config import TrialConfig
from trials.data.splits import load_training
from trials.kan import kernels
from trials.kan.layer import KANLayer
from trials.models import build_network
from trials.results import TEST, EpochResult
from trials.saved.weights import load_weights
from trials.training.checkpoint import load_checkpoint
from trials.training.epoch import GraphedEpoch, build_epoch
from trials.training.grids import change_grids, staged
from trials.training.lbfgs_epoch import LineSearchEpoch
from trials.training.optim import build_optimizer
from trials.training.run import build_on, run_trial
from trials.training.step import backward

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

MULTIPLES = {"basis_lr": 0.3, "basis_weight_decay": 2.0, "weight_decay": 0.1}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adamw": {"name": "adamw", "lr": 5e-3, **MULTIPLES},
    "lion": {"name": "lion", "lr": 1e-3, **MULTIPLES},
    "lbfgs": {"name": "lbfgs", "lr": 0.3},
}
GRIDS: dict[str, Any] = {
    "grid_schedule": {"extensions": 2, "until": 0.6},
    "adapt_grid": {"times": 2, "until": 0.6},
}
DOCUMENT: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64, "limit": 600},
    "model": {"depth": 3, "width": 8, "halvings": 1, "basis": {"name": "bspline", "grid_size": 8}},
    "optimizer": OPTIMIZERS["adamw"],
    "epochs": 4,
}


def config_of(**fields: Any) -> TrialConfig:
    return TrialConfig.model_validate({**DOCUMENT, **fields})


def train(config: TrialConfig, path: Path | None = None, graphs: bool = True, **options: Any) -> list[EpochResult]:
    results = run_trial(config, device="cuda", checkpoint=path, graphs=graphs, **options)
    return untimed(results)


def is_near(replayed: list[EpochResult], eager: list[EpochResult], accuracy: float = 0.06) -> None:
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.05)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=accuracy)


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
@pytest.mark.parametrize("model", [{}, {"experts": 2}, {"spline_scaler": True, "bottleneck": 2}], ids=str)
def test_a_trial_whose_grids_change_learns_the_same_from_graphs(model: dict[str, Any], optimizer: str) -> None:
    shape = {**DOCUMENT["model"], **model}
    config = config_of(model=shape, optimizer=OPTIMIZERS[optimizer], precision="float32", **GRIDS)
    replayed = train(config)
    is_near(replayed, train(config, graphs=False))
    assert train(config) == replayed, "twice the same numbers"
    assert replayed[-1].train_loss < replayed[0].train_loss


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_goes_on_bit_for_bit_before_and_after_a_change(optimizer: str, tmp_path: Path) -> None:
    config = config_of(optimizer=OPTIMIZERS[optimizer], **GRIDS)
    whole = train(config, tmp_path / "whole.pt", weights=tmp_path / "model.safetensors")
    for done in (1, 2, 3):
        path = tmp_path / f"after-{done}.pt"
        interrupted = run_trial(config, device="cuda", checkpoint=path)
        for _ in range(done):
            next(interrupted)
        interrupted.close()
        assert train(config, path) == whole
        ours, theirs = load_checkpoint(path)["model"], load_checkpoint(tmp_path / "whole.pt")["model"]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    load_weights(tmp_path / "model.safetensors", build_network(config))


@pytest.mark.parametrize("programs", [True, False], ids=["kernels", "twin"])
def test_an_extension_leaves_the_loss_and_the_layout_as_they_are(programs: bool) -> None:
    basis = {"name": "bspline", "grid_size": 8, "grid_range": 12.0}
    config = config_of(model={**DOCUMENT["model"], "basis": basis}, grid_schedule={"extensions": 1, "until": 0.25})
    device = torch.device("cuda")
    training, _ = load_training(config.data, device)
    network = build_on(staged(config, 0), device)
    optimizer = build_optimizer(config.optimizer, network)
    images, labels = training.normalised(training.images), training.labels

    def loss() -> float:
        return backward(network, config.regularization, images, labels, torch.float32)[0].item()

    with kernels.force(programs), torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        loss()
        optimizer.step()
        before = loss()
        change_grids(config, network, optimizer, 1, lambda: images)
        assert loss() == pytest.approx(before, abs=5e-6)
    built = build_on(config, device)
    for name, p in network.named_parameters():
        assert p.stride() == built.get_parameter(name).stride(), name
    for layer in network.modules():
        if isinstance(layer, KANLayer):
            state = optimizer.state[layer.weight]
            assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == layer.weight.stride()
    optimizer.step()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_accumulated_batches_are_one_graph_and_near_the_larger_batch(optimizer: str) -> None:
    fields: dict[str, Any] = {
        "model": {**DOCUMENT["model"], "normalization": "layer"}, "optimizer": OPTIMIZERS[optimizer],
        "precision": "float32", "epochs": 2,
    }  # fmt: skip
    small, large = (
        config_of(data={**DOCUMENT["data"], "batch_size": size}, accumulate=parts, **fields)
        for size, parts in ((25, 4), (100, 1))
    )
    device = torch.device("cuda")
    training, _ = load_training(small.data, device)
    network = build_on(small, device)
    epoch = build_epoch(small, network, build_optimizer(small.optimizer, network), training, True)
    assert isinstance(epoch, LineSearchEpoch if optimizer == "lbfgs" else GraphedEpoch)
    epoch.release()
    is_near(train(small), train(large), accuracy=0.1)


@pytest.mark.parametrize("optimizer", ["adamw", "lion"])
def test_multiples_noise_and_warm_up_are_in_the_graph(optimizer: str, caplog: pytest.LogCaptureFixture) -> None:
    model = {**DOCUMENT["model"], "additive_noise": 0.1, "additive_noise_share": 0.5}
    fields: dict[str, Any] = {"schedule": "polynomial", "power": 2.0, "warmup": 0.2, "precision": "float32"}
    config = config_of(model=model, optimizer=OPTIMIZERS[optimizer], **fields)
    with caplog.at_level(logging.INFO):
        replayed = train(config)
    assert "no CUDA graph" not in caplog.text
    is_near(replayed, train(config, graphs=False))
    still = train(config_of(model=model, optimizer={"name": optimizer, "lr": 1e-12}, schedule="constant"))
    assert len({result.train_loss for result in still}) == len(still), "noise is drawn anew"


def test_the_basis_branch_is_replayed_with_its_own_rate(tmp_path: Path) -> None:
    """A rate 1e-4 times the others leaves the basis branch where it was."""
    moved = {}
    for multiple in (1.0, 1e-4):
        config = config_of(optimizer={"name": "adamw", "lr": 5e-3, "basis_lr": multiple}, epochs=1)
        torch.manual_seed(config.seed)
        before = build_network(config).state_dict()
        train(config, tmp_path / f"{multiple}.pt")
        after = load_checkpoint(tmp_path / f"{multiple}.pt")["model"]
        layers = {name: each for name, each in build_network(config).named_modules() if isinstance(each, KANLayer)}
        for name, layer in layers.items():
            edge = layer.basis.n_features * layer.weight.shape[1] // layer.planes
            change = (after[f"{name}.weight"] - before[f"{name}.weight"]).abs()
            moved[multiple, name] = change[:, :edge].mean().item(), change[:, edge:].mean().item()
    for multiple, name in moved:
        basis, base = moved[multiple, name]
        assert (basis < 1e-2 * base) == (multiple < 1), (name, basis, base)


def test_a_confirmation_measures_what_a_retraining_measures(tmp_path: Path) -> None:
    config = config_of(epochs=2)
    request = Request(0, config, str(tmp_path / "place"), None, 1, 1.0, final=True)
    *_, last = trainable.train(request)
    kept = retrain(Retraining(config, tmp_path / "kept"))
    assert last[TEST]["loss"] == pytest.approx(kept["loss"], rel=1e-4)
    assert last[TEST]["accuracy"] == pytest.approx(kept["accuracy"], abs=0.006)
    assert kept["runs"][0]["timing"]["inference"]["device"] == torch.cuda.get_device_name()
    assert not (tmp_path / "kept/seed-0/checkpoint.pt").exists()
