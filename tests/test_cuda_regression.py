"""On CUDA: a regression learns from graphs what it learns step by step, in float32 and in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.results import untimed
from trials.config import TrialConfig
from trials.data.splits import load_training
from trials.models import build_network
from trials.results import EpochResult
from trials.training.epoch import GraphedEpoch, build_epoch
from trials.training.optim import build_optimizer
from trials.training.run import evaluate, run_trial
from trials.training.validation import GraphedValidation, build_validation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

BASES = ("bspline", "rbf", "gram", "chebyshev", "fourier", "wavelet", "none", "spline_activation", "power_mlp")


def config_of(**fields: Any) -> TrialConfig:
    data = {"dataset": "special", "special": "ellipeinc", "samples": 700, "batch_size": 64}
    model = {"family": "mlp", "depth": 2, "width": 5, "multiply": 2, "basis": {"name": "gram"}}
    optimizer = {"name": "adamw", "lr": 1e-2, "weight_decay": 0.0}
    return TrialConfig.model_validate({"data": data, "model": model, "optimizer": optimizer, "epochs": 4, **fields})


def train(config: TrialConfig, graphs: bool, path: Path | None = None) -> list[EpochResult]:
    results = run_trial(config, device="cuda", checkpoint=path, graphs=graphs)
    return untimed(results)


@pytest.mark.parametrize("precision", ["auto", "float64"])
@pytest.mark.parametrize("basis", BASES)
def test_graphs_learn_what_steps_learn(basis: str, precision: str) -> None:
    config = config_of(model={"family": "mlp", "width": 5, "basis": {"name": basis}}, precision=precision)
    replayed, eager = train(config, graphs=True), train(config, graphs=False)
    for ours, theirs in zip(replayed, eager, strict=True):
        for name in ("train_loss", "validation_loss", "nrmse", "rmse", "mae", "r2"):
            wanted = theirs.measured[name]
            assert ours.measured[name] == pytest.approx(wanted, rel=1e-6 if precision == "float64" else 1e-2)
    assert train(config, graphs=True) == replayed, "twice the same numbers"


def test_no_tensor_of_a_regression_is_rounded_to_bfloat16() -> None:
    """What float32 on a CPU computes is what a GPU computes, to its rounding: TF32 would err by 1e-3."""
    config = config_of(epochs=1)
    on_cpu = next(iter(run_trial(config, device="cpu")))
    on_gpu = next(iter(run_trial(config, device="cuda")))
    network = build_network(config)
    x = torch.randn(200, 2, dtype=torch.float64)
    with torch.no_grad():
        own, other = network(x), network.to("cuda")(x.to("cuda")).cpu()
    assert torch.allclose(own, other, rtol=1e-5, atol=1e-5)
    assert on_cpu.nrmse is not None and on_gpu.nrmse is not None and on_gpu.nrmse < 5 * on_cpu.nrmse


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "quantile"])
def test_epoch_and_validation_are_graphs(loss: str) -> None:
    config = config_of(loss={"name": loss})
    device = torch.device("cuda")
    training, held_out = load_training(config.data, device)
    assert held_out is not None
    model = build_network(config).to(device)
    epoch = build_epoch(config, model, build_optimizer(config.optimizer, model), training, graphs=True)
    validation = build_validation(config, model, held_out, graphs=True)
    assert isinstance(epoch, GraphedEpoch) and isinstance(validation, GraphedValidation)
    first, second, third = (validation() for _ in range(3))
    assert first == pytest.approx(second) and second == third and set(first) >= {"nrmse", "r2"}
    epoch.release()
    validation.release()


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_adamw_then_lbfgs_from_graphs(precision: str, tmp_path: Path) -> None:
    optimizer = {"name": "adamw_lbfgs", "lr": 0.02, "switch": 0.5, "max_iter": 5}
    data = {"dataset": "special", "special": "ellipeinc", "samples": 700, "batch_size": "all"}
    config = config_of(data=data, optimizer=optimizer, precision=precision, epochs=8)
    whole = train(config, graphs=True)
    assert whole[-1].train_loss < whole[4].train_loss < whole[0].train_loss
    trial = run_trial(config, device="cuda", checkpoint=tmp_path / "c.pt", graphs=True)
    for _ in range(5):
        next(trial)
    trial.close()
    again = train(config, graphs=True, path=tmp_path / "c.pt")
    assert again[-1].train_loss == pytest.approx(whole[-1].train_loss, rel=1e-3 if precision == "float64" else 0.3)
    assert evaluate(config, tmp_path / "c.pt", device="cuda")["nrmse"] > 0
