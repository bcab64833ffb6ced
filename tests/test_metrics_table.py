"""Each metric that can be an objective has one record, and trials measure it."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from kansearch.space import ObjectiveName
from kansearch.space.metrics import METRICS
from trials.measure.sizes import SIZES
from trials.results import EpochResult


def test_every_objective_of_the_schema_has_one_record() -> None:
    assert list(METRICS) == list(get_args(ObjectiveName))
    labels = [metric.label for metric in METRICS.values()]
    assert len(set(labels)) == len(labels)


def test_every_epoch_measures_all_of_them() -> None:
    assert set(METRICS) <= {field.name for field in fields(EpochResult)}


def test_sizes_are_what_is_counted_before_training() -> None:
    assert {name for name, metric in METRICS.items() if metric.size} == set(SIZES)


def test_what_has_a_label_on_test_has_a_figure_there() -> None:
    assert all((metric.on_test is None) == (metric.test_label is None) for metric in METRICS.values())
