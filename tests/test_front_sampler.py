"""The front sampler in plain Optuna studies: any objectives, known or not, branches, constraints, running trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import moocore
import numpy as np
import optuna
import pytest

from kansearch.engine.candidates import SeenCandidates
from kansearch.engine.front_sampler import RUNGS, FrontSampler

NAMES = [f"x{index}" for index in range(5)]


def zdt(params: Mapping[str, Any]) -> tuple[float, float]:
    """ZDT1 (Zitzler, Deb and Thiele 2000): the first objective needs no run."""
    first, *others = (params[name] for name in NAMES)
    slope = 1 + 9 * sum(others) / len(others)
    return first, slope * (1 - (first / slope) ** 0.5)


def run(
    sampler: optuna.samplers.BaseSampler,
    objective: Callable[[Mapping[str, Any]], tuple[float, ...]],
    directions: list[str],
    trials: int = 45,
) -> optuna.Study:
    study = optuna.create_study(directions=directions, sampler=sampler)
    for _ in range(trials):
        trial = study.ask()
        study.tell(trial, objective({name: trial.suggest_float(name, 0, 1) for name in NAMES}))
    return study


def volume(study: optuna.Study, signs: tuple[int, ...], reference: tuple[float, ...]) -> float:
    points = np.array([trial.values for trial in study.get_trials(deepcopy=False)]) * signs
    return float(moocore.hypervolume(points, ref=reference))


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize("known", [(), (0,)])
def test_it_beats_random_search_on_zdt1(known: tuple[int, ...]) -> None:
    def both(seed: int) -> tuple[float, float]:
        front = FrontSampler(known=known, measure=lambda params: [zdt(params)[place] for place in known], seed=seed)
        samplers = front, optuna.samplers.RandomSampler(seed=seed)
        found = [volume(run(each, zdt, ["minimize"] * 2), (1, 1), (1.1, 11)) for each in samplers]
        return found[0], found[1]

    pairs = [both(seed) for seed in range(3)]
    assert all(front > at_random for front, at_random in pairs)


def test_what_is_to_be_maximised_and_known_is_found() -> None:
    """The mirror image: the second objective is the known one, and both are maximised."""

    def mirrored(params: Mapping[str, Any]) -> tuple[float, float]:
        first, second = zdt(params)
        return -second, -first

    sampler = FrontSampler(known=[1], measure=lambda params: [-zdt(params)[0]], seed=0)
    found = run(sampler, mirrored, ["maximize"] * 2)
    at_random = run(optuna.samplers.RandomSampler(seed=0), mirrored, ["maximize"] * 2)
    assert volume(found, (-1, -1), (11, 1.1)) > volume(at_random, (-1, -1), (11, 1.1))


def test_one_objective_is_enough() -> None:
    def bowl(params: Mapping[str, Any]) -> tuple[float]:
        return (sum((params[name] - 0.3) ** 2 for name in NAMES),)

    front = min(trial.values[0] for trial in run(FrontSampler(seed=1), bowl, ["minimize"]).trials)
    at_random = min(trial.values[0] for trial in run(optuna.samplers.RandomSampler(seed=1), bowl, ["minimize"]).trials)
    assert front < at_random


def test_three_objectives_of_which_none_or_all_are_known() -> None:
    def three(params: Mapping[str, Any]) -> tuple[float, float, float]:
        return (*zdt(params), params["x4"])

    directions = ["minimize", "minimize", "maximize"]
    for known in ([], [0, 1, 2]):
        sampler = FrontSampler(known=known, measure=lambda params, at=known: [three(params)[place] for place in at])
        study = run(sampler, three, directions, trials=25)
        assert all(trial.state.name == "COMPLETE" for trial in study.trials)


def test_the_same_seed_proposes_the_same() -> None:
    first, again = (run(FrontSampler(seed=4), zdt, ["minimize"] * 2, trials=25) for _ in range(2))
    assert [trial.params for trial in first.trials] == [trial.params for trial in again.trials]
    other = run(FrontSampler(seed=5), zdt, ["minimize"] * 2, trials=25)
    assert first.trials[-1].params != other.trials[-1].params


def test_what_must_not_run_is_not_proposed() -> None:
    """Once it has begun; by then half of what was drawn at random broke the constraint."""

    def measure(params: Mapping[str, Any]) -> list[float] | None:
        return [params["x0"]] if params["x1"] < 0.5 else None

    sampler = FrontSampler(known=[0], measure=measure, startup_trials=10, random_share=0, seed=0)
    trials = run(sampler, zdt, ["minimize"] * 2, trials=45).trials
    begun = 10 + next(index for index in range(40) if all(trial.params["x1"] < 0.5 for trial in trials[10 + index :]))
    assert begun < 35
    assert any(trial.params["x1"] >= 0.5 for trial in trials[:begun])


def test_branches_are_followed_where_they_are_taken() -> None:
    """The good branch has a hyperparameter of its own, which the other lacks."""
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=FrontSampler(seed=0))
    for _ in range(40):
        trial = study.ask()
        kind = trial.suggest_categorical("kind", ["a", "b"])
        width = trial.suggest_int("width", 1, 64, log=True)
        degree = trial.suggest_int("b.degree", 1, 9) if kind == "b" else 1
        study.tell(trial, ((kind == "b") * (1 - abs(degree - 7) / 10) * (1 - 1 / (width + 1)), width))
    late = [trial.params for trial in study.trials[20:]]
    assert sum(params["kind"] == "b" for params in late) > len(late) / 2
    assert all(("b.degree" in params) == (params["kind"] == "b") for params in late)


def test_what_decides_about_others_is_kept_and_numbers_beside_it_are_drawn() -> None:
    """Layers decide which units there are, the kind decides about the degree; a rate differs in each trial."""

    def objective(trial: optuna.Trial) -> float:
        for layer in range(trial.suggest_int("layers", 1, 3)):
            trial.suggest_int(f"units{layer}", 1, 99)
        if trial.suggest_categorical("kind", ["a", "b"]) == "b":
            trial.suggest_int("degree", 1, 9)
        return trial.suggest_float("rate", 0, 1)

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=60)
    candidates = SeenCandidates(study.trials)
    rng = np.random.default_rng(0)
    drawn = [candidates.draw(rng) for _ in range(100)]
    for params in drawn:
        assert sum(name.startswith("units") for name in params) == params["layers"]
        assert ("degree" in params) == (params["kind"] == "b")
    assert {params["layers"] for params in drawn} == {1, 2, 3}
    assert not {params["rate"] for params in drawn} & {trial.params["rate"] for trial in study.trials}


@pytest.mark.parametrize("seed", range(5))
def test_trials_that_run_count_with_what_is_predicted_of_them(seed: int) -> None:
    """With objectives that are known, later proposals add to what those that run already will bring."""
    sampler = FrontSampler(known=[0, 1], measure=zdt, random_share=0, seed=seed)
    study = run(sampler, zdt, ["minimize"] * 2, trials=15)
    distributions = {name: optuna.distributions.FloatDistribution(0, 1) for name in NAMES}
    points = [zdt(trial.params) for trial in study.trials]
    volumes = []
    for _ in range(7):
        volumes.append(moocore.hypervolume(np.array(points), ref=[1.1, 11]))
        points.append(zdt(study.ask(distributions).params))
    assert volumes[6] > volumes[1]


def test_trials_that_were_stopped_teach() -> None:
    """All that is known of the good half of the space comes from rungs of trials that were stopped."""

    def proposals(rungs: bool) -> list[float]:
        study = optuna.create_study(
            directions=["maximize", "minimize"],
            sampler=FrontSampler(known=[1], measure=lambda params: [params["x"]], random_share=0, seed=0),
        )
        for _ in range(40):
            trial = study.ask({name: optuna.distributions.FloatDistribution(0, 1) for name in ("x", "y")})
            good = trial.params["y"] > 0.5
            values = [0.9 if good else 0.1, trial.params["x"]]
            if good:
                if rungs:
                    trial.set_user_attr(RUNGS, [[1 / 9, values]])
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            else:
                study.tell(trial, values)
        return [trial.params["y"] for trial in study.trials[-15:]]

    assert np.mean(proposals(rungs=True)) > 0.7
    assert np.mean(proposals(rungs=True)) > np.mean(proposals(rungs=False))


def test_a_configuration_that_failed_is_not_proposed_again() -> None:
    study = optuna.create_study(
        directions=["maximize", "minimize"],
        sampler=FrontSampler(known=[1], measure=lambda params: [params["x"]], random_share=0, seed=0),
    )
    for _ in range(50):
        trial = study.ask({name: optuna.distributions.IntDistribution(0, 9) for name in ("x", "y")})
        if trial.params["y"] > 4:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, [0.5, trial.params["x"]])
    proposed = [tuple(trial.params.values()) for trial in study.trials[15:]]
    failed = {tuple(trial.params.values()) for trial in study.trials[:15] if trial.params["y"] > 4}
    assert failed
    assert not failed & set(proposed)
    assert len(set(proposed)) == len(proposed)
