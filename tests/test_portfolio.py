"""The first proposals of a search: legal in every space, from recordings of other data sets, after what is enqueued."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from kansearch.bench import portfolio as module
from kansearch.bench.portfolio import Portfolio, portfolio
from kansearch.bench.projection import projected
from kansearch.bench.recorded import RecordedProblem
from kansearch.bench.simulator import MemoryStudy, hypervolume_of
from kansearch.bench.table import recordings
from kansearch.commands.common import first_trials
from kansearch.engine.ask_tell import AskTell
from kansearch.space import GivenSuggest, RandomSuggest, SearchSpace, find_space, load_space, parse_space
from kansearch.space.points import held
from trials.config import TrialConfig

SHIPPED = sorted(path.stem for path in Path("search_spaces").glob("*.yaml"))


@pytest.fixture(autouse=True, scope="module")
def _read_once() -> Iterator[None]:
    """Each recording is read once for the tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_recording", cache(module.load_recording))
        yield


def shipped(name: str, *overrides: str) -> SearchSpace:
    return load_space(find_space(name), ["search.start=portfolio", *overrides])


@pytest.mark.parametrize("name", SHIPPED)
def test_proposals_are_legal_in_every_shipped_space(name: str) -> None:
    space = shipped(name)
    distributions = space.hyperparameters()
    found = portfolio(space)
    assert space.dataset not in found.recordings
    assert len(found.proposals) <= max(1, space.search.trials // 5)
    for proposal in found.proposals:
        assert all(held(distributions[key], value) == value for key, value in proposal.items())
        space.sample(GivenSuggest(proposal, RandomSuggest(random.Random(1))))


def test_a_recording_of_the_own_data_set_is_left_out() -> None:
    for own in recordings():
        space = shipped("fashion_mnist_front", f"data.dataset={own}")
        others = tuple(name for name in recordings() if name != own)
        assert portfolio(space).recordings == others


def test_ten_proposals_reach_more_than_ten_at_random_on_a_data_set_that_they_do_not_know() -> None:
    problem = RecordedProblem("mnist")
    space = replace(problem.space(True), search=shipped("fashion_mnist_front").search)

    def reached(configs: list[TrialConfig]) -> float:
        last = [problem.curve(config)[-1] for config in configs]
        return hypervolume_of([{name: each[name] for name in ("accuracy", "parameters")} for each in last])

    rng = random.Random(0)
    chosen = [space.sample(GivenSuggest(each, RandomSuggest(rng))) for each in portfolio(space).proposals]
    drawn = [space.sample(RandomSuggest(rng)) for _ in range(10)]
    best, usual = (reached(configs) for configs in (chosen, drawn))
    assert len(chosen) == 10 and best > usual + 0.02


OWN = """
study: own
data: {dataset: digits}
model: {depth: {int: [2, 3]}, basis: rbf}
search: {start: portfolio, trials: 2}
"""


@pytest.mark.parametrize(
    ("text", "overrides"),
    [
        (OWN, ["search.start=none"]),
        (OWN, ["search.sampler=grid"]),
        (OWN, ["search.sampler=random"]),
        (OWN.replace("{depth: {int: [2, 3]}, basis: rbf}", "{family: vgg, width: {int: [4, 8]}}"), []),
    ],
)
def test_there_is_none_where_it_is_turned_off_or_nothing_fits(text: str, overrides: list[str]) -> None:
    assert portfolio(parse_space(text, "my.yaml", overrides)) == Portfolio()


def test_numbers_are_brought_to_the_nearest_that_is_drawn_and_other_branches_left_out() -> None:
    text = """
study: own
data: {dataset: digits, batch_size: {choice: [32, 100, 512]}}
model:
  depth: {int: [2, 8], step: 3}
  width: {int: [4, 8]}
  dropout: {float: [0.0, 0.5], step: 0.25}
  basis: {choice: [{name: rbf, grid_size: {int: [3, 9]}}, none]}
  normalization: {choice: [batch, layer]}
optimizer: {name: adamw, lr: {float: [0.001, 0.1], log: true}}
epochs: {int: [3, 9]}
"""
    space = parse_space(text, "my.yaml")
    config = {
        "data": {"batch_size": 64},
        "model": {
            "family": "plain",
            "depth": 4,
            "width": 32,
            "dropout": 0.2,
            "basis": {"name": "rbf", "grid_size": 2},
            "normalization": "batch",
        },
        "optimizer": {"name": "adamw", "lr": 0.5},
        "epochs": 27,
    }
    near = {
        "data.batch_size": 100,
        "model.depth": 5,
        "model.width": 8,
        "model.dropout": 0.25,
        "model.basis": "rbf",
        "model.basis.rbf.grid_size": 3,
        "model.normalization": "batch",
        "optimizer.lr": 0.1,
    }
    assert projected(space, config) == near
    config["model"] |= {"basis": {"name": "gram", "degree": 2}, "normalization": "instance"}
    config["optimizer"] = {"name": "lion", "lr": 0.01}
    left_out = {"model.basis", "model.basis.rbf.grid_size", "model.normalization", "optimizer.lr"}
    assert projected(space, config) == {name: value for name, value in near.items() if name not in left_out}


def test_what_is_enqueued_goes_first_then_the_portfolio_then_the_sampler() -> None:
    space = replace(shipped("quickstart"), enqueued=({"model.width": 7, "model.basis": "none"},))
    start = portfolio(space)
    study = MemoryStudy(space, start.document())
    search = AskTell(study, 10, lambda: False, lambda record: None)
    asked = [search.ask() for _ in range(8)]
    assert all(asked) and asked[0] is not None and asked[0].config.model.width == 7
    held = [trial.params for trial in study.optuna_trials()]
    for params, proposal in zip(held[1:], start.proposals, strict=False):
        assert params.items() >= proposal.items()
    assert len(start.proposals) == 5


def test_a_new_study_is_told_where_its_first_trials_come_from() -> None:
    said = StringIO()
    history = first_trials(shipped("quickstart"), Console(file=said, width=200))
    assert history is not None and len(history.attributes()["kansearch:warm_start"]["proposals"]) == 5
    assert said.getvalue().startswith(
        "start: 5 configurations to try first, the best of recorded searches on fashion_mnist and mnist"
    )
    assert first_trials(shipped("quickstart", "search.start=none"), None) is None
