"""Every sampler proposes valid configurations of the spaces it can search, and is refused for those it can't."""

from __future__ import annotations

import warnings
from typing import Any, get_args

import pytest

from kansearch.bench.simulator import MemoryStudy
from kansearch.engine.proposer import Proposer
from kansearch.errors import SpaceError
from kansearch.space import SearchSpace, parse_space
from kansearch.space.samplers import SAMPLERS
from kansearch.space.settings import SamplerName

NAMES = get_args(SamplerName)
STATIC = """
study: static
data: {dataset: digits}
model:
  depth: {int: [1, 3]}
  width: {choice: [2, 4]}
  basis: {name: rbf, grid_size: {int: [3, 7], step: 2}}
regularization: {l1_weight: {float: [0.0, 0.2], step: 0.1}}
epochs: 2
search: {sampler: SAMPLER, trials: 30, startup_trials: 5, seed: 3}
"""
BASIS = "{name: rbf, grid_size: {int: [3, 7], step: 2}}"
BRANCHES = STATIC.replace(BASIS, "{choice: [none, {name: rbf, grid_size: {int: [3, 7]}}]}")
GRID_SIZE = 3 * 2 * 3 * 3


def space(text: str, sampler: str, *overrides: str) -> SearchSpace:
    return parse_space(text.replace("SAMPLER", sampler), "my.yaml", overrides)


def proposals(searched: SearchSpace, count: int, resumed_at: int = 0) -> list[dict[str, Any]]:
    """Configurations of trials that complete or are stopped, told to the sampler as a search tells them."""
    study = MemoryStudy(searched)
    found = []
    for number in range(count):
        if number in (0, resumed_at):
            proposer = Proposer.of_study(study, study.records())
        draw = proposer.propose()
        config = study.start(draw.proposal).config
        proposer.started(draw, number)
        same = {"train_loss": 1.0, "validation_loss": 1.0, "seconds": 1.0}
        study.add_epochs(number, [{"epoch": 1, "accuracy": config.model.depth / 4, "parameters": number, **same}])
        if number % 5 == 4:
            proposer.ended(study.prune(number, "stopped"))
        else:
            proposer.ended(study.complete(number))
        found.append(config.model_dump(mode="json"))
    return found


def test_every_sampler_of_the_schema_has_one_record() -> None:
    assert set(SAMPLERS) == set(NAMES)
    builders = [record.build for record in SAMPLERS.values()]
    assert len(set(builders)) == len(builders)


@pytest.mark.parametrize("sampler", NAMES)
def test_a_space_without_branches_is_searched(sampler: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched = space(STATIC, sampler)
        first = proposals(searched, 12)
    assert {config["model"]["basis"]["grid_size"] for config in first} <= {3, 5, 7}
    assert len({str(config) for config in first}) > 6
    assert proposals(searched, 12) == first, "same seed, same proposals"


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_branches_are_searched(sampler: str) -> None:
    bases = {config["model"]["basis"]["name"] for config in proposals(space(BRANCHES, sampler), 15)}
    assert bases == {"none", "rbf"}


@pytest.mark.parametrize("sampler", sorted(set(NAMES) - {"tpe", "random"}))
def test_branches_are_refused_at_their_place_in_the_file(sampler: str) -> None:
    with pytest.raises(SpaceError) as caught:
        space(BRANCHES, sampler)
    reason = f"{sampler} needs the same hyperparameters in every trial, but model.basis has branches; use tpe or random"
    assert str(caught.value) == f"my.yaml:10:19: search.sampler: {reason}"


def test_branches_without_hyperparameters_are_like_any_choice() -> None:
    text = STATIC.replace(BASIS, "{choice: [none, rbf]}")
    assert len(proposals(space(text, "qmc"), 4)) == 4


def test_a_grid_is_walked_through_once() -> None:
    searched = space(STATIC, "grid", f"search.trials={GRID_SIZE}")
    assert len({str(config) for config in proposals(searched, GRID_SIZE)}) == GRID_SIZE


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("regularization.l1_weight={float: [0.1, 0.2]}", "regularization.l1_weight is a range without a step"),
        ("search.trials=55", "the grid has 54 configurations, fewer than search.trials = 55"),
        ("constraints.parameters=1000", "grid does not go with constraints"),
        ("seed={int: [0, 1000000]}", "configurations, more than 100,000"),
    ],
)
def test_what_has_no_grid_is_refused(override: str, reason: str) -> None:
    with pytest.raises(SpaceError, match=r"search\.sampler: ") as caught:
        space(STATIC, "grid", override)
    assert reason in str(caught.value)


@pytest.mark.parametrize("sampler", ["qmc", "grid"])
def test_a_sequence_goes_on_where_it_was_when_the_search_is_resumed(sampler: str) -> None:
    searched = space(STATIC, sampler)
    assert proposals(searched, 10, resumed_at=6) == proposals(searched, 10)


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2"])
def test_a_resumed_search_does_not_propose_the_same_again(sampler: str) -> None:
    searched = space(STATIC, sampler)
    again, whole = proposals(searched, 10, resumed_at=4), proposals(searched, 10)
    assert again[:4] == whole[:4]
    assert again[4:8] != whole[:4]
