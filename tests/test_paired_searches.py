"""The study of docs/protocol.md: its folds, choices and statistics."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from kansearch import load_space
from tests.benchmarks.paired_searches import (
    CAPS,
    SPACE,
    Search,
    arm_settings,
    chosen,
    fold_indices,
    run_tests,
    running_best,
    searches,
)
from tests.benchmarks.paired_statistics import bootstrap_interval, difference, holm


def test_folds_part_the_images_and_have_the_same_classes() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 140))
    folds = fold_indices(labels)
    assert len(folds) == 7
    assert sorted(np.concatenate(folds).tolist()) == list(range(1400))
    for fold in folds:
        assert np.bincount(labels[fold]).tolist() == [20] * 10
    assert [fold.tolist() for fold in folds] == [fold.tolist() for fold in fold_indices(labels)]


def test_every_bound_has_seven_pairs_and_four_with_controls() -> None:
    every = searches()
    assert len(every) == len(set(every)) == 72
    for cap in CAPS:
        for arm, pairs in (("plain", 7), ("kan", 7), ("control", 4)):
            assert len({each.pair for each in every if (each.cap, each.arm) == (cap, arm)}) == pairs


def test_arms_part_the_bases_of_the_space() -> None:
    names = [_names(arm) for arm in ("plain", "kan", "control")]
    assert names[0] == {"none"} and names[2] == {"spline_activation", "power_mlp"}
    (whole,) = [
        set(each.options) for name, each in load_space(SPACE).hyperparameters().items() if name == "model.basis"
    ]
    assert set.union(*names) == whole and sum(map(len, names)) == len(whole)


def _names(arm: str) -> set[str]:
    _, setting = arm_settings(arm)
    space = load_space(SPACE, {"model.basis": json.loads(setting.removeprefix("model.basis="))})
    fixed = space.tree["model"]["basis"]  # type: ignore[index]
    return set(getattr(fixed, "options", None) or [fixed["name"]])


def test_the_best_so_far_passes_over_what_did_not_complete() -> None:
    nan = float("nan")
    assert running_best([nan, 0.5, 0.4, nan, 0.5, 0.7]) == [1, 5]
    assert running_best([nan]) == []


def row(*trials: tuple[str, float, float]) -> dict[str, Any]:
    return {
        "trials": [[at, state, 27, seconds, accuracy, 1000.0] for at, (state, seconds, accuracy) in enumerate(trials)]
    }


def test_the_search_with_more_effort_counts_with_its_first_trials() -> None:
    plain = row(("complete", 10.0, 0.8), ("complete", 10.0, 0.9), ("complete", 10.0, 0.95))
    kan = row(("complete", 20.0, 0.7), ("pruned", 5.0, 0.99), ("complete", 20.0, 0.7))
    assert chosen({"plain": plain, "kan": kan}, "complete") == {"plain": 1, "kan": 0}
    assert chosen({"plain": plain, "kan": kan}, "seconds") == {"plain": 2, "kan": 0}


def test_a_search_without_a_complete_trial_is_told() -> None:
    with pytest.raises(ValueError, match="kan: no complete trial"):
        chosen({"plain": row(("complete", 1.0, 0.5)), "kan": row(("pruned", 1.0, 0.5))}, "seconds")


def test_nothing_is_tested_before_all_have_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tests(Namespace(records=tmp_path, folds=tmp_path, caps=[6_930]))
    assert capsys.readouterr().out == "6930: 18 searches are missing, so no test image is looked at\n"
    assert not (tmp_path / "tests.jsonl").exists()
    assert Search(3, 6_930, "kan") in searches([6_930])


# -- statistics ------------------------------------------------------------------------------------------------------


def test_without_overlap_the_difference_is_students_t() -> None:
    values = np.random.default_rng(1).normal(0.3, 1, 7)
    found, oracle = difference(values.tolist(), overlap=0), stats.ttest_1samp(values, 0)
    interval = oracle.confidence_interval()
    assert (found.p, found.low, found.high) == pytest.approx((oracle.pvalue, interval.low, interval.high))
    wider = difference(values.tolist())
    assert wider.p > found.p
    assert wider.high - wider.low == pytest.approx((found.high - found.low) * np.sqrt(1 + 7 / 6))
    with pytest.raises(ValueError, match="at least 2 pairs"):
        difference([0.1])


def test_holms_method_on_a_known_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_intervals_hold_no_difference_as_often_as_they_say() -> None:
    """Pairs of equal arms: networks of searches differ by 0.4 points, seeds by 0.26. Images are common to both arms."""
    rng, plain, corrected = np.random.default_rng(2), 0, 0
    for _ in range(400):
        pairs = [(_arm(rng, images), _arm(rng, images)) for images in (rng.random(500) for _ in range(7))]
        values = [float(a.mean() - b.mean()) for a, b in pairs]
        found, wider = difference(values, overlap=0), difference(values)
        plain += found.low <= 0 <= found.high
        corrected += wider.low <= 0 <= wider.high
    assert 0.92 <= plain / 400 <= 0.98
    assert corrected / 400 >= 0.98


def test_the_bootstrap_resamples_pairs_seeds_and_images() -> None:
    rng = np.random.default_rng(3)
    equal = [(each, each) for each in (rng.random((3, 400)) < 0.9 for _ in range(7))]
    low, high = bootstrap_interval(equal, draws=200)
    assert low < 0 < high, "seeds are drawn for each arm by itself"
    one = np.ones((3, 400), bool)
    assert bootstrap_interval([(one, one)] * 7, draws=20) == (0.0, 0.0)
    half = np.tile(np.arange(400) % 2 == 0, (3, 1))
    low, high = bootstrap_interval([(one, half)] * 7, draws=400)
    assert high - low == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(7 * 400), rel=0.2), "the images' share alone"


def _arm(rng: np.random.Generator, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    means = 0.9 + 0.004 * rng.standard_normal() + 0.0026 * rng.standard_normal(3)
    own = rng.random((3, len(images)))
    return np.where(own < 0.7, images, own[:, ::-1]) < means[:, None]
