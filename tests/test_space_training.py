"""What a trial can do while it trains can be searched, each by itself, and is described."""

from __future__ import annotations

import random
from typing import Any

import pytest
import yaml

from kansearch.errors import InputError
from kansearch.space import parse_space, random_config
from kansearch.space.schema import json_schema
from trials.config import AdamWConfig, LionConfig, TrialConfig

SPACE = """
study: training
data: {dataset: digits}
model:
  basis: {name: bspline, grid_size: {int: [8, 32], step: 8}}
  basis_share: {float: [0.01, 0.9], log: true}
  init: {choice: [variance, power_law]}
  additive_noise: {float: [0, 0.2]}
  additive_noise_share: {float: [0.1, 1]}
optimizer:
  choice:
  - {name: adamw, basis_lr: {float: [0.1, 10], log: true}, basis_weight_decay: {choice: [0.0, 1.0]}}
  - {name: lion, basis_lr: {float: [0.1, 10], log: true}, basis_weight_decay: {float: [0, 2]}}
  - lbfgs
schedule: {choice: [constant, cosine, one_cycle, polynomial]}
power: {float: [0.5, 3]}
warmup: {float: [0, 0.3]}
accumulate: {int: [1, 4]}
grid_schedule: {extensions: {int: [0, 3]}, until: {float: [0.2, 0.8]}}
adapt_grid: {times: {int: [0, 3]}, until: {float: [0.2, 0.8]}, share: {float: [0.9, 1]}}
"""


def test_every_field_is_searched_by_itself() -> None:
    space = parse_space(SPACE, "training.yaml")
    names = space.hyperparameters().keys()
    assert {
        "model.basis_share", "model.init", "model.additive_noise", "model.additive_noise_share", "schedule", "power",
        "warmup", "accumulate", "grid_schedule.extensions", "grid_schedule.until", "adapt_grid.times",
        "adapt_grid.until", "adapt_grid.share", "optimizer.adamw.basis_lr", "optimizer.lion.basis_weight_decay",
    } <= names  # fmt: skip
    drawn = [random_config(space, random.Random(seed)) for seed in range(60)]
    assert {config.schedule for config in drawn} == {"constant", "cosine", "one_cycle", "polynomial"}
    assert {config.grid_schedule.extensions for config in drawn} == {0, 1, 2, 3}
    assert {config.accumulate for config in drawn} == {1, 2, 3, 4}
    for config in drawn:
        assert TrialConfig.model_validate(config.model_dump(mode="json")) == config
        if isinstance(config.optimizer, (AdamWConfig, LionConfig)):
            assert 0.1 <= config.optimizer.basis_lr <= 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"basis": {"name": "bspline", "grid_size": {"int": [8, 32]}}}}, "model.basis.grid_size to be a mul"),
        ({"optimizer": {"name": "lbfgs", "basis_lr": 2.0}}, "basis_lr"),
        ({"warmup": {"float": [0, 1]}}, "warmup"),
        ({"accumulate": 0}, "accumulate"),
        ({"grid_schedule": {"extensions": 2, "grid": 3}}, "grid_schedule.grid"),
    ],
)
def test_what_does_not_go_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_space(yaml.safe_dump({**yaml.safe_load(SPACE), **change}), "training.yaml")


def test_every_field_is_described_in_the_schema() -> None:
    definitions = json_schema()["$defs"]
    for title in ("AdamWConfig.adamw", "LionConfig.lion", "GridScheduleConfig", "AdaptGridConfig"):
        for name, each in definitions[title]["properties"].items():
            assert "const" in each or each.get("description"), f"{title}.{name}"


def test_a_configuration_of_before_has_the_defaults_of_before() -> None:
    new = ("power", "warmup", "accumulate", "grid_schedule", "adapt_grid")
    document = TrialConfig.model_validate({"data": {"dataset": "digits"}}).model_dump(mode="json")
    old = {key: value for key, value in document.items() if key not in new}
    for part, fields in (
        ("model", ("additive_noise", "additive_noise_share")),
        ("optimizer", ("basis_lr", "basis_weight_decay")),
    ):
        old[part] = {key: value for key, value in old[part].items() if key not in fields}
    config = TrialConfig.model_validate(old)
    assert config.model_dump(mode="json") == document
    assert (config.warmup, config.accumulate, config.grid_schedule.extensions, config.adapt_grid.times) == (0, 1, 0, 0)
    assert config.images_per_step == config.data.batch_size
