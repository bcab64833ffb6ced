"""Configurations drawn from the spaces that come with kansearch train."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from kansearch.engine.plan import draw
from kansearch.space import load_space, random_config, shipped_spaces
from kansearch.space.distributions import Choice
from trials.config import SyntheticDataConfig, TrialConfig
from trials.kan import BASES
from trials.measure.sizes import count_parameters
from trials.measure.timing import time_step
from trials.training.run import run_trial

SPACES = {name: path for name, _, path in shipped_spaces()}


def one_step(config: TrialConfig) -> TrialConfig:
    """The same network and optimizer, on a few digits, or a few small images where each pixel has a class."""
    few: dict[str, Any] = {"dataset": "digits", "limit": 100, "validation": 0.2, "batch_size": 40}
    if isinstance(config.data, SyntheticDataConfig):
        few |= {"dataset": "synthetic", "size": (12, 12)}
    return config.model_copy(update={"data": config.data.model_copy(update=few), "epochs": 1})


@pytest.mark.parametrize("name", sorted(SPACES))
def test_every_space_can_be_planned_and_its_smallest_networks_take_real_steps(name: str) -> None:
    plan = draw(load_space(SPACES[name]), 12)
    assert len(plan.trainable) >= 4 and not plan.invalid()
    small = sorted((each for each in plan.trainable if each.sizes), key=lambda each: (each.sizes or {})["parameters"])
    for each in small[:2]:
        assert each.config is not None
        step = time_step(each.config, device="cpu", most_images=4)
        assert step.seconds > 0 and step.batch == 4


@pytest.mark.parametrize("name", ["bases", "equal_parameters", "fashion_mnist", "quickstart"])
def test_drawn_configurations_train(name: str, tmp_path: Path) -> None:
    space = load_space(SPACES[name])
    rng = random.Random(0)
    drawn = [one_step(random_config(space, rng)) for _ in range(16)]
    small = [config for config in drawn if count_parameters(config) < 30_000]
    assert len(small) >= 4
    for config in small[:6]:
        (result,) = run_trial(config, device="cpu")
        assert math.isfinite(result.train_loss)
        assert result.parameters == count_parameters(config), "counted without building it"


def test_every_basis_is_in_the_space_of_all_bases() -> None:
    basis = load_space(SPACES["bases"]).hyperparameters()["model.basis"]
    assert isinstance(basis, Choice)
    assert set(basis.options) == {*BASES, "none", "rational", "spline_activation", "power_mlp"}
