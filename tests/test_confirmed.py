"""A confirmation without workers: what is left to train, what is kept of it, and what it says of the trials."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kansearch.errors import InputError, InterruptionError, KansearchError
from kansearch.models.pick import pick_trials
from kansearch.seeds.seed_runs import SeedRuns, unfinished
from kansearch.space import parse_space
from kansearch.study.confirmed import Confirmed, confirmed, knee_of
from kansearch.study.confirmed_table import caveats, cells, headings
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.selection import selection_bias
from kansearch.study.statistics import half_width
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import EPOCH
from trials.results import TEST

OBJECTIVES: Any = {"accuracy": "maximize", "parameters": "minimize"}
MEASURED = {"accuracy": 0.9, "loss": 0.3, "f1": 0.8, "top5_accuracy": None, "images": 360, "confusion_matrix": [[1]]}


def selected(number: int, accuracy: float, parameters: int) -> TrialRecord:
    """As the search left it."""
    config = StoredConfig({"data": {"dataset": "digits"}, "seed": 7, "epochs": 2, "model": {"family": "plain"}})
    return TrialRecord(number, "complete", values={"accuracy": accuracy, "parameters": parameters}, stored=config)


def trained(trial: TrialRecord, seed: int, accuracy: float, **test: Any) -> SeedRecord:
    """A complete training of it."""
    curve = [{**EPOCH, "epoch": number, "accuracy": None, **own} for number, own in ((1, {}), (2, {"train_loss": 0.5}))]
    curve = [{**result, "parameters": trial.values["parameters"]} for result in curve]
    measured = {**MEASURED, "accuracy": accuracy, **test}
    record = SeedRecord(trial.number, "complete", stored=trial.stored, curve=curve, seed=seed, test=measured)
    return replace(record, values=record.confirmed(OBJECTIVES))


def failed(trial: TrialRecord, seed: int, reason: str, losses: tuple[str, ...] = ()) -> SeedRecord:
    return SeedRecord(trial.number, "fail", reason, stored=trial.stored, seed=seed, losses=losses)


# -- what is left --------------------------------------------------------------------------------------------------


def test_each_trial_is_trained_with_new_seeds_and_never_with_the_one_of_the_search() -> None:
    left = unfinished([selected(3, 0.9, 50), selected(1, 0.8, 20)], 2, [])
    assert [record.key for record in left] == [(3, 8), (1, 8), (3, 9), (1, 9)]
    assert [record.config.seed for record in left] == [8, 8, 9, 9]
    assert all(record.config.epochs == 2 for record in left)


def test_what_is_done_is_not_done_again_and_what_was_begun_comes_first() -> None:
    trials = [selected(0, 0.9, 50), selected(1, 0.8, 20)]
    begun = SeedRecord(
        1,
        "running",
        stored=StoredConfig({**trials[1].stored.document, "seed": 9}),
        curve=[{**EPOCH, "epoch": 1}],
        seed=9,
    )
    kept = [trained(trials[0], 8, 0.9), begun, failed(trials[1], 8, "TrialDiverged: no")]
    left = unfinished(trials, 3, kept)
    assert [record.key for record in left] == [(1, 9), (0, 9), (0, 10), (1, 10)]
    assert left[0] is begun
    assert unfinished(trials[:1], 1, kept) == []


def test_a_failure_of_the_machine_is_tried_again_and_one_of_the_training_is_not() -> None:
    trial = selected(0, 0.9, 50)
    kept = [failed(trial, 8, "worker lost: killed (4 times)", ("lost",) * 3), failed(trial, 9, "TrialDiverged: no")]
    (again,) = unfinished([trial], 2, kept)
    assert (again.seed, again.state, again.reason, again.losses) == (8, "running", None, ())


# -- handing out ---------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path: Path) -> Study:
    study = Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))
    for accuracy in (0.7, 0.9):
        number = start_trial(study).number
        study.complete(number, [{**EPOCH, "epoch": 2, "accuracy": accuracy}])
    return study


@pytest.fixture
def runs(study: Study) -> Callable[..., SeedRuns]:
    def make(seeds: int = 2, max_concurrent: int = 2, stopping: bool = False) -> SeedRuns:
        store = SeedStore(study.folder)
        left = unfinished(study.records(), seeds, store.records())
        return SeedRuns(study, store, left, max_concurrent, lambda: stopping, lambda record: None)

    return make


def epoch(number: int, **more: Any) -> Mapping[str, Any]:
    return {**EPOCH, "epoch": number, "accuracy": None, "trial_id": "of Ray", **more}


def last_epoch() -> Mapping[str, Any]:
    return epoch(2, **{TEST: MEASURED})


def test_as_many_run_as_may_and_each_result_is_on_disk_before_it_is_acknowledged(
    study: Study, runs: Callable[..., SeedRuns]
) -> None:
    work, store = runs(), SeedStore(study.folder)
    first, second = work.ask(), work.ask()
    assert first is not None and second is not None
    assert work.ask() is None, "two at once"
    assert first.config.seed == study.record(0).config.seed + 1
    assert [record.state for record in store.records()] == ["running", "running"]
    assert not work.tell(first.number, [epoch(1)], 1.0)
    assert not work.tell(first.number, [epoch(1)], 1.0), "told again by one that went on from its checkpoint"
    assert [record.epochs for record in store.records()] == [1, 0]
    assert not work.tell(first.number, [last_epoch()], 1.0)
    done = store.records()[0]
    assert (done.state, done.epochs, done.test) == ("complete", 2, MEASURED)
    assert done.values == {"accuracy": 0.9, "parameters": 321}
    assert "trial_id" not in done.curve[0]
    assert work.live == {second.number}
    assert [assignment.config.seed for assignment in (work.ask(),) if assignment] == [2]


def test_a_driver_that_takes_over_goes_on_with_what_was_noted(study: Study, runs: Callable[..., SeedRuns]) -> None:
    work = runs()
    assignment = work.ask()
    assert assignment is not None
    work.tell(assignment.number, [epoch(1)], 1.0)
    again = runs()
    assignment = again.ask()
    assert assignment is not None
    assert again.record(assignment.number).epochs == 1
    assert again.place(assignment.number) == f"{study.folder.absolute()}/confirm/00000"


def test_a_lost_worker_is_replaced_a_few_times(study: Study, runs: Callable[..., SeedRuns]) -> None:
    work, retries = runs(1), study.space.search.retries
    for _ in range(retries + 1):
        assignment = work.ask()
        assert assignment is not None and assignment.number == 0
        work.lost(0, "worker lost: killed")
    (record, *_) = SeedStore(study.folder).records()
    assert (record.state, len(record.losses)) == ("fail", retries)
    assert record.reason == f"worker lost: killed ({retries + 1} times)"


def test_want_of_memory_is_met_with_twice_the_resources_once(study: Study, runs: Callable[..., SeedRuns]) -> None:
    work = runs(1)
    first, other = work.ask(), work.ask()
    assert first is not None and other is not None
    work.out_of_memory(first.number, "MemoryError")
    assert work.ask() is None, "it waits until there is room for it"
    work.tell(other.number, [last_epoch()], 1.0)
    again = work.ask()
    assert again is not None and (again.number, again.shares) == (first.number, 2)
    work.out_of_memory(again.number, "MemoryError")
    (record, _) = SeedStore(study.folder).records()
    assert record.reason == "out of memory: MemoryError, with twice the resources too"
    assert work.exhausted


def test_none_is_handed_out_once_it_is_to_stop(runs: Callable[..., SeedRuns]) -> None:
    assert runs(stopping=True).exhausted
    assert not runs().exhausted


# -- on disk -------------------------------------------------------------------------------------------------------


def test_what_is_kept_is_read_back(tmp_path: Path) -> None:
    store, trial = SeedStore(tmp_path), selected(3, 0.9, 50)
    records = [trained(trial, 7, 0.91), failed(trial, 8, "TrialDiverged: no"), trained(selected(12, 0.8, 9), 7, 0.85)]
    for record in reversed(records):
        store.save(record)
    lists = [replace(record, losses=list(record.losses), curve=list(record.curve)) for record in records]
    assert store.records() == lists, "JSON has no tuples"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, trial = SeedStore(tmp_path), selected(3, 0.9, 50)
    store.save(trained(trial, 7, 0.91))

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InterruptionError, match=r"cannot write .*seed-7.json: No space left on device"):
        store.save(trained(trial, 7, 0.5))
    assert [record.values["accuracy"] for record in store.records()] == [0.91]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"number": 3}', '{"unknown": 1}'])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "confirm/00003/seed-7.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(KansearchError, match=r"seed-7.json is damaged .*remove it, and that seed is trained again"):
        SeedStore(tmp_path).records()


# -- picks ---------------------------------------------------------------------------------------------------------


def test_picks_mean_what_they_say(study: Study) -> None:
    def numbers(picks: str) -> list[int]:
        return [record.number for record in pick_trials(study, picks)]

    assert numbers("front") == [1], "both have as many parameters"
    assert numbers("knee") == numbers("best") == numbers("smallest") == [1]
    assert numbers("0, best,1") == [0, 1]


@pytest.mark.parametrize(
    ("picks", "reason"),
    [
        ("middle", "--picks 'middle': give front, knee, best, smallest or trial numbers, with commas between"),
        ("knee,,0", "--picks '': give front"),
        ("-1", "--picks '-1': give front"),
        ("7", "--picks 7: the study has trials 0 to 2"),
        ("2", r"--picks 2: the trial is fail, not complete \(ValueError: no\)"),
    ],
)
def test_a_pick_that_is_none_is_refused(study: Study, picks: str, reason: str) -> None:
    study.fail(start_trial(study).number, "ValueError: no")
    with pytest.raises(InputError, match=reason):
        pick_trials(study, picks)


# -- what it says --------------------------------------------------------------------------------------------------


def rows_of(trials: list[TrialRecord], runs: list[SeedRecord]) -> list[Confirmed]:
    return confirmed(trials, runs, OBJECTIVES)


def test_means_intervals_and_chances_of_a_front() -> None:
    small, large, worse = selected(0, 0.80, 10), selected(1, 0.99, 90), selected(2, 0.95, 90)
    accuracies = {0: [0.80, 0.82, 0.81], 1: [0.90, 0.94, 0.92], 2: [0.70, 0.71, 0.72]}
    trials = [small, large, worse]
    runs = [trained(trials[n], seed, a) for n, each in accuracies.items() for seed, a in enumerate(each, start=8)]
    rows = rows_of(trials, runs)
    assert [row.trial.number for row in rows] == [0, 1, 2], "smallest first"
    assert [row.on_front for row in rows] == [True, True, False]
    assert [row.probability for row in rows] == pytest.approx([1.0, 1.0, 0.0], abs=1e-3)
    assert knee_of(rows, OBJECTIVES) in (0, 1)
    document = rows[1].document()
    assert document["values"] == {"accuracy": pytest.approx(0.92), "parameters": 90}
    pooled = math.sqrt((0.01**2 + 0.02**2 + 0.01**2) / 3)
    half = 2.446912 * pooled / math.sqrt(3)  # t with 6 degrees of freedom
    assert document["interval"]["accuracy"] == pytest.approx([0.92 - half, 0.92 + half])
    assert document["spread"]["accuracy"] == {
        "own": pytest.approx(0.02),
        "pooled": pytest.approx(pooled),
        "degrees_of_freedom": 6,
        "alone": False,
    }
    assert document["accuracy_sampling"] == pytest.approx(0.0282, abs=5e-5), "Wilson's, of 360 images"
    assert document["interval"]["parameters"] == [90, 90], "known without training"
    assert document["mean"]["test_f1"] == pytest.approx(0.8)
    assert document["seeds"] == [8, 9, 10]
    assert document["selection"]["validation"] == {"accuracy": 0.99}
    assert document["selection"]["difference"]["accuracy"] == pytest.approx(0.07)
    assert document["metrics"]["train_loss"] == 0.5
    assert "test_images" not in document["metrics"] and "test_top5_accuracy" not in document["metrics"]
    assert (document["seconds"], document["epochs"], document["state"]) == (12.0, 2, "complete")
    assert [run["test"]["accuracy"] for run in document["runs"]] == accuracies[1]
    json.dumps(document)


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_are_told_nothing_and_what_to_run(seeds: int) -> None:
    """Also beside a trial that has enough of them."""
    few, many = selected(0, 0.8, 10), selected(1, 0.9, 20)
    runs = [trained(few, seed, 0.8) for seed in range(8, 8 + seeds)]
    runs += [trained(many, seed, 0.9 + seed / 1000) for seed in (8, 9, 10)]
    row, other = rows_of([few, many], runs)
    document = row.document()
    assert document["probability_on_front"] is None
    assert document["interval"]["accuracy"] is None
    assert document["interval"]["parameters"] == [10, 10]
    assert row.written("accuracy") == "0.8000"
    assert other.probability is not None and other.half["accuracy"] is not None
    assert cells(row, OBJECTIVES)[-1] == "not told"
    assert cells(other, OBJECTIVES)[-1] == "1.00"
    *_, told = caveats([row, other], "shirts", " --home elsewhere")
    assert told == (
        "with fewer than 3 seeds intervals and P(front) are not told: "
        "`kansearch confirm shirts --seeds 3 --picks 0 --home elsewhere` trains the rest"
    )
    assert selection_bias([row], OBJECTIVES) == []


def test_the_seed_of_the_search_does_not_count() -> None:
    """As confirmations of earlier versions have it, whose first seed it was."""
    trial, other = selected(0, 0.8, 10), selected(1, 0.8, 20)
    runs = [trained(trial, seed, 0.8 + seed / 100) for seed in (7, 8, 9, 10)] + [trained(other, 7, 0.9)]
    (row,) = rows_of([trial, other], runs)
    assert row.document()["seeds"] == [8, 9, 10]
    assert row.mean["accuracy"] == pytest.approx(0.89)


def test_a_table_tells_the_sampling_of_the_test_split_beside_each_accuracy() -> None:
    trial = selected(0, 0.95, 1000)
    row, *_ = rows_of([trial], [trained(trial, seed, 0.94 + seed / 1000) for seed in (8, 9, 10)])
    table = dict(zip(headings(OBJECTIVES), cells(row, OBJECTIVES), strict=True))
    assert table == {
        "trial": "0",
        "seeds": "3",
        "accuracy at selection": "0.9500",
        "accuracy on test": "0.9490 ± 0.0025",
        "test sampling": "± 0.0231",
        "parameters": "1,000",
        "P(front)": "1.00",
    }
    assert caveats([row], "shirts") == [
        "the intervals are of other seeds; other test images may move an accuracy by its test sampling, too"
    ]


def test_pixels_are_no_sample_of_their_own() -> None:
    trial = selected(0, 0.95, 10)
    (row,) = rows_of([trial], [trained(trial, seed, 0.9, mean_iou=0.5) for seed in (8, 9, 10)])
    assert row.sampling == {}


def test_a_trial_whose_seeds_differ_clearly_more_is_not_hidden_by_the_others() -> None:
    trials = [selected(number, 0.9, 10 + number) for number in range(5)]
    offsets = (-0.001, 0.0005, 0.0, 0.0012, -0.0007)
    runs = [
        trained(trial, seed, 0.9 + offset * (40 if trial.number == 3 else 1))
        for trial in trials
        for seed, offset in enumerate(offsets, start=8)
    ]
    rows = rows_of(trials, runs)
    (wild,) = [row for row in rows if row.wide]
    assert wild.trial.number == 3
    assert wild.half["accuracy"] == pytest.approx(half_width([0.9 + 40 * offset for offset in offsets]))
    assert caveats(rows, "shirts")[1:] == [
        "trial 3: its seeds differ clearly more than those of the others in accuracy (standard deviation 0.0357), "
        "so its interval is made of them alone"
    ]


def test_failed_seeds_are_told_and_left_out() -> None:
    good, bad = selected(0, 0.8, 10), selected(1, 0.9, 5)
    runs = [trained(good, 8, 0.8), failed(good, 9, "TrialDiverged: no"), trained(good, 10, 0.9), failed(bad, 8, "lost")]
    rows = rows_of([good, bad], runs)
    assert [(row.trial.number, row.state) for row in rows] == [(0, "complete"), (1, "fail")]
    assert rows[0].document()["seeds"] == [8, 10]
    assert rows[0].reason == "seed 9: TrialDiverged: no"
    empty = rows[1].document()
    assert (empty["values"], empty["probability_on_front"], empty["on_front"]) == ({}, None, False)
    assert rows[1].written("accuracy") == "-"
    assert cells(rows[1], OBJECTIVES)[-1] == "-"
    assert knee_of(rows[1:], OBJECTIVES) is None


def test_scores_that_were_too_good_at_selection_are_told() -> None:
    trials = [selected(0, 0.95, 10), selected(1, 0.97, 20), selected(2, 0.99, 30)]
    runs = [
        trained(each, seed, each.values["accuracy"] - 0.05 + (seed - 8) / 1000)
        for each in trials
        for seed in (8, 9, 10)
    ]
    lines = selection_bias(rows_of(trials, runs), OBJECTIVES)
    assert lines[0] == (
        "trial 0: accuracy 0.9500 at selection, 0.9010 ± 0.0014 confirmed: "
        "0.0490 worse than at selection, beyond another seed and other images"
    )
    assert lines[3:] == [
        "3 trials: accuracy 0.0490 worse than at selection on average (± 0.0000): "
        "selection bias, so go by the confirmed figures"
    ]


def test_a_score_at_selection_is_a_single_run_on_other_images() -> None:
    """It is told where it lies beyond both: here by t of 2 degrees of freedom, and Wilson's interval of 360 images."""
    lines = {}
    for accuracy in (0.945, 0.925):
        trial = selected(0, accuracy, 10)
        (row,) = rows_of([trial], [trained(trial, seed, 0.891 + seed / 1000) for seed in (8, 9, 10)])
        assert row.half["accuracy"] == pytest.approx(0.0025, abs=5e-5)
        lines[accuracy] = selection_bias([row], OBJECTIVES)
    assert lines[0.925] == [], "0.0250 away, and one seed and the images of the test split move it by 0.0313"
    assert lines[0.945] == [
        "trial 0: accuracy 0.9450 at selection, 0.9000 ± 0.0025 confirmed: "
        "0.0450 worse than at selection, beyond another seed and other images"
    ]


def test_scores_within_their_intervals_are_no_bias() -> None:
    trials = [selected(0, 0.90, 10), selected(1, 0.92, 20)]
    offsets = {0: (0.02, -0.01), 1: (0.01, -0.03)}
    runs = [trained(t, seed, t.values["accuracy"] + offsets[t.number][seed]) for t in trials for seed in (0, 1)]
    (line,) = selection_bias(rows_of(trials, runs), OBJECTIVES)
    assert line.startswith("2 trials: accuracy 0.0025 worse than at selection on average (± ")
    assert line.endswith("): no selection bias that these trials show")


def test_a_loss_that_rose_is_worse() -> None:
    trials = [replace(selected(n, 0.9, 10), values={"validation_loss": 0.2, "parameters": 10 + n}) for n in (0, 1)]
    objectives: Any = {"validation_loss": "minimize", "parameters": "minimize"}
    runs = [trained(trial, seed, 0.9, loss=0.3 + seed / 100) for trial in trials for seed in (0, 1)]
    runs = [replace(run, values=run.confirmed(objectives)) for run in runs]
    assert runs[0].values == {"validation_loss": 0.3, "parameters": 10}
    *_, mean = selection_bias(confirmed(trials, runs, objectives), objectives)
    assert "validation loss 0.1050 worse than at selection on average" in mean
