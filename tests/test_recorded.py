"""Recorded benchmarks: the table comes back as it was recorded, the surrogate finds the rule behind it."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kansearch.bench.counting import plain_sizes
from kansearch.bench.curves import from_row, to_row
from kansearch.bench.gaussian import GaussianProcess, _Likelihood, fit_kernel
from kansearch.bench.recorded import RecordedProblem
from kansearch.bench.simulator import hypervolume_of, simulate
from kansearch.bench.surrogate import Surrogate, hyperparameters_of, load_surrogate
from kansearch.bench.table import COLUMNS, CURVES, Recording, load_recording
from kansearch.bench.write import read_lines, write_benchmark, write_table
from kansearch.errors import InputError, KansearchError
from kansearch.space import SearchSettings, find_space, load_space, random_config
from tests.benchmarks.record import Earlier, read_earlier
from tests.recordings import LARGEST, NOISE, SPACE, error_at, write_lines
from trials.config import TrialConfig
from trials.measure.sizes import measure

EPOCHS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark `known` of 250 configurations, 30 of them with three seeds, fitted."""
    place = tmp_path_factory.mktemp("recorded")
    write_lines(place / "runs.jsonl", 250, 30, EPOCHS)
    about = write_benchmark("known", [place], place, iterations=25, generations=5)
    assert about == json.loads((place / "known.json").read_text())
    return place


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    return load_recording("known", folder)


@pytest.fixture(scope="module")
def surrogate(recording: Recording) -> Surrogate:
    return load_surrogate(recording)


# -- the table --------------------------------------------------------------------------------------------------------


def test_what_was_recorded_comes_back(tmp_path: Path) -> None:
    rows = write_lines(tmp_path / "runs.jsonl", 12, 3)
    about = write_table("few", *read_lines([tmp_path]), tmp_path)
    assert (about["runs"], about["configurations"], about["repeated"], about["epochs"]) == (18, 12, 3, 4)
    back = load_recording("few", tmp_path)
    assert back.space.study == "fashion-mnist-front" and back.epochs == 4
    ordered = sorted(rows, key=lambda row: (row["index"], row["seed"]))
    for run, row in zip(back.runs, ordered, strict=True):
        for name in ("index", "seed", "state", "reason", "hyperparameters", "config", "parameters", "flops"):
            assert getattr(run, name) == row[name]
        assert run.step_seconds == pytest.approx(row["config"]["data"]["batch_size"] / 1000)
        for name in CURVES:
            np.testing.assert_allclose(run.curves[name], row["curve"][name], rtol=1e-6)


def test_calls_are_joined_a_cut_line_is_skipped_and_a_run_that_failed_once_counts_when_it_is_complete(
    tmp_path: Path,
) -> None:
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows = write_lines(first, 6, 0)
    failed = {**rows[5], "state": "fail", "reason": "lost", "curve": {}}
    lines = first.read_text().splitlines(keepends=True)
    refused = json.dumps({"index": 9, "state": "infeasible", "parameters": 2_000_000}) + "\n"
    first.write_text("".join(lines[:4]) + json.dumps(failed) + "\n" + refused + lines[5][:50])
    write_lines(second, 6, 0, first=3)
    heads, joined = read_lines([first, second])
    assert len(heads) == 2
    assert [(row["index"], row["state"]) for row in joined] == [*((i, "complete") for i in range(6)), (9, "infeasible")]
    assert write_table("joined", heads, joined, tmp_path)["infeasible"] == [9]


def test_later_runs_are_added_to_a_benchmark_as_if_all_had_been_there(tmp_path: Path) -> None:
    write_lines(tmp_path / "all.jsonl", 12, 3)
    whole = write_table("whole", *read_lines([tmp_path / "all.jsonl"]), tmp_path)
    lines = (tmp_path / "all.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "early.jsonl").write_text("".join(lines[:8]) + '{"index": 99, "state": "infeasible"}\n')
    (tmp_path / "late.jsonl").write_text("".join(lines[:1] + lines[8:]))
    write_table("part", *read_lines([tmp_path / "early.jsonl"]), tmp_path)
    added = write_table("part", *read_lines([tmp_path / "part.parquet", tmp_path / "late.jsonl"]), tmp_path)
    assert added["done"] == whole["done"] and added["infeasible"] == [99] and len(added["calls"]) == 2
    for mine, other in zip(*(load_recording(name, tmp_path).runs for name in ("part", "whole")), strict=True):
        assert mine.config == other.config
        np.testing.assert_array_equal(mine.curves["accuracy"], other.curves["accuracy"])
        assert mine.step_seconds == pytest.approx(other.step_seconds)


def test_a_recorder_goes_on_from_a_benchmark(tmp_path: Path) -> None:
    write_lines(tmp_path / "runs.jsonl", 4, 1)
    about = write_table("few", *read_lines([tmp_path]), tmp_path)
    for name in ("few.parquet", "few.json"):
        earlier = read_earlier([tmp_path / name], about)
        assert earlier == Earlier(set(), {0, 1, 2, 3}, {(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (3, 0)})


def test_files_of_two_recordings_are_not_joined(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", 2, 0)
    write_lines(tmp_path / "b.jsonl", 2, 0, sequence_seed=1)
    with pytest.raises(InputError, match=r"b\.jsonl: is of another recording"):
        read_lines([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no lines"):
        read_lines([tmp_path / "empty"])
    with pytest.raises(InputError, match=r"c\.jsonl: cannot be read: No such file"):
        read_lines([tmp_path / "c.jsonl"])


def test_damage_other_versions_and_missing_columns_are_found_and_said_in_one_line(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    write_lines(tmp_path / "runs.jsonl", 3, 0)
    write_table("few", *read_lines([tmp_path]), tmp_path)
    table, about = tmp_path / "few.parquet", json.loads((tmp_path / "few.json").read_text())

    def complaint(data: bytes | None = None, **changed: Any) -> str:
        if data is not None:
            table.write_bytes(data)
        (tmp_path / "few.json").write_text(json.dumps(about | changed))
        with pytest.raises(KansearchError) as raised:
            load_recording("few", tmp_path)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    whole = table.read_bytes()
    assert "has schema 99; this version of kansearch reads schema 1" in complaint(schema=99)
    assert "few.parquet: is damaged: its SHA-256 is" in complaint(whole[:-9] + b"x" + whole[-8:])
    fewer = pyarrow.BufferOutputStream()
    parquet.write_table(parquet.read_table(pyarrow.BufferReader(whole)).drop_columns(["accuracy"]), fewer)
    data = fewer.getvalue().to_pybytes()
    assert "column accuracy is missing, not list<float>" in complaint(data, sha256=hashlib.sha256(data).hexdigest())
    table.unlink()
    assert "few.parquet: cannot be read: No such file" in complaint()
    with pytest.raises(InputError, match="no recorded benchmark is named 'many'; there are: few"):
        load_recording("many", tmp_path)


def test_every_column_has_a_type_that_is_known() -> None:
    assert set(CURVES) < set(COLUMNS)
    assert set(COLUMNS.values()) == {"int32", "int64", "string", "float", "list<float>"}


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [SPACE, "fashion_mnist"])
def test_sizes_by_formula_are_those_of_what_is_built(name: str) -> None:
    space, rng = load_space(find_space(name)), random.Random(0)
    for _ in range(30):
        config = random_config(space, rng)
        counted = plain_sizes(config.model.model_dump(mode="json"), 1, 28, 10)
        assert counted[:2] == tuple(measure(config, ["parameters", "flops"]).values())


@pytest.mark.parametrize("head", ["pool", "flatten"])
@pytest.mark.parametrize(
    "basis",
    [{"name": "relu"}, {"name": "gram"}, {"name": "none"}, {"name": "sine"}, {"name": "rbf", "learnable": True}],
    ids=lambda each: each["name"],
)
def test_what_a_space_may_fix_is_counted_too(basis: dict[str, Any], head: str) -> None:
    fields = itertools.product((True, False), (True, False), (True, False), ("linear", "kan"), (None, 2))
    for bias, affine, normalize_input, classifier, bottleneck in fields:
        model = {"basis": basis, "head": head, "bias": bias, "affine": affine, "normalize_input": normalize_input}
        model |= {"classifier": classifier, "bottleneck": bottleneck, "width": 6, "downsampling": "stride"}
        config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": model})
        counted = plain_sizes(config.model.model_dump(mode="json"), 1, 8, 10)
        assert counted[:2] == tuple(measure(config, ["parameters", "flops"]).values())


def test_a_network_that_the_formula_does_not_know_is_refused() -> None:
    config = random_config(load_space(find_space("bases")), random.Random(0))
    with pytest.raises(InputError, match="without experts"):
        plain_sizes({**config.model.model_dump(mode="json"), "experts": 2}, 1, 8, 10)
    with pytest.raises(InputError, match="of a basis that expands or none"):
        plain_sizes({**config.model.model_dump(mode="json"), "experts": None, "basis": {"name": "rational"}}, 1, 8, 10)


def test_a_recording_of_other_blocks_is_its_own_and_says_so(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", 2, 0)
    early = write_lines(tmp_path / "b.jsonl", 2, 0, blocks=1)
    with pytest.raises(InputError, match=r"b\.jsonl: is of another recording"):
        read_lines([tmp_path])
    lines = (tmp_path / "b.jsonl").read_text().replace('"blocks": 1, ', "")
    (tmp_path / "b.jsonl").write_text(lines)
    assert write_table("early", *read_lines([tmp_path / "b.jsonl"]), tmp_path)["blocks"] == 1
    assert load_recording("early", tmp_path).blocks == 1
    document = early[0]["config"]["model"]
    assert plain_sizes(document, 1, 28, 10, 1) != plain_sizes(document, 1, 28, 10)


# -- the surrogate ----------------------------------------------------------------------------------------------------


def test_the_likelihoods_gradient_is_its_slope() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.random((40, 3)), rng.standard_normal((40, 2))
    start = np.log([2.0, 2.0, 2.0, 0.7, 0.1, 0.1, 0.1])
    likelihood = _Likelihood(x, y, start)
    here = start + 0.3 * rng.standard_normal(7)
    steps = 1e-5 * np.eye(7)
    slopes = [(likelihood(here + step)[0] - likelihood(here - step)[0]) / 2e-5 for step in steps]
    np.testing.assert_allclose(likelihood(here)[1], slopes, rtol=1e-5, atol=1e-6)


def test_a_gaussian_process_finds_a_function_and_what_it_does_not_depend_on() -> None:
    rng = np.random.default_rng(1)

    def function(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.stack([np.sin(5 * x[:, 0]), x[:, 1] ** 2], axis=1)

    x, unseen = rng.random((80, 3)), rng.random((200, 3))
    kernel = fit_kernel(x, function(x) + 0.02 * rng.standard_normal((80, 2)))
    assert kernel.lengths[2] > 2 * kernel.lengths[:2].max()
    error = GaussianProcess(x, function(x), kernel)(unseen) - function(unseen)
    assert np.sqrt((error**2).mean()) < 0.02


def test_the_surrogate_predicts_configurations_that_it_did_not_see(recording: Recording, surrogate: Surrogate) -> None:
    held_out = recording.about["surrogate"]["held_out"]
    assert held_out["configurations"] == 50
    assert held_out["log_error_explained"] > 0.9 and held_out["rank_correlation"] > 0.95
    assert held_out["accuracy_mean_error"] < held_out["accuracy_mean_error_of_the_mean"] / 3
    rng, errors = random.Random(5), []
    for _ in range(60):
        config = random_config(recording.space, rng).model_dump(mode="json")
        curve = surrogate.curve(hyperparameters_of(recording, config), config)
        assert [result["epoch"] for result in curve] == [1, 2, 3, 4]
        assert curve[0]["parameters"] == surrogate.sizes(config).parameters
        true = error_at(hyperparameters_of(recording, config), curve[0]["parameters"], 4)
        errors.append(math.log((1 - curve[-1]["accuracy"]) / true))
        assert curve[0]["seconds"] == pytest.approx(curve[0]["flops"] ** 0.3 / 50, rel=0.1)
    assert np.std(errors) < 0.2


def test_errors_are_bent_to_a_floor_under_the_best_that_was_recorded(
    recording: Recording, surrogate: Surrogate
) -> None:
    best = min(1 - run.curves["accuracy"][-1] for run in recording.runs if (run.parameters or 0) <= 20_000)
    errors = np.array([best / 10, best / 2, 0.85 * best, best, 2 * best, 0.8])
    rows = np.log(np.repeat(errors[:, None], 3 * EPOCHS, axis=1))
    bent = np.exp(surrogate.bounded(rows, np.full(len(errors), 20_000.0)))
    last = bent[:, EPOCHS - 1]
    assert list(last) == sorted(last), "what was better stays better"
    assert last[0] == pytest.approx(0.85 * best, rel=0.1) and last[0] >= 0.8 * best
    np.testing.assert_allclose(last[4:], errors[4:], rtol=0.01)
    np.testing.assert_allclose(bent[:, 0] / errors, last / errors, rtol=1e-9)
    np.testing.assert_allclose(bent[:, EPOCHS:], np.exp(rows[:, EPOCHS:]))


def test_a_recorded_configuration_has_the_mean_of_its_seeds(recording: Recording, surrogate: Surrogate) -> None:
    runs = [run for run in recording.runs if run.index == 3]
    assert len(runs) == 3
    curve = surrogate.curve(runs[0].hyperparameters, runs[0].config)
    errors = np.stack([1 - run.curves["accuracy"] for run in runs])
    np.testing.assert_allclose([1 - result["accuracy"] for result in curve], np.exp(np.log(errors).mean(0)), rtol=1e-6)


def test_noise_is_that_between_seeds_and_drawn_from_the_generator_alone(
    recording: Recording, surrogate: Surrogate
) -> None:
    run = recording.runs[40]
    true = 1 - surrogate.curve(run.hyperparameters, run.config)[-1]["accuracy"]
    rng = np.random.default_rng(0)
    seen = [1 - surrogate.curve(run.hyperparameters, run.config, rng)[-1]["accuracy"] for _ in range(300)]
    away = np.log(seen) - math.log(true)
    assert abs(away.mean()) < NOISE / 3 and NOISE / 2 < away.std() < 2 * NOISE
    one, same = (surrogate.curve(run.hyperparameters, run.config, np.random.default_rng(7)) for _ in range(2))
    assert one == same


def test_a_run_that_diverged_guesses_from_there_on(recording: Recording) -> None:
    run = recording.runs[0]
    before = {name: values[:2] for name, values in run.curves.items()}
    lost = replace(run, state="fail", reason="TrialDiverged: training loss is nan in epoch 3", curves=before)
    curves = from_row(to_row(lost, EPOCHS, 10))
    np.testing.assert_allclose(curves["accuracy"], [*run.curves["accuracy"][:2], 0.1, 0.1])
    assert curves["validation_loss"][-1] == pytest.approx(math.log(10))


def test_the_known_front_is_beyond_every_recorded_configuration(folder: Path, recording: Recording) -> None:
    front = RecordedProblem("known", folder).front(True)
    best = hypervolume_of(front)
    recorded = [{"accuracy": run.curves["accuracy"][-1], "parameters": run.parameters or 0} for run in recording.runs]
    assert best > hypervolume_of([{"accuracy": 0.99 * p["accuracy"], "parameters": p["parameters"]} for p in recorded])
    sizes = [point["parameters"] for point in front]
    assert sizes == sorted(sizes) and max(sizes) <= LARGEST
    accuracies = [point["accuracy"] for point in front]
    assert accuracies == sorted(accuracies)


# -- searches on it ---------------------------------------------------------------------------------------------------


def settings(**more: Any) -> SearchSettings:
    return SearchSettings.model_validate({"sampler": "random", "scheduler": "none", "trials": 60, **more})


def test_a_search_sees_noise_and_is_judged_without(folder: Path, recording: Recording, surrogate: Surrogate) -> None:
    run = simulate(RecordedProblem("known", folder), settings(), 1e9)
    complete = [record for record in run.records if record.state == "complete"]
    true = []
    for record in complete:
        last = surrogate.curve(hyperparameters_of(recording, config := record.stored.document), config)[-1]
        assert record.values["accuracy"] != last["accuracy"]
        assert record.values["parameters"] == last["parameters"]
        true.append({"accuracy": last["accuracy"], "parameters": last["parameters"]})
    assert run.hypervolumes[-1] == pytest.approx(hypervolume_of(true))


def test_a_network_above_the_bound_is_refused_without_being_built(folder: Path) -> None:
    run = simulate(RecordedProblem("known", folder), settings(trials=60), 1e9)
    refused = [record for record in run.records if record.state == "infeasible"]
    assert refused and all("parameters" in (record.reason or "") and not record.curve for record in refused)


def test_halving_stops_trials_and_gets_further_in_the_same_time(folder: Path) -> None:
    problem = RecordedProblem("known", folder)
    seconds = problem.device_seconds(0.0) / 4
    assert seconds > 0
    unlimited = {"trials": 10_000}
    full, halved = (
        [simulate(problem, settings(seed=seed, scheduler=scheduler, **unlimited), seconds) for seed in range(4)]
        for scheduler in ("none", "halving")
    )
    assert sum(run.hypervolumes[-1] for run in halved) > sum(run.hypervolumes[-1] for run in full)
    assert all(len(quick.records) > len(slow.records) for quick, slow in zip(halved, full, strict=True))


def test_a_copy_of_the_files_elsewhere_is_the_same_benchmark(folder: Path, tmp_path: Path) -> None:
    for name in ("known.json", "known.parquet"):
        shutil.copy(folder / name, tmp_path)
    here, there = (simulate(RecordedProblem("known", place), settings(trials=5), 1e9) for place in (folder, tmp_path))
    assert here == there
