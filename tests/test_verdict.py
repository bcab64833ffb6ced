"""Verdicts between a KAN and a plain network: who competes, what is told of it, and how often it is right."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest
from scipy import stats  # type: ignore[import-untyped]

from kansearch.commands.verdict import parse_sizes
from kansearch.errors import InputError
from kansearch.report.verdict import verdict_section
from kansearch.space import parse_space
from kansearch.study.confirmed import Confirmed
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.spread import Spread, pooled_spreads
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from kansearch.study.verdict import (
    Verdict,
    arms,
    default_sizes,
    judged_objective,
    picks,
    unequal,
    verdicts,
)
from kansearch.study.verdict_text import closing, sentence
from tests.commandline import Command, kansearch_fixture
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_confirmed import MEASURED, OBJECTIVES
from tests.test_study import EPOCH, epoch
from trials.config.basis import kind_of

__all__ = ["kansearch_fixture"]


def trial(number: int, basis: str, accuracy: float, parameters: int, state: Any = "complete") -> TrialRecord:
    """As the search left it."""
    model = {"family": "plain", "basis": {"name": basis}}
    config = StoredConfig({"data": {"dataset": "digits"}, "seed": 7, "model": model})
    values = {"accuracy": accuracy, "parameters": parameters} if state == "complete" else {}
    curve = [{**EPOCH, "epoch": 1, "accuracy": accuracy, "parameters": parameters}]
    return TrialRecord(number, state, values=values, stored=config, curve=curve)


def again(of: TrialRecord, accuracies: Sequence[float], spread: Spread) -> Confirmed:
    """Its confirmation, with a spread that is known."""
    runs = []
    for seed, accuracy in enumerate(accuracies, start=8):
        run = SeedRecord(of.number, "complete", stored=of.stored, curve=of.curve, seed=seed)
        run = replace(run, test={**MEASURED, "accuracy": accuracy})
        runs.append(replace(run, values=run.confirmed(OBJECTIVES)))
    return Confirmed(of, runs, OBJECTIVES, spreads={"accuracy": spread})


def own(values: Sequence[float]) -> Spread:
    """The spread that a sample has by itself."""
    return Spread(stdev(values), len(values) - 1)


def judged(trials: Sequence[TrialRecord], rows: Sequence[Confirmed], *sizes: float) -> list[Verdict]:
    return verdicts(*arms({"s": (trials, rows)}), OBJECTIVES, sizes)


def test_the_most_accurate_trial_at_selection_within_the_bound_stands_for_each_arm() -> None:
    trials = [
        trial(0, "none", 0.80, 900), trial(1, "none", 0.90, 4_000), trial(2, "gram", 0.85, 1_000),
        trial(3, "gram", 0.84, 800), trial(4, "rbf", 0.95, 20_000), trial(5, "power_mlp", 0.99, 500),
        trial(6, "rbf", 0.99, 500, "pruned"),
    ]  # fmt: skip
    found = judged(trials, [], 500, 1_000, 10_000, 20_000)
    chosen = [[each and each.trial.number for each in (verdict.kan, verdict.plain)] for verdict in found]
    assert chosen == [[None, None], [2, 0], [2, 1], [4, 1]]
    assert [verdict.answer for verdict in found] == [None] * 4
    assert list(picks(found)) == [("s", [0, 1, 2, 4])]


def test_of_two_as_accurate_the_smaller_one_stands_for_its_arm() -> None:
    (found,) = judged([trial(0, "gram", 0.9, 900), trial(1, "gram", 0.9, 800)], [], 1_000)
    assert found.kan is not None
    assert found.kan.trial.number == 1


def test_bounds_with_the_same_two_networks_are_one() -> None:
    trials = [trial(0, "none", 0.9, 900), trial(1, "gram", 0.8, 900)]
    assert [verdict.most for verdict in judged(trials, [], 1_000, 3_000, 10_000)] == [10_000]


def test_a_minimised_objective_is_better_where_it_is_less() -> None:
    trials = [trial(0, "none", 0.9, 900), trial(1, "gram", 0.8, 900)]
    trials = [replace(each, values={"validation_loss": 1 - each.values["accuracy"]}) for each in trials]
    (found,) = verdicts(*arms({"s": (trials, [])}), {"validation_loss": "minimize"}, [1_000])
    assert found.plain is not None
    assert found.plain.trial.number == 0


def test_interval_and_probability_are_those_of_welch() -> None:
    """With the spread and the degrees of freedom of each sample alone, this is scipy's t-test of Welch."""
    first, second = [0.91, 0.93, 0.92, 0.90], [0.90, 0.905, 0.91]
    trials = [trial(0, "gram", 0.9, 900), trial(1, "none", 0.9, 900)]
    rows = [again(trials[0], first, own(first)), again(trials[1], second, own(second))]
    (found,) = judged(trials, rows, 1_000)
    oracle = stats.ttest_ind(first, second, equal_var=False)
    low, high = oracle.confidence_interval()
    assert found.difference == pytest.approx((low + high) / 2)
    assert found.half == pytest.approx((high - low) / 2)
    assert found.probability == pytest.approx(1 - oracle.pvalue / 2)
    swapped = [trial(0, "none", 0.9, 900), trial(1, "gram", 0.9, 900)]
    rows = [again(swapped[0], first, own(first)), again(swapped[1], second, own(second))]
    assert judged(swapped, rows, 1_000)[0].probability == pytest.approx(oracle.pvalue / 2)


def test_seeds_that_are_all_equal_leave_no_doubt() -> None:
    trials = [trial(0, "gram", 0.9, 900), trial(1, "none", 0.9, 900)]
    for value, chance in ((0.92, 1.0), (0.9, 0.5), (0.8, 0.0)):
        rows = [again(trials[0], [value] * 3, Spread(0.0, 4)), again(trials[1], [0.9] * 3, Spread(0.0, 4))]
        assert judged(trials, rows, 1_000)[0].probability == chance


def test_nothing_is_told_below_three_seeds() -> None:
    trials = [trial(0, "gram", 0.9, 900), trial(1, "none", 0.9, 900)]
    rows = [again(trials[0], [0.92] * 5, Spread(0.01, 8)), again(trials[1], [0.9] * 2, Spread(0.01, 8))]
    (found,) = judged(trials, rows, 1_000)
    assert (found.difference, found.probability, found.answer) == (None, None, None)
    assert list(picks([found])) == [("s", [1])]
    assert "unconfirmed" in sentence([found])


@pytest.mark.parametrize("size", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_of_verdicts_given_at_nine_tenths_at_least_seventeen_twentieths_are_right(seeds: int, size: float) -> None:
    """True differences are normal, with a standard deviation of `size` standard errors of a difference."""
    generator = np.random.default_rng(seeds)
    trials = [trial(number, "none" if number % 2 else "gram", 0.5, 100 * 4**number) for number in range(8)]
    right = given = 0
    for _ in range(300):
        truth = generator.normal(0, size * math.sqrt(1 / seeds), 8)  # a difference of two has √2 times that
        measured = (truth[:, None] + generator.normal(size=(8, seeds))).tolist()
        spreads = [spread for spread in pooled_spreads(measured) if spread is not None]
        for kan, plain in ((0, 1), (2, 3), (4, 5), (6, 7)):
            rows = [again(trials[each], measured[each], spreads[each]) for each in (kan, plain)]
            (found,) = judged([trials[kan], trials[plain]], rows, 1e9)
            if found.answer is not None:
                given += 1
                right += (truth[kan] > truth[plain]) == (found.answer == "KAN")
    assert given > 60
    assert right / given >= 0.85


def test_effort_is_counted_for_each_arm() -> None:
    trials = [trial(0, "none", 0.8, 900), trial(1, "gram", 0.8, 900), trial(2, "gram", 0.8, 900, "pruned")]
    kan, plain = arms({"s": (trials, [])})
    assert [(arm.trials, len(arm.contenders), arm.seconds) for arm in (kan, plain)] == [(2, 1, 4.0), (1, 1, 2.0)]
    assert unequal(kan, plain)
    assert not unequal(plain, plain)
    assert not unequal(kan, replace(plain, trials=2))  # as many trials, whatever they cost
    assert not unequal(kan, replace(plain, seconds=4.0))
    assert unequal(kan, arms({"s": ([], [])})[1])


def test_one_sentence_says_what_is_told_at_the_knee() -> None:
    trials = [trial(0, "gram", 0.85, 900), trial(1, "none", 0.80, 900), trial(2, "gram", 0.86, 70_000)]
    trials += [trial(3, "gram", 0.5, 40)]
    unconfirmed = closing("s", trials, [], OBJECTIVES, " --home h")
    assert unconfirmed == (
        "KAN or plain? Unconfirmed: with at most 32,000 parameters the best KAN of 3 has accuracy 0.8500 at selection, "
        "the best plain network of 1 0.8000; `kansearch confirm s --home h --seeds 5 --picks 0,1` tells what is left."
    )
    rows = [again(trials[0], [0.85] * 3, Spread(0.01, 4)), again(trials[1], [0.80] * 3, Spread(0.01, 4))]
    told = closing("s", trials, rows, OBJECTIVES)
    assert told == (
        "KAN or plain? With at most 32,000 parameters a KAN is better (P = 1.00, KAN minus plain accuracy +0.0500 ± "
        "0.0188); unequal effort, 3 KANs and 1 plain."
    )
    close = [rows[0], again(trials[1], [0.849] * 3, Spread(0.01, 4))]
    assert "it can't be told which is better (P(KAN) = 0.55" in str(closing("s", trials, close, OBJECTIVES))


def test_a_knee_that_only_one_arm_reaches_is_judged_where_both_do() -> None:
    trials = [trial(0, "gram", 0.9, 40), trial(1, "none", 0.95, 60_000)]
    assert "with at most 100,000 parameters" in str(closing("s", trials, [], OBJECTIVES))


def test_a_study_without_a_control_says_so_and_one_without_kans_nothing() -> None:
    kan, plain = trial(0, "gram", 0.85, 900), trial(0, "none", 0.85, 900)
    missing = replace(trial(1, "none", 0.85, 900, "fail"))
    assert closing("s", [kan], [], OBJECTIVES) == "KAN or plain? Not told: no plain network was searched."
    assert closing("s", [kan, missing], [], OBJECTIVES) == "KAN or plain? Not told: no plain network completed."
    assert closing("s", [plain], [], OBJECTIVES) is None
    assert closing("s", [], [], OBJECTIVES) is None
    assert closing("s", [kan], [], {"parameters": "minimize"}) is None


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ({"basis": {"name": "none"}}, "plain"),
        ({"basis": {"name": "gram"}, "classifier": "linear"}, "KAN"),
        ({"basis": {"name": "power_mlp"}}, "control"),
        ({"basis": {"name": "none"}, "classifier": "kan", "classifier_basis": {"name": "fourier"}}, "KAN"),
        ({"basis": {"name": "none"}, "classifier": "linear", "classifier_basis": {"name": "fourier"}}, "plain"),
        ({"basis": {"name": "none"}, "classifier": "kan", "classifier_basis": None}, "plain"),
        ({"basis": {"name": "rbf"}, "convolution": "plain", "classifier": "linear"}, "plain"),
        ({"basis": {"name": "rbf"}, "convolution": "plain", "classifier": "kan", "classifier_basis": None}, "KAN"),
        ({"basis": {"name": "power_mlp"}, "classifier": "kan", "output_basis": {"name": "rbf"}}, "KAN"),
    ],
)
def test_a_network_is_a_kan_where_a_layer_of_it_has_a_basis(model: dict[str, Any], kind: str) -> None:
    assert kind_of(model) == kind


def test_default_bounds_are_half_decades_about_the_trials() -> None:
    kan, plain = arms({"s": ([trial(0, "none", 0.8, 1_540), trial(1, "gram", 0.8, 74_875)], [])})
    assert default_sizes([*kan.contenders, *plain.contenders]) == [3_200, 10_000, 32_000, 100_000]
    assert default_sizes(kan.contenders) == [100_000]
    assert default_sizes([]) == []
    exact = arms({"s": ([trial(0, "none", 0.8, 1_000)], [])})[1]
    assert default_sizes(exact.contenders) == [1_000]


def test_sizes_are_read_with_units() -> None:
    assert parse_sizes("1k, 3K,0.5m,700") == [1_000, 3_000, 500_000, 700]
    for wrong in ("", "1k,", "many", "-3", "0", "nan"):
        with pytest.raises(InputError, match="--sizes"):
            parse_sizes(wrong)


def test_the_last_objective_of_the_test_split_is_judged() -> None:
    assert judged_objective({"parameters": "minimize", "accuracy": "maximize"}) == "accuracy"
    assert judged_objective({"parameters": "minimize"}) is None


def _searched(home: Path, name: str, bases: Sequence[str], accuracy: float) -> Study:
    """A study with two complete trials of each of these bases."""
    space = SMALL_SPACE.replace("study: small", f"study: {name}")
    study = Study.create(home, parse_space(space, "small.yaml"))
    count = dict.fromkeys(bases, 0)
    while min(count.values()) < 2:
        record = start_trial(study)
        basis = record.config.model.basis.name
        if basis not in bases or count[basis] == 2:
            study.fail(record.number, "not of this arm")
            continue
        count[basis] += 1
        study.complete(record.number, [epoch(1, 0.4), epoch(2, accuracy + count[basis] / 100)])
    return study


def _confirm(study: Study, accuracies: Sequence[float]) -> None:
    """Confirm all of its complete trials."""
    store = SeedStore(study.folder)
    for record in study.records():
        for seed, accuracy in enumerate(accuracies, start=100):
            if record.state == "complete":
                run = SeedRecord(record.number, "complete", stored=record.stored, curve=record.curve, seed=seed)
                run = replace(run, test={**MEASURED, "accuracy": accuracy})
                store.save(replace(run, values=run.confirmed(study.objectives)))


def test_the_command_says_what_to_run_and_then_what_is_better(kansearch: Command, tmp_path: Path) -> None:
    plain = _searched(tmp_path, "control", ["none"], 0.80)
    kans = _searched(tmp_path, "kans", ["rbf"], 0.85)
    told = kansearch("verdict", "control", "kans", "--home", tmp_path)
    assert told.code == 0, told
    assert "unconfirmed" in told.out
    assert f"kansearch confirm kans --home {tmp_path} --seeds 5 --picks" in told.out
    _confirm(plain, [0.81, 0.80, 0.82])
    _confirm(kans, [0.86, 0.85, 0.87])
    told = kansearch("verdict", "control", "kans", "--home", tmp_path)
    assert "a KAN is better (P = 1.00)" in told.out
    assert "+0.0500 ± " in told.out
    assert "kansearch confirm" not in told.out
    document = json.loads(kansearch("verdict", "control", "kans", "--home", tmp_path, "--json").out)
    (verdict,) = document["verdicts"]
    assert (verdict["answer"], verdict["kan"]["study"], verdict["plain"]["study"]) == ("KAN", "kans", "control")
    assert verdict["difference"] == pytest.approx(0.05)
    alone = kansearch("verdict", "kans", "--home", tmp_path)
    assert "for want of a plain network" in alone.out


def test_the_report_has_a_section_and_its_command_ends_with_a_sentence(kansearch: Command, tmp_path: Path) -> None:
    study = _searched(tmp_path, "both", ["none", "rbf"], 0.80)
    told = kansearch("report", "both", "--home", tmp_path)
    assert told.out.splitlines()[-1].startswith("KAN or plain? Unconfirmed: with at most ")
    assert "kansearch confirm both --seeds 5 --picks" in (study.folder / "report.html").read_text()
    _confirm(study, [0.81, 0.80, 0.82])
    told = kansearch("report", "both", "--home", tmp_path)
    assert "it can't be told which is better (P(KAN) = 0.50, KAN minus plain accuracy +0.0000 ± " in told.out
    page = (study.folder / "report.html").read_text()
    assert 'href="#verdict"' in page
    assert "Difference in accuracy between the best KAN and the best plain network" in page
    assert "search effort: KAN 2 complete of 2 trials" in page


def test_no_section_compares_an_arm_with_nothing() -> None:
    kans = [trial(0, "gram", 0.85, 900), trial(1, "power_mlp", 0.85, 900)]
    assert verdict_section({"s": (kans, [])}, OBJECTIVES) is None
    both = {"s": ([*kans, trial(2, "none", 0.8, 900)], [])}
    assert verdict_section(both, {"parameters": "minimize"}) is None
    section = verdict_section(both, OBJECTIVES)
    assert section is not None
    assert section["plot"] is None  # nothing is told


def test_studies_that_cannot_be_compared_are_refused(kansearch: Command, tmp_path: Path) -> None:
    Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))
    other = SMALL_SPACE.replace("study: small", "study: other") + "objectives: {flops: minimize, accuracy: maximize}\n"
    Study.create(tmp_path, parse_space(other, "small.yaml"))
    sizes = SMALL_SPACE.replace("study: small", "study: sizes") + "objectives: {parameters: minimize}\n"
    Study.create(tmp_path, parse_space(sizes, "small.yaml"))
    told = kansearch("verdict", "small", "other", "--home", tmp_path)
    assert told.code == 2
    assert "have other objectives" in told.err
    assert "no objective that a test split measures" in kansearch("verdict", "sizes", "--home", tmp_path).err
