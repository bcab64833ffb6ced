"""AdamW, then L-BFGS: each has its epochs, a resumed trial knows which, and full batches reach small errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kansearch.errors import SpaceError
from kansearch.space import parse_space
from trials.config import TrialConfig
from trials.config.optimizer import AdamWConfig, LBFGSConfig
from trials.data.loader import steps_per_epoch
from trials.measure.timing import epoch_work
from trials.training import run_trial, time_step
from trials.training.lbfgs import LBFGS
from trials.training.phases import phase_of

BOTH = {"name": "adamw_lbfgs", "lr": 0.02, "switch": 0.5, "max_iter": 10}


def config_of(**fields: Any) -> TrialConfig:
    data = {"dataset": "special", "special": "ellipeinc", "samples": 200, "batch_size": "all"}
    model = {"family": "mlp", "depth": 1, "width": 4, "basis": {"name": "gram"}}
    return TrialConfig.model_validate({"data": data, "model": model, "optimizer": BOTH, "epochs": 8, **fields})


@pytest.mark.parametrize(
    ("epochs", "switch", "first"), [(8, 0.5, 4), (8, 0.01, 1), (8, 0.99, 7), (3, 0.5, 2), (1, 0.5, 1)]
)
def test_the_switch_is_a_share_of_the_epochs(epochs: int, switch: float, first: int) -> None:
    config = config_of(epochs=epochs, optimizer={**BOTH, "switch": switch})
    kinds = [type(phase_of(config, epoch).config.optimizer) for epoch in range(epochs)]
    assert kinds == [AdamWConfig] * first + [LBFGSConfig] * (epochs - first)
    phases = [phase_of(config, epoch) for epoch in range(epochs)]
    assert all(phase.first <= epoch < phase.last for epoch, phase in enumerate(phases))


def test_a_trial_of_one_optimizer_has_one_phase() -> None:
    config = config_of(optimizer={"name": "adamw"})
    assert phase_of(config, 3).config is config and (phase_of(config, 3).first, phase_of(config, 3).last) == (0, 8)


def test_the_schedule_is_adamws_and_ends_at_the_switch() -> None:
    rates = [each.learning_rate for each in run_trial(config_of(), device="cpu")]
    assert rates[0] == 0.02 and rates[:4] == sorted(rates[:4], reverse=True) and rates[3] < 0.005
    assert rates[4:] == [1.0] * 4


def test_lbfgs_ends_what_adamw_began() -> None:
    """Far below AdamW alone, in as many epochs; in float64 further than float32 can tell."""
    alone = list(run_trial(config_of(optimizer={"name": "adamw", "lr": 0.02}, epochs=20), device="cpu"))[-1]
    both = list(run_trial(config_of(precision="float64", epochs=20), device="cpu"))
    assert both[-1].nrmse is not None and alone.nrmse is not None
    assert both[-1].nrmse < alone.nrmse / 10
    assert both[-1].train_loss < both[10].train_loss < both[9].train_loss


@pytest.mark.parametrize("stop", [3, 4, 5, 6])
def test_a_trial_that_is_stopped_around_the_switch_goes_on_with_the_same_numbers(stop: int, tmp_path: Path) -> None:
    config = config_of(precision="float64")
    whole = [(each.train_loss, each.nrmse) for each in run_trial(config, device="cpu")]
    trial = run_trial(config, device="cpu", checkpoint=tmp_path / "c.pt")
    for _ in range(stop):
        next(trial)
    trial.close()
    again = [(each.train_loss, each.nrmse) for each in run_trial(config, device="cpu", checkpoint=tmp_path / "c.pt")]
    assert again == whole


def test_grids_may_be_extended_in_either_phase() -> None:
    model = {"family": "mlp", "depth": 1, "width": 3, "basis": {"name": "bspline", "grid_size": 8}}
    for until in (0.3, 0.5, 0.9):
        config = config_of(model=model, grid_schedule={"extensions": 2, "until": until})
        results = list(run_trial(config, device="cpu"))
        assert len(results) == 8 and results[-1].train_loss < results[0].train_loss


def test_all_is_one_batch_of_everything() -> None:
    config = config_of()
    assert steps_per_epoch(180, config.images_per_step) == 1 and epoch_work(config).batch == 180
    assert time_step(config, device="cpu").batch == 180
    batch = run_trial(
        config.model_copy(update={"data": config.data.model_copy(update={"batch_size": 180})}), device="cpu"
    )
    assert [each.train_loss for each in batch] == [each.train_loss for each in run_trial(config, device="cpu")]
    again = TrialConfig.model_validate(config.model_dump(mode="json"))
    assert again == config


def test_all_can_be_searched_over_and_nonsense_is_refused() -> None:
    text = "study: s\ndata: {{dataset: special, special: jv, batch_size: {}}}\nmodel: {{family: mlp}}\n"
    options = parse_space(text.format("{choice: [32, all]}"), "f").hyperparameters()["data.batch_size"]
    assert [steps_per_epoch(900, each) for each in options.options] == [28, 1]  # type: ignore[union-attr]
    for wrong in ("0", "70000", "every"):
        with pytest.raises(SpaceError, match=r"data.batch_size: must be "):
            parse_space(text.format(wrong), "f")


def test_tolerances_follow_the_precision() -> None:
    from trials.models import build_network
    from trials.training.optim import build_optimizer

    for precision, least in (("float32", 1e-9), ("float64", 1e-16)):
        config = phase_of(config_of(precision=precision), 7).config
        optimizer = build_optimizer(config.optimizer, build_network(config))
        assert isinstance(optimizer, LBFGS) and optimizer.param_groups[0]["tolerance_change"] == least
        assert next(iter(optimizer.param_groups[0]["params"])).dtype == getattr(torch, precision)
