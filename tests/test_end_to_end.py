"""The main job by commands alone: search, look, export, retrain; on digits, and on real Fashion-MNIST images."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from kansearch.space import load_config
from tests.helpers import succeed, trials
from tests.support.commands import answer
from trials.data.files import DataMissingError, locate

SPACE = """
study: digits
data: {dataset: digits, validation: 0.2, batch_size: 32}
model:
  depth: 2
  width: {int: [6, 10]}
  basis: {choice: [none, {name: gram, degree: 3}, {name: bspline, grid_size: {int: [3, 5]}}]}
optimizer: {choice: [{name: adamw, lr: 0.01}, {name: lion, lr: 0.002}]}
epochs: 5
search: {scheduler: none, trials: 5, seed: 0}
"""


def dominated(entry: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    mine = entry["values"]
    return any(
        other["values"]["accuracy"] >= mine["accuracy"]
        and other["values"]["parameters"] <= mine["parameters"]
        and other["values"] != mine
        for other in others
    )


@pytest.mark.slow
def test_from_a_yaml_file_to_a_retrained_model(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(SPACE)
    succeed("launch", "digits.yaml", cwd=tmp_path)
    records = trials("digits", tmp_path)
    assert {record["state"] for record in records} == {"complete"}

    front = json.loads(succeed("front", "digits", "--json", "--plot", "front.svg", cwd=tmp_path))
    assert {entry["number"] for entry in front} == {r["number"] for r in records if not dominated(r, records)}
    assert "<svg" in (tmp_path / "front.svg").read_text()
    report = (tmp_path / "studies/digits/report.html").read_text()
    assert "5 of 5 trials have finished (5 complete)" in report
    assert "trials at once" in report, "on what it ran is noted"
    best = max(record["values"]["accuracy"] for record in records)
    assert best > 0.9, "digits are easy"

    succeed("export", "digits", "--pick", "best", "-o", "best.yaml", cwd=tmp_path)
    (chosen,) = [entry for entry in front if entry["values"]["accuracy"] == best]
    assert load_config(tmp_path / "best.yaml").model_dump(mode="json") == chosen["config"]

    succeed("retrain", "best.yaml", "--epochs", "8", "-o", "model", cwd=tmp_path)
    metrics = json.loads((tmp_path / "model/metrics.json").read_text())
    assert metrics["split"] == "test"
    assert metrics["epochs"] == 8
    assert metrics["parameters"] == chosen["values"]["parameters"]
    assert metrics["accuracy"] > 0.9
    assert (tmp_path / "model/seed-0/model.safetensors").stat().st_size > 4 * metrics["parameters"]


def test_a_slice_of_fashion_mnist(tmp_path: Path) -> None:
    try:
        files = locate("fashion_mnist", download=False)
    except DataMissingError as error:
        pytest.skip(str(error))
    assert files is not None
    copies = tmp_path / "data"  # found through --data-dir, by name or as torchvision lays them out
    shutil.copytree(files, copies / "FashionMNIST" / "raw")
    settings = ("--set", "data.limit=2000", "--set", "model.depth={int: [2, 3]}", "--set", "model.width={int: [4, 8]}")
    fast = ("--set", "optimizer={name: adamw, lr: 0.005}", "--trials", "3", "--epochs", "2", "--max-concurrent", "1")
    settings += ("--set", "search.scheduler=none")
    answer("launch", "fashion_mnist", *settings, *fast, "--data-dir", str(copies), cwd=tmp_path)
    records = trials("fashion-mnist", tmp_path)
    assert [record["state"] for record in records] == ["complete"] * 3
    assert max(record["values"]["accuracy"] for record in records) > 0.4, "ten classes: chance is 0.1"
    answer("export", "fashion-mnist", "-o", "knee.yaml", cwd=tmp_path)
    answer("retrain", "knee.yaml", "--epochs", "1", "-o", "model", "--data-dir", str(copies), cwd=tmp_path)
    metrics = json.loads((tmp_path / "model/metrics.json").read_text())
    assert metrics["images"] == 10_000, "the whole test split"
    assert math.isfinite(metrics["loss"])
