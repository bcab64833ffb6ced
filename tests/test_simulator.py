"""Searches on a simulated clock: the same every time, with the fronts that the problems are known to have."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kansearch.bench.problems import OBJECTIVES, PROBLEMS, Problem, simulated_space
from kansearch.bench.run import SAMPLERS, SCHEDULERS, bench, interval
from kansearch.bench.simulator import MemoryStudy, hypervolume_of, simulate
from kansearch.engine.ask_tell import AskTell
from kansearch.space import SearchSettings, random_config
from kansearch.study.front import front_of, hypervolume
from tests.helpers import succeed
from trials.config import TrialConfig

QUICK, NOISY = PROBLEMS[0], PROBLEMS[-1]


def settings(seed: int = 0, **more: object) -> SearchSettings:
    plain = {"sampler": "random", "scheduler": "none", "trials": 10_000, "seed": seed}
    return SearchSettings.model_validate({**plain, **more})


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
@pytest.mark.parametrize("conditional", [True, False])
def test_no_configuration_lies_beyond_the_known_front(problem: Problem, conditional: bool) -> None:
    space = simulated_space(conditional)
    points = problem.front(conditional)
    best = {point["parameters"]: point["accuracy"] for point in points}
    rng = random.Random(0)
    for _ in range(300):
        last = problem.curve(random_config(space, rng))[-1]
        assert last["accuracy"] <= best[last["parameters"]] + 1e-3
    assert 0.3 < hypervolume_of(points) < 1


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_curves_rise_and_larger_networks_are_better_and_slower(problem: Problem) -> None:
    config = random_config(simulated_space(False), random.Random(1)).model_dump(mode="json")
    config["optimizer"]["lr"] = 3e-3
    curves = []
    for width in (4, 40):
        config["model"]["width"] = width
        curve = problem.curve(TrialConfig.model_validate(config))
        accuracies = [result["accuracy"] for result in curve]
        assert accuracies == sorted(accuracies)
        assert [result["epoch"] for result in curve] == list(range(1, 28))
        curves.append(curve[-1])
    small, large = curves
    assert small["accuracy"] < large["accuracy"]
    assert small["parameters"] < large["parameters"]
    assert small["seconds"] < large["seconds"]


def test_noise_is_drawn_from_the_generator_alone() -> None:
    config = random_config(simulated_space(True), random.Random(2))
    clean = [result["accuracy"] for result in NOISY.curve(config)]
    one, same, other = ([r["accuracy"] for r in NOISY.curve(config, np.random.default_rng(seed))] for seed in (1, 1, 2))
    assert one == same != other
    assert one != clean
    assert np.mean(np.subtract(one, clean)) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("scheduler", ["none", "halving", "asha"])
def test_the_same_search_again_is_the_same(scheduler: str) -> None:
    one, again = (simulate(NOISY, settings(scheduler=scheduler), 800) for _ in range(2))
    assert one == again
    assert one != simulate(NOISY, settings(seed=1, scheduler=scheduler), 800)


def test_device_seconds_are_spent_and_no_more_than_one_epoch_beyond() -> None:
    run = simulate(QUICK, settings(), 1000)
    spent = sum(record.seconds for record in run.records)
    longest = max(result["seconds"] for record in run.records for result in record.curve)
    assert 1000 <= spent < 1000 + longest
    assert run.seconds == sorted(run.seconds)
    assert run.hypervolumes == sorted(run.hypervolumes)
    assert run.at(0) == 0 and run.at(1000) == run.hypervolumes[-1]
    assert run.reached(run.hypervolumes[-1]) <= 1000 + longest
    assert run.reached(1.0) == float("inf")


def test_the_budget_of_trials_ends_a_search_too() -> None:
    run = simulate(QUICK, settings(trials=7), 1e9)
    assert [record.state for record in run.records] == ["complete"] * 7


def test_workers_run_at_the_same_time_and_each_one_trial() -> None:
    """With one worker a trial ends before the next begins; with four, four are under way at the end."""
    for workers in (1, 4):
        run = simulate(QUICK, settings(), 700, workers=workers)
        assert 0 < sum(record.state == "running" for record in run.records) <= workers
    assert len(simulate(QUICK, settings(), 300, workers=4).records) > len(
        simulate(QUICK, settings(), 300, workers=1).records
    )


@pytest.mark.parametrize("scheduler", ["halving", "asha"])
def test_stopped_trials_are_pruned_with_a_reason_and_are_not_on_the_front(scheduler: str) -> None:
    run = simulate(QUICK, settings(scheduler=scheduler), 1500)
    pruned = [record for record in run.records if record.state == "pruned"]
    assert len(pruned) > len(run.records) / 2
    for record in pruned:
        assert record.reason is not None
        assert record.reason.startswith(f"stopped by {scheduler} at epoch {record.epochs}: rank ")
        assert record.epochs in (1, 3, 9)
        assert record.values == {} and record.rungs[str(record.epochs)][2] is False
    front = front_of(run.records, OBJECTIVES)
    assert front and all(record.epochs == 27 for record in front)
    assert hypervolume(front, OBJECTIVES) == pytest.approx(run.at(1500))


def test_only_a_dominated_trial_is_pruned() -> None:
    run = simulate(QUICK, settings(scheduler="halving"), 1000)
    for record in (record for record in run.records if record.state == "pruned"):
        mine = record.curve[-1]
        others = [other.curve[record.epochs - 1] for other in run.records if other.epochs >= record.epochs]
        assert any(
            other["accuracy"] >= mine["accuracy"] and other["parameters"] <= mine["parameters"]
            for other in others
            if other is not mine
        )


def test_a_stop_that_a_lost_driver_noted_but_did_not_carry_out_is_carried_out() -> None:
    space = replace(simulated_space(False), search=settings(scheduler="halving"))
    study = MemoryStudy(space)
    before = AskTell(study, 1, lambda: False, lambda record: None)
    asked = before.ask()
    assert asked is not None
    number = asked.number
    curve = QUICK.curve(asked.config)
    study.add_epochs(number, [curve[0]])
    study.add_epochs(number, (), {"1": (5, 6, False)})

    after = AskTell(study, 1, lambda: False, lambda record: None)
    assert after.ask() == asked, "it is handed out first, under the same number"
    assert after.tell(number, [curve[0]])
    record = study.record(number)
    assert (record.state, record.reason) == ("pruned", "stopped by halving at epoch 1: rank 5 of 6")
    assert after.live == frozenset() and not after.exhausted


def test_halving_gets_further_than_full_trials_with_the_same_device_seconds() -> None:
    rows = bench(
        {name: SCHEDULERS[name] for name in ("none", "halving, factor 3")},
        seeds=4, device_seconds=3000, conditional=True, problems=[QUICK],
    )  # fmt: skip
    full, halving = rows
    assert full.wins == 0.0
    assert halving.final.mean > full.final.mean
    assert halving.trials > 2 * full.trials
    assert halving.cost.mean < full.cost.mean <= 1


@pytest.mark.parametrize("candidates", [SCHEDULERS, SAMPLERS], ids=["schedulers", "samplers"])
def test_every_candidate_can_be_measured(candidates: dict[str, dict[str, object]]) -> None:
    told: list[object] = []
    rows = bench(candidates, seeds=2, device_seconds=300, conditional=False, problems=[QUICK], done=told.append)
    assert [row.candidate for row in rows] == list(candidates)
    assert told == rows
    assert next(iter(candidates.values())) == {}, "the first is random search with full trials"


def test_the_interval_is_students() -> None:
    found = interval([1.0, 2.0, 3.0, 4.0])
    assert found.mean == 2.5
    assert found.half == pytest.approx(3.182446 * 1.290994 / 2, rel=1e-5)
    assert str(found) == "2.500 ± 2.054"


def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    options = ("--seeds", "2", "--device-seconds", "200", "--problem", "quick")
    table = succeed("bench", "schedulers", *options, cwd=tmp_path)
    assert "halving, factor 3" in table
    document = json.loads(succeed("bench", "samplers", *options, "--json", cwd=tmp_path))
    assert [row["candidate"] for row in document["rows"]] == list(SAMPLERS)
    assert document["seeds"] == 2
