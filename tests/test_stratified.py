"""Splits without scikit-learn are scikit-learn's splits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.datasets import load_digits

from trials.data.mnist import read_digits
from trials.data.stratified import train_test_split


@pytest.mark.parametrize("case", range(60))
def test_the_numbers_are_those_of_scikit_learn(case: int) -> None:
    rng = np.random.default_rng(case)
    count, classes = int(rng.integers(20, 3000)), int(rng.integers(1, 12))
    labels = rng.choice(classes, size=count, p=rng.dirichlet(np.full(classes, 2.0)))
    indices = np.sort(rng.permutation(10 * count)[:count])
    sizes = [{"test_size": float(rng.uniform(0.01, 0.9))}, {"train_size": int(rng.integers(1, count))}][case % 2]
    arguments = {**sizes, "random_state": int(rng.integers(1000)), "stratify": labels if case % 3 else None}
    try:
        expected = model_selection.train_test_split(indices, **arguments)
    except ValueError:
        with pytest.raises(ValueError):
            train_test_split(indices, **arguments)  # type: ignore[arg-type]
        return
    for ours, theirs in zip(train_test_split(indices, **arguments), expected, strict=True):  # type: ignore[arg-type]
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("labels", "sizes", "words"),
    [
        ([0, 0, 0, 1], {"test_size": 0.5}, "class 1 has only one member"),
        ([0, 0, 1, 1], {"test_size": 0.1}, "cannot hold 2 classes"),
        ([0, 0, 1, 1], {"train_size": 4}, "cannot be split into 4 and 0"),
        ([0], {"test_size": 0.5}, "cannot be split into 0 and 1"),
    ],
)
def test_what_cannot_be_split_says_why(labels: list[int], sizes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        train_test_split(np.arange(len(labels)), random_state=0, stratify=np.array(labels), **sizes)  # type: ignore[arg-type]


def test_the_digits_are_those_of_scikit_learn() -> None:
    digits = load_digits()
    train, test = model_selection.train_test_split(
        np.arange(1797), test_size=0.2, random_state=0, stratify=digits.target
    )
    for ours, chosen in zip(read_digits(), (train, test), strict=True):
        np.testing.assert_array_equal(ours.labels, digits.target[chosen])
        np.testing.assert_array_equal(ours.images[:, 0], np.rint(digits.images[chosen] * (255 / 16)))


def test_a_worker_on_digits_loads_no_scikit_learn() -> None:
    program = (
        "import sys, torch; from trials.config import TrialConfig; from trials.data.splits import load_training;"
        "config = TrialConfig.model_validate({'data': {'dataset': 'digits'}});"
        "load_training(config.data, torch.device('cpu'), None, True, None);"
        "assert not {'sklearn', 'pandas', 'scipy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
