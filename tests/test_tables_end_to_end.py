"""A newcomer's way by commands alone: a CSV of his own, a search, a model, and a CSV of predictions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from kansearch.space import load_config
from tests.helpers import run, succeed
from tests.test_tables import write_table

SPACE = """
study: pay
data: {dataset: table, file: pay.csv, target: pay, batch_size: {choice: [16, all]}}
model:
  family: mlp
  depth: 1
  width: {int: [1, 3]}
  basis: {choice: [{name: gram, degree: 2}, none]}
optimizer: {choice: [{name: adamw, lr: 0.03}, {name: adamw_lbfgs, lr: 0.03}]}
epochs: 3
search: {sampler: random, scheduler: none, trials: 3, seed: 1}
"""


def test_from_a_csv_to_its_predictions(tmp_path: Path) -> None:
    write_table(tmp_path / "pay.csv", 80)
    (tmp_path / "pay.yaml").write_text(SPACE)
    told = succeed("launch", "pay.yaml", cwd=tmp_path)
    assert "nrmse" in told and "3/3" in told

    front = json.loads(succeed("front", "pay", "--json", "--plot", "front.svg", cwd=tmp_path))
    assert all(set(entry["values"]) == {"nrmse", "parameters"} for entry in front)
    best = min(entry["values"]["nrmse"] for entry in front)
    report = (tmp_path / "studies/pay/report.html").read_text()
    assert "validation RMSE / standard deviation of the target" in report

    succeed("export", "pay", "--pick", "best", "-o", "best.yaml", cwd=tmp_path)
    (chosen,) = [entry for entry in front if entry["values"]["nrmse"] == best]
    assert load_config(tmp_path / "best.yaml").model_dump(mode="json") == chosen["config"]
    refused = run("export", "pay", "--min-accuracy", "0.5", "-o", "other.yaml", cwd=tmp_path)
    assert refused.returncode == 2 and "predict numbers, and have no accuracy" in refused.stderr

    assert "nRMSE" in succeed("retrain", "best.yaml", "-o", "model", cwd=tmp_path)
    (tmp_path / "new.csv").write_text("age,city\n40,Rome\n52.5,Oslo\n")
    told = succeed("predict", "model", "new.csv", "-o", "said.csv", cwd=tmp_path)
    assert told == "2 rows written to said.csv\n"
    rows = list(csv.DictReader((tmp_path / "said.csv").read_text().splitlines()))
    assert [list(row) for row in rows] == [["age", "city", "predicted_pay"]] * 2
    printed = json.loads(succeed("predict", "model", "new.csv", "--json", cwd=tmp_path))
    assert [row["predicted_pay"] for row in printed] == [float(row["predicted_pay"]) for row in rows]
    over = run("predict", "model", "new.csv", "-o", "new.csv", cwd=tmp_path)
    assert over.returncode == 2 and "would be written over" in over.stderr


@pytest.mark.slow
@pytest.mark.parametrize("space", ["table", "special", "feynman"])
def test_the_shipped_spaces_are_searched(space: str, tmp_path: Path) -> None:
    settings = ["--set", "epochs=3", "--set", "search.scheduler=none", "--set", "search.trials=4"]
    succeed("launch", space, *settings, cwd=tmp_path)
    found = json.loads(succeed("front", space, "--json", cwd=tmp_path))
    assert found and all(0 < entry["values"]["nrmse"] < 10 for entry in found)
    succeed("confirm", space, "--seeds", "1", "--picks", "best", cwd=tmp_path)
