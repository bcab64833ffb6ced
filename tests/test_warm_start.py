"""Another study's trials: which are results here, which are to be tried first, and why the rest is left out."""

from __future__ import annotations

import dataclasses
import random
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pytest

from kansearch.engine.samplers import OptunaSuggest, build_sampler
from kansearch.engine.warm_start import Observation, WarmStart, warm_start
from kansearch.space import GivenSuggest, RandomSuggest, SearchSpace, parse_space
from kansearch.study.front import front_of
from kansearch.study.records import State, TrialRecord
from kansearch.study.stored_config import StoredConfig
from tests.random_spaces import NoSuggest, random_spaces
from trials.config import TrialConfig

TEXT = """\
study: s
data: {dataset: digits, batch_size: {choice: [32, 64]}}
model:
  width: {int: [4, 24]}
  basis: {choice: [none, {name: rbf, grid_size: {int: [4, 9]}}]}
optimizer: {name: adamw, lr: {float: [1e-4, 1e-2], log: true}}
epochs: 3
"""
OTHER = parse_space(TEXT, "other.yaml")


def space(*overrides: str) -> SearchSpace:
    return parse_space(TEXT, "here.yaml", overrides)


def record(number: int, config: TrialConfig, state: State = "complete", **measured: float | None) -> TrialRecord:
    """A trial whose accuracy grows with its epochs; its sizes with its width."""
    sizes = {"parameters": 100 * config.model.width, "flops": 7 * config.model.width, "seconds": 2.0}
    curve = [
        {"epoch": epoch, "accuracy": epoch / 10 + number / 1000, "validation_loss": 1 / epoch, **sizes, **measured}
        for epoch in range(1, config.epochs + 1)
    ]
    last: Mapping[str, Any] = curve[-1]
    values = {"accuracy": last["accuracy"], "parameters": last["parameters"]} if state == "complete" else {}
    return TrialRecord(number, state, values=values, stored=StoredConfig.of(config), curve=curve)


def documents(trials: Sequence[TrialRecord]) -> list[Any]:
    return [each.stored.document for each in trials]


def records(searched: SearchSpace = OTHER, count: int = 40) -> list[TrialRecord]:
    suggest = RandomSuggest(random.Random(0))
    return [record(number, searched.sample(suggest)) for number in range(count)]


def drawn(searched: SearchSpace, found: Mapping[str, Any]) -> dict[str, Any]:
    return searched.sample(GivenSuggest(found, NoSuggest())).model_dump(mode="json")


def test_every_complete_trial_of_the_same_space_is_a_result_with_its_values() -> None:
    theirs = records()
    start = warm_start(theirs, space(), OTHER)
    assert [drawn(space(), each.hyperparameters) for each in start.observations] == [
        each.stored.document for each in theirs
    ]
    assert [each.values for each in start.observations] == [each.values for each in theirs]
    assert list(start.observations[0].values) == ["accuracy", "parameters"]
    assert start.skipped == ""


def test_the_front_is_proposed_in_its_order() -> None:
    theirs = records()
    front = front_of(theirs, {"accuracy": "maximize", "parameters": "minimize"})
    proposals = warm_start(theirs, space(), OTHER).proposals
    assert 1 < len(front) < len(theirs)
    assert [drawn(space(), each) for each in proposals] == documents(front)


@pytest.mark.parametrize("seed", range(3))
def test_trials_of_a_random_space_are_results_in_it(seed: int) -> None:
    for searched in random_spaces(10, seed):
        theirs = records(dataclasses.replace(searched, tree={**searched.tree, "epochs": 2}), 5)
        start = warm_start(theirs, dataclasses.replace(searched, tree={**searched.tree, "epochs": 2}), searched)
        assert len(start.observations) == 5 and start.skipped == ""


def test_a_narrower_space_takes_what_lies_in_it() -> None:
    theirs = records()
    narrow = space("model.width.int=[8, 12]")
    inside = [each for each in theirs if 8 <= each.config.model.width <= 12]
    start = warm_start(theirs, narrow, OTHER)
    assert [drawn(narrow, each.hyperparameters) for each in start.observations] == [
        each.stored.document for each in inside
    ]
    assert 0 < len(inside) < len(theirs)
    assert start.skipped.startswith(
        f"{len(theirs) - len(inside)} of 40 complete trials are no results here, for model.width"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        [f"model.width={{choice: {list(range(24, 3, -1))}}}"],
        ["optimizer.lr={float: [1e-5, 1]}", "data.batch_size={int: [32, 64], step: 32}"],
        ["model.basis={choice: [gram, {name: rbf, grid_size: {choice: [9, 8, 7, 6, 5, 4]}}, none]}"],
        ["optimizer={choice: [lion, {name: adamw, lr: {float: [1e-4, 1e-2]}}]}", "epochs={int: [1, 5]}"],
    ],
)
def test_a_space_that_draws_the_same_values_in_another_way_takes_them_all(overrides: list[str]) -> None:
    theirs, other_way = records(), space(*overrides)
    start = warm_start(theirs, other_way, OTHER)
    assert [drawn(other_way, each.hyperparameters) for each in start.observations] == [
        each.stored.document for each in theirs
    ]


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("epochs=5", "epochs (trial 0: 3 is not 5, which the space fixes)"),
        ("data.dataset=mnist", "data.dataset (trial 0: 'digits' is not 'mnist', which the space fixes)"),
        ("data.split_seed=1", "data.split_seed (trial 0: 0 is not 1, which the space fixes)"),
        ("data.validation=0.2", "data.validation (trial 0: 0.1 is not 0.2, which the space fixes)"),
        ("data.limit=500", "data.limit (trial 0: null is not 500, which the space fixes)"),
        ("seed=1", "seed (trial 0: 0 is not 1, which the space fixes)"),
    ],
)
def test_other_data_epochs_or_seed_are_no_results_but_are_tried_first(override: str, reason: str) -> None:
    theirs, here = records(), space(override)
    start = warm_start(theirs, here, OTHER)
    assert start.observations == ()
    assert start.skipped == f"40 of 40 complete trials are no results here, for {reason}"
    assert start.proposals == warm_start(theirs, space(), OTHER).proposals
    for each in start.proposals:
        assert drawn(here, each)["epochs"] == here.tree["epochs"]


def test_a_proposal_leaves_out_a_batch_size_that_cannot_be_drawn_here() -> None:
    theirs = records()
    start = warm_start(theirs, space("data.batch_size={choice: [64, 128]}"), OTHER)
    sizes = {each.get("data.batch_size") for each in start.proposals}
    assert sizes == {None, 64} and len(start.proposals) == len(warm_start(theirs, space(), OTHER).proposals)


def test_front_trials_outside_the_space_are_counted_with_the_commonest_reason() -> None:
    start = warm_start(
        records(), space("model.width.int=[2, 3]", "model.basis={choice: [rbf, gram]}", "epochs=1"), OTHER
    )
    assert start.observations == start.proposals == ()
    first, second = start.skipped.split("; ")
    reason = "mostly for model.basis (trial 0: 'none' is none of the branches rbf, gram)"
    assert first == f"40 of 40 complete trials are no results here, {reason}"
    assert " front trials cannot be proposed here, " in second


def test_other_objectives_are_read_from_what_was_measured() -> None:
    theirs = records(count=3)
    start = warm_start(theirs, space("objectives={flops: minimize, seconds: minimize}"), OTHER)
    widths = [each.config.model.width for each in theirs]
    assert [each.values for each in start.observations] == [{"flops": 7.0 * width, "seconds": 6.0} for width in widths]


@pytest.mark.parametrize("measured", [None, float("nan"), float("inf")])
def test_a_trial_without_a_value_for_an_objective_is_no_result(measured: float | None) -> None:
    config = OTHER.sample(RandomSuggest(random.Random(1)))
    theirs = [record(0, config), record(1, config, flops=measured)]
    start = warm_start(theirs, space("objectives={flops: minimize}"), OTHER)
    assert len(start.observations) == 1
    assert start.skipped == "1 of 2 complete trials are no results here, for flops (trial 1: it has no value)"


@pytest.mark.parametrize("state", ["running", "pruned", "fail", "infeasible"])
def test_only_complete_trials_count(state: State) -> None:
    config = OTHER.sample(RandomSuggest(random.Random(1)))
    assert warm_start([record(0, config, state)], space(), OTHER) == WarmStart((), (), "")


def test_what_breaks_a_constraint_here_is_not_taken() -> None:
    theirs = records()
    start = warm_start(theirs, space("constraints={parameters: 1200}"), OTHER)
    small = [each.stored.document for each in theirs if each.config.model.width <= 12]
    assert [drawn(space(), each.hyperparameters) for each in start.observations] == small
    assert {each["model.width"] for each in start.proposals} <= set(range(4, 13)) and start.proposals
    assert "parameters (trial 0: 1,700 is over the constraint 1,200)" in start.skipped


def test_a_constraint_is_kept_at_its_bound() -> None:
    theirs = [record(0, OTHER.sample(GivenSuggest({"model.width": 12}, RandomSuggest(random.Random(1)))))]
    for bound, taken in ((1200, 1), (1199, 0)):
        start = warm_start(theirs, space(f"constraints={{parameters: {bound}}}"), OTHER)
        assert len(start.observations) == len(start.proposals) == taken


def test_a_space_that_varies_nothing_of_a_front_trial_is_proposed_nothing() -> None:
    plain = parse_space("study: s\ndata: {dataset: digits}\nepochs: {int: [1, 2]}\n", "f")
    theirs = [record(0, plain.sample(RandomSuggest(random.Random(1))).model_copy(update={"epochs": 3}))]
    start = warm_start(theirs, plain, plain)
    assert start.proposals == () and "front" not in start.skipped


def test_a_configuration_is_proposed_once_and_not_if_it_is_enqueued() -> None:
    config = OTHER.sample(RandomSuggest(random.Random(1)))
    other_seed = config.model_copy(update={"seed": 5})
    theirs = [record(0, config, accuracy=0.5), record(1, other_seed, accuracy=0.5)]
    theirs += [record(2, config.model_copy(update={"seed": 6}), accuracy=0.6, parameters=10**6)]
    start = warm_start(theirs, space(), OTHER)
    (proposal,) = start.proposals
    assert drawn(space(), proposal) == config.model_dump(mode="json")
    here = dataclasses.replace(space(), enqueued=(proposal,))
    assert warm_start(theirs, here, OTHER).proposals == ()


def test_a_configuration_of_another_version_is_read_with_the_defaults_or_left_out() -> None:
    known = records(count=1)[0]
    document = {key: each for key, each in known.stored.document.items() if key != "schedule"}
    older, newer = (
        dataclasses.replace(known, stored=StoredConfig({**document, **more})) for more in ({}, {"momentum": 0.9})
    )
    assert warm_start([older], space(), OTHER) == warm_start([known], space(), OTHER)
    start = warm_start([newer], space(), OTHER)
    assert start.observations == start.proposals == ()
    assert "for momentum (trial 0: Extra inputs are not permitted)" in start.skipped


def test_no_trials_are_worth_nothing() -> None:
    assert warm_start([], space(), OTHER) == WarmStart((), (), "")


@pytest.mark.parametrize("sampler", ["tpe", "random", "nsga2", "nsga3", "gp", "qmc"])
def test_every_sampler_but_grid_completes_what_optuna_has_in_its_queue(sampler: str) -> None:
    plain = ["model.basis={name: rbf, grid_size: {int: [4, 9]}}", "model.dropout={float: [0, 0.5], step: 0.1}"]
    given = "enqueue=[{model: {width: 24, dropout: 0.3}}, {model: {basis: {name: rbf, grid_size: 9}}}]"
    searched = space(*plain, f"search.sampler={sampler}", "search.startup_trials=2", given)
    study = optuna.create_study(directions=["maximize"], sampler=build_sampler(searched.search, 0))
    for point in searched.enqueued:
        study.enqueue_trial(dict(point))
    found = []
    for _ in range(6):
        trial = study.ask()
        found.append(searched.sample(OptunaSuggest(trial)).model)
        study.tell(trial, [float(trial.number)])
    assert (found[0].width, found[0].dropout) == (24, 0.3) and found[1].basis.grid_size == 9  # type: ignore[union-attr]
    assert len({str(each) for each in found}) == 6


def test_what_optuna_drew_is_found_again() -> None:
    searched = space("model.dropout={float: [0, 0.6], step: 0.1}", "model.noise={float: [0.1, 0.7], step: 0.2}")
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=build_sampler(searched.search, 0))
    for number in range(40):
        trial = study.ask()
        config = searched.sample(OptunaSuggest(trial))
        (found,) = warm_start([record(number, config)], searched, searched).observations
        assert found == Observation(trial.params, found.values)
        study.tell(trial, list(found.values.values()))


def test_it_needs_neither_ray_nor_optuna() -> None:
    heavy = ["torch", "ray", "optuna", "mlflow"]
    code = f"import sys, kansearch.engine.warm_start; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
