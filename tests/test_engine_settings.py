"""What real searches, with Ray, do with the settings of the engine: determinism, warm starts, budgets."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, run, start, succeed, trials
from tests.test_engine import assert_mlflow_agrees, workers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

VARIABLE = {"seconds", "images_per_second", "peak_memory_mib"}


def delay_workers(driver: subprocess.Popen[str], seed: int) -> None:
    """Stop a worker for a while, then another, until the driver ends."""
    rng = random.Random(seed)
    while driver.poll() is None:
        victims = list(workers(driver.pid))
        if victims:
            halt(rng.choice(victims), rng.uniform(0.2, 1.0))
        time.sleep(rng.uniform(0.2, 1.5))


def halt(worker: int, seconds: float) -> None:
    try:
        os.kill(worker, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(worker, signal.SIGCONT)
    except ProcessLookupError:
        return  # it ended meanwhile


def table(study: str, folder: Path) -> list[dict[str, Any]]:
    """The trials, without what a clock measured."""
    rows = trials(study, folder)
    for row in rows:
        del row["seconds"]
        row["metrics"] = {name: value for name, value in row["metrics"].items() if name not in VARIABLE}
    return rows


@pytest.mark.slow
def test_two_deterministic_searches_with_other_delays_have_the_same_trials(tmp_path: Path) -> None:
    settings = "sampler: tpe, trials: 14, startup_trials: 4"
    text = SMALL_SPACE.replace("sampler: random, scheduler: none, trials: 6", settings).replace(
        "epochs: 2", "epochs: 8"
    )
    (tmp_path / "small.yaml").write_text(text)
    succeed("launch", "small.yaml", "--deterministic", "--study", "first", cwd=tmp_path)
    driver = start("launch", "small.yaml", "--deterministic", "--study", "second", cwd=tmp_path)
    delay_workers(driver, seed=1)
    _, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    first = table("first", tmp_path)
    assert table("second", tmp_path) == first
    assert {row["state"] for row in first} == {"complete", "pruned"}


@pytest.mark.slow
def test_a_study_begins_with_what_was_chosen_and_what_another_found(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    succeed("launch", "small.yaml", cwd=tmp_path)
    front = json.loads(succeed("front", "small", "--json", cwd=tmp_path))
    settings = ("--study", "next", "--set", "search.sampler=tpe", "--trials", str(len(front) + 1))
    chosen = ("--set", "enqueue=[{model: {width: 5, basis: none}}]")
    output = succeed("launch", "small.yaml", "--from", "small", *settings, *chosen, cwd=tmp_path)
    assert f"from study small: 6 results known, {len(front)} configurations to try first" in output
    records = trials("next", tmp_path)
    assert (records[0]["config"]["model"]["width"], records[0]["config"]["model"]["basis"]["name"]) == (5, "none")
    assert [row["config"] for row in records[1:]] == [row["config"] for row in front]
    assert [row["values"] for row in records[1:]] == [row["values"] for row in front], "trained again, the same numbers"
    assert_mlflow_agrees(tmp_path, "next")

    other = run("launch", "small.yaml", "--from", "small", "--study", "n2", "--set", "model.depth=2", cwd=tmp_path)
    assert other.returncode == 2
    assert "study 'small' has nothing for this one: " in other.stderr
    assert "model.depth" in other.stderr
    nobody = run("launch", "small.yaml", "--from", "nobody", "--study", "n3", cwd=tmp_path)
    assert nobody.returncode == 2 and "no study 'nobody'" in nobody.stderr
    assert not (tmp_path / "studies/n2").exists() and not (tmp_path / "studies/n3").exists()


@pytest.mark.slow
def test_a_budget_of_epochs_ends_a_search_and_stays_ended(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE.replace("epochs: 2", "epochs: 5"))
    settings = ("--set", "search.epochs_budget=12", "--trials", "100")
    succeed("launch", "small.yaml", *settings, cwd=tmp_path)
    records = Study.open(tmp_path / "studies", "small").records()
    assert 12 <= sum(record.epochs for record in records) <= 14, "workers may be an epoch ahead"
    assert {record.state for record in records} == {"complete", "running"}, "what ran is left to be resumed"
    assert_mlflow_agrees(tmp_path, "small")
    succeed("resume", "small", cwd=tmp_path)
    assert len(trials("small", tmp_path)) == len(records)
