"""Rates of each class and the calibration error, against the plainest way to count them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from trials.measure.quality import calibration_error, classification_metrics


def drawn(seed: int, count: int = 400, classes: int = 7) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Logits that are right more often than not, and labels; the last class has no sample."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes - 1, count)
    logits = random.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += 1.5
    return logits, labels


def counted_calibration_error(probabilities: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """Equation 3 of arXiv 1706.04599 with two loops."""
    error = 0.0
    for bin_number in range(1, 16):
        low, high, inside = (bin_number - 1) / 15, bin_number / 15, []
        for row, label in zip(probabilities, labels, strict=True):
            if low < max(row) <= high:
                inside.append((max(row), float(int(row.argmax()) == label)))
        if inside:
            confidence, accuracy = (sum(column) / len(inside) for column in zip(*inside, strict=True))
            error += len(inside) / len(labels) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize("seed", range(5))
def test_the_calibration_error_is_that_of_two_loops(seed: int) -> None:
    logits, labels = drawn(seed)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = counted_calibration_error(probabilities, labels)
    assert calibration_error(probabilities, labels) == pytest.approx(expected, abs=1e-12)
    assert classification_metrics(logits, labels)["calibration_error"] == pytest.approx(expected, abs=1e-12)


def test_confidences_on_the_edge_of_a_bin_belong_to_the_lower_one() -> None:
    edges = np.array([each / 15 for each in range(8, 16)])
    probabilities = np.stack([edges, 1 - edges], 1)
    labels = np.arange(len(edges)) % 2
    assert calibration_error(probabilities, labels) == pytest.approx(counted_calibration_error(probabilities, labels))


def test_a_perfect_forecast_is_calibrated_and_a_sure_mistake_is_not() -> None:
    sure = np.eye(3)[[0, 1, 2]]
    assert calibration_error(sure, np.array([0, 1, 2])) == 0
    assert calibration_error(sure, np.array([1, 2, 0])) == 1


def test_rates_of_each_class_are_counted_right() -> None:
    logits, labels = drawn(11)
    metrics = classification_metrics(logits, labels)
    predicted = logits.argmax(1)
    assert len(metrics["per_class"]) == 7
    for label, row in enumerate(metrics["per_class"]):
        hits = int(((predicted == label) & (labels == label)).sum())
        given, there = int((predicted == label).sum()), int((labels == label).sum())
        precision, recall = (hits / each if each else 0.0 for each in (given, there))
        f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
        assert row == pytest.approx({"precision": precision, "recall": recall, "f1": f1, "support": there})
        assert isinstance(row["support"], int) and all(math.isfinite(value) for value in row.values())
    assert metrics["per_class"][6]["support"] == 0
    assert metrics["f1"] == pytest.approx(np.mean([row["f1"] for row in metrics["per_class"]]))
