"""Each metric has one complete record, trials measure it, and no other table names it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from kansearch.space import ConstraintName, ObjectiveName
from kansearch.study.records import TrialRecord
from tests.helpers import ROOT
from trials.config import TrialConfig
from trials.measure.regression import SCORES
from trials.measure.scores import PIXEL_SCORES, SAMPLE_SCORES
from trials.measure.sizes import COUNTS, SIZES, count_sizes, measure
from trials.metrics import EXACT, METRICS, ON_TEST, ON_VALIDATION, TEST_PREFIX, is_dense, main_metric
from trials.results import EPOCH_FIELDS, EpochResult
from trials.training import evaluate, run_trial

CONFIG = TrialConfig.model_validate(
    {
        "data": {"dataset": "digits", "limit": 200, "validation": 0.25, "batch_size": 32},
        "model": {"depth": 1, "width": 4, "basis": {"name": "rbf", "grid_size": 3}},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "epochs": 1,
    }
)

TABLES = {
    "trials/metrics.py": "the table",
    "trials/measure/scores.py": "how scores are computed",
    "trials/measure/regression.py": "how scores of numbers are computed",
    "trials/measure/sizes.py": "how sizes are counted",
    "trials/measure/quality.py": "figures of the test split, most of which are no metrics",
    "trials/training/loop.py": "what an epoch measures",
    "kansearch/space/settings.py": "the default objectives",
    "kansearch/console.py": "published figures of presets",
    "kansearch/report/data.py": "published figures of presets",
    "kansearch/models/compress.py": "steps of a compression",
    "kansearch/study/verdict.py": "keys of its document",
    **{f"trials/presets/{name}.py": "published figures" for name in ("alexnet", "deep", "kanc", "simple")},
}
"""Files where a display may name two metrics or more, and why."""


@pytest.fixture(scope="module", name="trained")
def trained_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[EpochResult, dict[str, object]]:
    """The only epoch of a trial, and its figures on the test split."""
    checkpoint = tmp_path_factory.mktemp("trial") / "checkpoint.pt"
    (result,) = run_trial(CONFIG, device="cpu", checkpoint=checkpoint)
    return result, evaluate(CONFIG, checkpoint, device="cpu")


# -- records ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
def test_a_record_is_complete(name: str) -> None:
    record = METRICS[name]
    assert record.meaning.endswith(".") and record.label and record.short
    assert len(record.short) <= len(record.label)
    best, worst = (1.0, 0.0) if record.share else (0.01, 1e6)
    if record.maximize and not record.share:
        best, worst = worst, best
    assert 0 <= record.cost(best) < record.cost(worst), "its cost grows as it gets worse"
    assert (record.on_test is None) == (record.test_label is None)
    assert record.on_test is None or (record.on_test.startswith(TEST_PREFIX) and record.per_epoch)
    assert record.size >= record.exact, "what is exact is a size"
    assert not (record.exact and (record.varies or record.per_epoch))
    assert not record.counted or record.share
    assert not record.per_pixel or record.on_test


def test_labels_tell_metrics_apart() -> None:
    for field in ("meaning", "label", "short", "on_test", "test_label"):
        values = [value for metric in METRICS.values() if (value := getattr(metric, field)) is not None]
        assert len(set(values)) == len(values), field


def test_the_schema_has_the_names_of_the_table() -> None:
    assert list(get_args(ObjectiveName)) == list(METRICS)
    assert set(get_args(ConstraintName)) == {name for name, metric in METRICS.items() if metric.size} == set(SIZES)


# -- measured --------------------------------------------------------------------------------------------------------


def test_trials_measure_every_metric(trained: tuple[EpochResult, dict[str, object]]) -> None:
    row = trained[0].row()
    assert tuple(row) == EPOCH_FIELDS
    others = {name for name, metric in METRICS.items() if metric.per_pixel or metric.regression}
    assert {name for name in METRICS if row[name] is None} == others


def test_scores_are_the_metrics_of_held_out_samples() -> None:
    scored = {*SAMPLE_SCORES, *PIXEL_SCORES, *SCORES}
    assert scored == set(ON_TEST)
    others = {name for name, metric in METRICS.items() if metric.per_pixel or metric.regression}
    assert scored - SAMPLE_SCORES.keys() == others
    assert set(SCORES) == {"validation_loss", *(name for name, metric in METRICS.items() if metric.regression)}


def test_the_test_split_has_each_score_under_its_name(trained: tuple[EpochResult, dict[str, object]]) -> None:
    assert {ON_TEST[name].removeprefix(TEST_PREFIX) for name in SAMPLE_SCORES} <= trained[1].keys()
    assert not is_dense(trained[1])


def test_exact_metrics_are_counted_before_training(trained: tuple[EpochResult, dict[str, object]]) -> None:
    counted = count_sizes(CONFIG)
    assert tuple(counted) == tuple(COUNTS) == EXACT
    assert all(isinstance(value, int) for value in counted.values())
    assert {name: trained[0].row()[name] for name in EXACT} == counted == measure(CONFIG, EXACT)
    assert measure(CONFIG).keys() == set(SIZES)


# -- kept ------------------------------------------------------------------------------------------------------------


def test_a_row_comes_back_as_the_result_that_it_was(trained: tuple[EpochResult, dict[str, object]]) -> None:
    row = trained[0].row()
    assert EpochResult.of_row(row).row() == row
    assert [field.name for field in fields(EpochResult)] == ["epoch", "learning_rate", "measured"]
    with pytest.raises(AttributeError, match="no metric 'acuracy'"):
        trained[0].acuracy  # noqa: B018


def test_a_row_of_an_earlier_version_lacks_later_metrics(trained: tuple[EpochResult, dict[str, object]]) -> None:
    kept = {name: value for name, value in trained[0].row().items() if name not in ("flops", "mean_iou")}
    assert EpochResult.of_row(kept).flops is None
    record = TrialRecord(0, "complete", curve=[kept])
    assert "flops" not in record.metrics and record.metrics["best_accuracy"] == kept["accuracy"]


def test_stored_names_do_not_change() -> None:
    """Studies, MLflow's stores and files of retrainings have them."""
    kept = "accuracy mean_iou validation_loss train_loss parameters flops peak_memory_mib seconds images_per_second"
    assert set(kept.split()) <= set(METRICS)
    assert {"accuracy": "test_accuracy", "mean_iou": "test_mean_iou", "validation_loss": "test_loss"}.items() <= (
        ON_TEST.items()
    )
    assert {"validation_accuracy", "validation_mean_iou", "validation_loss"} <= set(ON_VALIDATION.values())


def test_the_main_metric_is_an_objective_on_held_out_samples_or_accuracy() -> None:
    assert main_metric(["parameters", "mean_iou"]) == "mean_iou"
    assert main_metric(["validation_loss", "flops"]) == "validation_loss"
    assert main_metric(["validation_loss", "accuracy"]) == main_metric(["parameters"]) == "accuracy"


# -- one table -------------------------------------------------------------------------------------------------------


def test_no_other_table_names_metrics() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("kansearch", "trials")
        for path in (ROOT / package).rglob("*.py")
        if str(path.relative_to(ROOT)) not in TABLES and "bench" not in path.parts
        for line in displays(path)
    }
    assert not found, "read `trials.metrics` instead"


def displays(path: Path) -> Iterator[int]:
    """Lines of a dictionary's keys, a set, a list, a tuple or a `Literal` with two names of metrics or more."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        each = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = {item.value for item in each if isinstance(item, ast.Constant)} & METRICS.keys()
        if len(names) >= 2 and isinstance(node, (ast.Dict, ast.Set, ast.List, ast.Tuple)):
            yield node.lineno
