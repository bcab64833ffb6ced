"""The recorder of learning curves: which configurations, in which order, and that a stopped one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from io import StringIO
from pathlib import Path
from random import Random

import pytest

from kansearch.space import RandomSuggest, find_space, load_space, parse_space
from kansearch.space.unit import UnitSuggest, coordinate
from tests.benchmarks.draws import Sequence, order
from tests.benchmarks.record import Earlier, Plan, read_earlier
from trials.measure.sizes import count_parameters

ROOT = Path(__file__).parents[1]
SPACE = """
study: small
data: {dataset: digits, limit: 200, validation: 0.2, batch_size: {choice: [40, 80]}}
model:
  depth: {int: [1, 3]}
  width: {int: [2, 20], log: true}
  basis: {choice: [none, {name: rbf, grid_size: {int: [3, 9], step: 3}}]}
  dropout: {float: [0.0, 0.3], step: 0.1}
optimizer: {name: adamw, lr: {float: [1e-3, 1e-1], log: true}, weight_decay: {float: [0.0, 0.1]}}
epochs: 1
constraints: {parameters: 8000}
"""


# -- coordinates ------------------------------------------------------------------------------------------------------


def test_a_values_coordinate_gives_the_value_again() -> None:
    space, rng = load_space(find_space("bases")), Random(0)
    known = space.hyperparameters()
    for _ in range(30):
        noting = UnitSuggest({name: rng.random() for name in known})
        config = space.sample(noting)
        where = {name: coordinate(known[name], value) for name, value in noting.asked.items()}
        assert all(0 <= each <= 1 for each in where.values())
        again = UnitSuggest(where)
        assert space.sample(again).model.basis.name == config.model.basis.name
        assert again.asked == pytest.approx(noting.asked)


def test_values_share_the_interval_as_random_draws_do() -> None:
    space = parse_space(SPACE, "small.yaml")
    count, rng = 20_000, Random(1)
    even, random = {}, {}
    for k in range(count):
        for where, suggest in ((even, UnitSuggest({"w": (k + 0.5) / count})), (random, RandomSuggest(rng))):
            value = suggest.integer("w", 2, 20, True, 1)
            where[value] = where.get(value, 0) + 1 / count
    assert even.keys() == random.keys() == set(range(2, 21))
    assert all(even[value] == pytest.approx(random[value], abs=0.01) for value in even)
    asked = UnitSuggest(dict.fromkeys(space.hyperparameters(), 1.0))
    space.sample(asked)
    assert asked.asked["model.width"] == 20 and asked.asked["model.basis.rbf.grid_size"] == 9
    assert asked.asked["optimizer.weight_decay"] == 0.1 and asked.asked["model.dropout"] == pytest.approx(0.3)


# -- the sequence and its order ---------------------------------------------------------------------------------------


def test_the_sequence_is_its_seeds_and_covers_every_branch_evenly() -> None:
    space = parse_space(SPACE, "small.yaml")
    one, same, other = Sequence(space, 0), Sequence(space, 0), Sequence(space, 1)
    assert same.at(1500) == one.at(1500) and same.at(3) == one.at(3), "whichever is asked for first"
    assert other.at(3) != one.at(3)
    drawn = [one.at(index).hyperparameters for index in range(64)]
    assert sum(each["model.basis"] == "rbf" for each in drawn) == 32
    assert {each["model.depth"] for each in drawn} == {1, 2, 3}


def test_whatever_is_done_is_the_first_part_and_repeats_are_spread() -> None:
    runs = list(order(20, 5, 3))
    assert len(runs) == len(set(runs)) == 20 + 2 * 5
    assert [number for number, seed in runs if seed == 0] == list(range(20))
    for stop in range(len(runs) + 1):
        done = runs[:stop]
        first = sum(seed == 0 for _, seed in done)
        repeated = {number for number, seed in done if seed}
        assert repeated <= set(range(first)) and abs(len(repeated) - first / 4) <= 1
    assert list(order(2, 2, 2)) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert list(order(2, 0, 3)) == [(0, 0), (1, 0)]


def test_a_configuration_outside_of_the_bounds_takes_no_run_and_is_noted_once() -> None:
    space = parse_space(SPACE, "small.yaml")
    given = Namespace(sequence_seed=0, least=200, configurations=12, repeated=0, seeds=3)
    output = StringIO()
    runs = list(Plan(space, given, Earlier(), output).runs())
    assert all(200 <= count_parameters(run.draw.config) <= 8000 for run in runs) and len(runs) == 12
    noted = [json.loads(line) for line in output.getvalue().splitlines()]
    assert noted and all(not 200 <= row["parameters"] <= 8000 for row in noted)
    assert sorted([row["index"] for row in noted] + [run.draw.index for run in runs]) == list(range(12 + len(noted)))
    again = StringIO()
    known = Earlier({row["index"] for row in noted}, {run.draw.index for run in runs}, {(runs[0].draw.index, 0)})
    assert list(Plan(space, given, known, again).runs()) == runs[1:]
    assert again.getvalue() == ""


def test_lines_of_another_recording_are_refused_and_a_cut_one_is_run_again(tmp_path: Path) -> None:
    header = {"space": "a", "overrides": [], "sequence_seed": 0}
    rows = [{"index": 0, "seed": 0, "state": "complete"}, {"index": 1, "state": "infeasible"}, {"index": 2, "seed": 0}]
    lines = "".join(json.dumps(each) + "\n" for each in (header, *rows))
    (tmp_path / "runs.jsonl").write_text(lines[:-5])
    assert read_earlier([tmp_path], header) == Earlier({1}, {0}, {(0, 0)})
    with pytest.raises(SystemExit, match="another sequence_seed"):
        read_earlier([tmp_path / "runs.jsonl"], {**header, "sequence_seed": 1})


# -- the whole of it --------------------------------------------------------------------------------------------------


def record(folder: Path, *options: str) -> str:
    space = folder / "small.yaml"
    space.write_text(SPACE)
    words = ["-m", "tests.benchmarks.record", str(folder / "out"), "--space", str(space), "--epochs", "1"]
    more = ["--configurations", "4", "--repeated", "1", "--seeds", "2", "--workers", "1", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *words, *more, "--least", "1", *options],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


@pytest.mark.slow
def test_every_run_is_done_once_and_what_hangs_is_a_line_with_its_reason(tmp_path: Path) -> None:
    told = record(tmp_path, "--run-limit", "0")
    (first,) = (tmp_path / "out").glob("*.jsonl")
    rows = [json.loads(line) for line in first.read_text().splitlines()[1:]]
    runs = [row for row in rows if row["state"] != "infeasible"]
    assert {row["reason"] for row in runs if row["state"] == "fail"} <= {"not done after 0 s"}
    assert "5 of 5 runs done" in told
    kept = [line for line in first.read_text().splitlines(keepends=True) if '"fail"' not in line]
    first.write_text("".join(kept))

    record(tmp_path)
    rows = [json.loads(line) for file in (tmp_path / "out").glob("*.jsonl") for line in file.read_text().splitlines()]
    runs = [row for row in rows if row.get("state") in ("complete", "fail")]
    assert sorted((row["number"], row["seed"]) for row in runs) == [(0, 0), (0, 1), (1, 0), (2, 0), (3, 0)]
    for row in runs:
        assert row["state"] == "complete" and len(row["curve"]["accuracy"]) == 1 and row["wall_seconds"] > 0
        assert row["config"]["seed"] == row["seed"]
    told = record(tmp_path)
    assert "5 of 5 runs done, 0 failed here" in told
