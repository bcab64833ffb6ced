"""How often verdicts are right, on searches of recorded benchmarks, whose truth is known.

    python -m tests.benchmarks.verdict --searches 20 --trials 40

Each search is what `kansearch launch --verdict` does: both arms with as many trials, the best of each below every
size, K more seeds of both, a verdict. A trial and a seed observe the surrogate's accuracy with the deviation of a
recorded run. The truth is that accuracy without. A verdict is right about the two networks where the better one is
truly better. It is right about the searches where its arm truly was better on average over all pairs of searches.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from kansearch.bench.recorded import RecordedProblem, recorded_problems
from kansearch.bench.run import share_interval
from kansearch.bench.simulator import simulate
from kansearch.commands.verdict_search import arm_spaces
from kansearch.space import SearchSpace
from kansearch.study.confirmed import Confirmed, confirmed
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord
from kansearch.study.verdict import ArmName, Contender, Verdict, arms, verdicts

SIZES = (1_000.0, 3_000.0, 10_000.0, 30_000.0)
ARMS: tuple[ArmName, ...] = ("KAN", "plain")


@cache
def spaces(name: str) -> Mapping[ArmName, SearchSpace]:
    return arm_spaces(RecordedProblem(name).space(True), SIZES)


@dataclass(frozen=True)
class ArmProblem(RecordedProblem):
    """One arm of a recorded benchmark."""

    arm: ArmName = "KAN"

    def space(self, conditional: bool) -> SearchSpace:
        return spaces(self.name)[self.arm]


class Outcome(NamedTuple):
    """A verdict on two networks of a recording, and their true difference."""

    recording: str
    verdict: Verdict
    truth: float


def search(name: str, arm: ArmName, seed: int, trials: int, scheduler: str) -> Sequence[TrialRecord]:
    settings = spaces(name)[arm].search.model_copy(update={"trials": trials, "seed": seed, "scheduler": scheduler})
    return simulate(ArmProblem(name, arm=arm), settings, float("inf")).records


def again(contender: Contender, seeds: int, problem: RecordedProblem, rng: np.random.Generator) -> list[SeedRecord]:
    """`seeds` new trainings of a network."""
    config, runs = contender.trial.config, []
    for seed in range(seeds):
        curve = problem.curve(config, rng)
        test = {"accuracy": curve[-1]["accuracy"], "images": 10_000}
        run = SeedRecord(contender.trial.number, "complete", stored=contender.trial.stored, curve=curve, seed=seed + 1)
        runs.append(replace(run, test=test, values={name: curve[-1][name] for name in ("accuracy", "parameters")}))
    return runs


def outcomes(name: str, seed: int, trials: int, seeds: int, scheduler: str) -> list[Outcome]:
    """The verdicts of one pair of searches."""
    problem, rng = RecordedProblem(name), np.random.default_rng(seed)
    found = {arm: search(name, arm, seed, trials, scheduler) for arm in ARMS}
    objectives = {str(each): way for each, way in problem.space(True).objectives.items()}
    rows: dict[str, list[Confirmed]] = {arm: [] for arm in ARMS}

    def judged() -> list[Verdict]:
        both = arms({arm: (found[arm], rows[arm]) for arm in ARMS})
        each = [verdict for size in SIZES for verdict in verdicts(*both, objectives, [size])]
        return [verdict for verdict in each if verdict.kan and verdict.plain]

    compared = [contender for each in judged() for contender in (each.kan, each.plain) if contender]
    for arm in ARMS:
        mine = {each.trial.number: each for each in compared if each.study == arm}
        runs = [run for each in mine.values() for run in again(each, seeds, problem, rng)]
        rows[arm] = confirmed(found[arm], runs, objectives)
    return [Outcome(name, each, _difference(problem, each)) for each in judged()]


def _difference(problem: RecordedProblem, verdict: Verdict) -> float:
    assert verdict.kan is not None and verdict.plain is not None
    kan, plain = (problem.curve(each.trial.config)[-1]["accuracy"] for each in (verdict.kan, verdict.plain))
    return float(kan - plain)


def line(label: str, searches: Sequence[Sequence[Outcome]], averages: Mapping[tuple[str, float], float]) -> str:
    """The count of verdicts, a pair of networks once in each search, and how many of them are right."""
    pairs = [each for found in searches for each in _once(found)]
    given = [each for each in pairs if each.verdict.answer is not None]
    says = {"KAN": 1, "plain": -1}
    right = sum(np.sign(each.truth) == says[str(each.verdict.answer)] for each in given)
    means = [averages[each.recording, each.verdict.most] for each in given]
    general = sum(np.sign(mean) == says[str(each.verdict.answer)] for mean, each in zip(means, given, strict=True))
    low, high = share_interval(right, len(given)) if given else (float("nan"), float("nan"))
    kans = sum(each.verdict.answer == "KAN" for each in given)
    shares = [count / max(len(given), 1) for count in (right, general)]
    return f"{label:15}{len(pairs):9}{len(given):7}{kans:5}{shares[0]:7.3f} ({low:.3f} to {high:.3f}){shares[1]:9.3f}"


def _once(found: Sequence[Outcome]) -> list[Outcome]:
    """Sizes at which the same two networks compete are one."""
    numbers = [tuple(pair.trial.number for pair in (each.verdict.kan, each.verdict.plain) if pair) for each in found]
    return list(dict(zip(numbers, found, strict=True)).values())


def averages(name: str, searches: Sequence[Sequence[Outcome]]) -> dict[tuple[str, float], float]:
    """For each size the true difference, on average over the searches."""
    by_size: dict[float, list[float]] = {}
    for found in searches:
        for each in found:
            by_size.setdefault(each.verdict.most, []).append(each.truth)
    return {(name, size): float(np.mean(values)) for size, values in by_size.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--scheduler", default="none")
    arguments = parser.parse_args()
    print(f"{'recording':15}{'verdicts':>9}{'given':>7}{'KAN':>5}{'right':>7} {'(95 %)':16}{'searches':>9}")
    everything: list[list[Outcome]] = []
    means: dict[tuple[str, float], float] = {}
    for problem in recorded_problems():
        found = [
            outcomes(problem.name, seed, arguments.trials, arguments.seeds, arguments.scheduler)
            for seed in range(arguments.searches)
        ]
        means |= averages(problem.name, found)
        print(line(problem.name, found, means), flush=True)
        everything += found
    print(line("all", everything, means))
    for (name, size), mean in sorted(means.items()):
        print(f"{name:15} at most {size:7,.0f} parameters: KAN minus plain {mean:+.4f}, true, on average")


if __name__ == "__main__":
    main()
