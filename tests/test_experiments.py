"""The scripts of the experiments: what they train follows from their records, and their tables are the records'."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks import factorial, parity
from tests.benchmarks.experiment import Records
from tests.benchmarks.side_by_side import Order
from trials.config import TrialConfig
from trials.measure.sizes import count_parameters
from trials.presets import PRESETS

PARITY = Namespace(
    networks=parity.NETWORKS, pixels="symmetric", batch_size=64, schedule="constant", epochs=None, limit=None,
    dataset="fashion_mnist",
)  # fmt: skip


def design(name: str, **changes: Any) -> Namespace:
    given = {"networks": None, "weights": None, "seeds": None, "dataset": "fashion_mnist", "limit": None}
    return Namespace(design=name, **{**given, "epochs": None, **changes})


def note(records: Records, order: Order, accuracy: float, **more: Any) -> None:
    """The row of an order that ended with this accuracy, a tenth lower after the first epoch."""
    curve = {"accuracy": [accuracy - 0.1, accuracy]}
    tested = {"test_accuracy": [accuracy, accuracy - 0.001]} if order.test else {}
    row = {"labels": dict(order.labels), "state": "complete", "curve": curve, "parameters": 1234}
    records.add({**row, **tested, **more})


# -- parity ----------------------------------------------------------------------------------------------------------


def test_parity_is_of_the_eighteen_published_networks_as_they_were_published() -> None:
    assert len(parity.NETWORKS) == 18
    orders = parity.orders(PARITY, Records([]))
    assert len(orders) == 18 * 3 and not any(order.test for order in orders)
    assert len({order.key for order in orders}) == len(orders)
    for order in orders:
        config = TrialConfig.model_validate(order.config)
        assert config.model == PRESETS[order.labels["network"]].config
        assert (config.data.pixels, config.epochs, config.seed) == ("symmetric", 20, 0)


def test_the_seeds_follow_the_learning_rate_that_validation_chose() -> None:
    records = Records([])
    for order in parity.orders(PARITY, records):
        if order.labels["network"] == "kkan-small-gs10":
            note(records, order, {1e-4: 0.85, 5e-4: 0.88, 1e-3: 0.86}[order.labels["lr"]])
    seeds = [order for order in parity.orders(PARITY, records) if order.test]
    assert [order.labels["seed"] for order in seeds] == [1, 2, 3, 4, 5]
    assert {(order.labels["network"], order.labels["lr"]) for order in seeds} == {("kkan-small-gs10", 5e-4)}
    other = Namespace(**{**vars(PARITY), "pixels": "standard"})
    assert not any(order.test for order in parity.orders(other, records)), "another protocol has its own runs"


def test_the_table_of_parity_states_the_prediction_interval_and_the_verdict() -> None:
    records = Records([])
    for _ in range(2):
        for order in parity.orders(PARITY, records):
            shift = {"kkan-small-gs10": 0.02}.get(order.labels["network"], 0.001)
            note(
                records,
                order,
                PRESETS[order.labels["network"]].published["accuracy"] + shift + order.labels["seed"] / 1000,
            )
    table = parity.table(PARITY, records).splitlines()
    half = stats.t.ppf(0.975, 72) * np.std([0.1, 0.2, 0.3, 0.4, 0.5], ddof=1) * np.sqrt(1.2)
    assert "72 degrees of freedom: 0.158 points" in table[-3] and f"mean ± {half:.2f} points" in table[-3]
    assert "17 of 18 published values lie in theirs" in table[-3]
    (kkan,) = [line for line in table if line.startswith("| kkan-small-gs10 |")]
    assert "| 88.01 | 90.21 | +2.20 | no |" in kkan and kkan.endswith("| 90.31 |")
    assert table[-2].endswith(f"{(17 * 0.3 + 2.2) / 18:+.2f} points.") and "more than 0.3" in table[-1]
    some = Namespace(**{**vars(PARITY), "networks": ["cnn-big"]})
    assert "not decided yet" in parity.table(some, records)


# -- the factorial ---------------------------------------------------------------------------------------------------


def test_the_factorial_compares_networks_of_about_the_same_size() -> None:
    cells = factorial.cells(design("factorial"))
    assert all(abs(cell.parameters / 6000 - 1) < 0.15 for cell in cells)
    assert {cell.depth for cell in cells} == {2, 4, 8}
    assert {cell.weights for cell in cells if cell.network.plain} == {"default"}
    assert {"half", "power_law"} <= {cell.weights for cell in cells if cell.network.name == "gram(3)"}
    models = [{**cell.config["model"]} for cell in cells]
    own = ("basis", "width", "depth", "init", "basis_share")
    assert len({json.dumps({k: v for k, v in model.items() if k not in own}) for model in models}) == 1
    cell = cells[-1]
    assert cell.parameters == count_parameters(TrialConfig.model_validate(cell.config))


def test_what_cannot_be_configured_is_left_out_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    given, told = design("deep", networks=["gram(1)"]), list[str]()
    monkeypatch.setitem(factorial.WEIGHTS, "default", {"basis_share": "much"})
    assert factorial.cells(given, told) == []
    assert "left out: gram(1), weights default: " in told[0] and "basis_share" in told[0]


def test_a_cell_is_the_mean_of_its_seeds_at_its_best_learning_rate() -> None:
    given = design("small", networks=["gram(1)", "plain"])
    cells, records = factorial.cells(given), Records([])
    orders = factorial.orders(given, cells)
    assert len(orders) == 2 * 2 * 5
    for order in orders:
        base = 0.9 if order.labels["network"] == "gram(1)" else 0.91
        base -= 0.05 if order.labels["lr"] == 6e-3 else 0
        note(records, order, base + [0, 1, 2, 3, 4][order.labels["seed"]] / 1000)
    table = factorial.table(given, cells, records)
    assert "| gram(1) | default | 6,9" in table.splitlines()[2]
    assert table.splitlines()[2].endswith("| 0.018 | 0.802 | 0.9020 | 0.9162 | -1.00 ± 0.00 |")
    assert "8 degrees of freedom: 0.16 points" in table and "Unfinished" not in table
    records.rows.popitem()
    assert "Unfinished, decides nothing: 19 of 20 runs." in factorial.table(given, cells, records)


def test_the_factorial_tells_which_first_weights_are_best_over_the_depths() -> None:
    given = design("factorial", networks=["gram(1)"], weights=["half", "power_law"], seeds=2)
    cells, records = factorial.cells(given), Records([])
    for order in factorial.orders(given, cells):
        note(records, order, 0.9 + 0.01 * (order.labels["weights"] == "half") - 0.001 * order.labels["depth"])
    table = factorial.table(given, cells, records)
    assert "gram(1): half 0.9053 (0.805), power_law 0.8953 (0.795); best: half" in table


# -- the whole of it --------------------------------------------------------------------------------------------------


def test_experiments_are_run_in_processes_and_gone_on_with_from_their_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--device", "cpu", "--workers", "1", "--dataset", "digits", "--limit", "150", "--epochs", "2"]
    deep = [str(tmp_path / "deep"), "--design", "deep", "--networks", "gram(1)", "plain", "--seeds", "1", *tiny]
    factorial.main(deep)
    assert "2 runs done here" in (told := capsys.readouterr().out) and "| plain | default | 12,96" in told
    factorial.main(deep)
    assert "done here" not in (again := capsys.readouterr().out), "nothing is left to train"
    assert told.splitlines()[-4:] == again.splitlines()[-4:]

    published = [str(tmp_path / "parity"), "--networks", "kanc-mlp-small-gs10", *tiny]
    parity.main(published)
    (file,) = (tmp_path / "parity").glob("*.jsonl")
    header, *rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert header["workers"] == 1 and "mps" in header
    assert [len(row.get("test_accuracy", ())) for row in rows] == [0, 0, 0, 2, 2, 2, 2, 2]
    assert all(row["state"] == "complete" and row["config"]["data"]["pixels"] == "symmetric" for row in rows)
    assert all(0 <= row["test_accuracy"][-1] <= 1 for row in rows[3:]) and rows[4] != rows[3]
    capsys.readouterr()
    parity.main([*published, "--table"])
    assert "| kanc-mlp-small-gs10 | " in capsys.readouterr().out
    assert len(list((tmp_path / "parity").glob("*.jsonl"))) == 1, "a table alone trains nothing"
