"""A split of indices into two, class by class: scikit-learn's `train_test_split`, with the same numbers.

Loading scikit-learn takes a worker more than a second, of which a split takes some milliseconds.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["train_test_split"]

_Indices = NDArray[np.int64]


def train_test_split(
    indices: _Indices,
    *,
    train_size: int | None = None,
    test_size: float | None = None,
    random_state: int,
    stratify: NDArray[np.int64] | None = None,
) -> tuple[_Indices, _Indices]:
    """Both parts, (train,) and (test,), each in random order.

    Args:
        indices: (N,).
        train_size: elements of the first part; None: all that are not in the second.
        test_size: share of the second part, in (0, 1), rounded up; None: all that are not in the first.
        random_state: the seed.
        stratify: (N,), each element's class, of which both parts get their shares; None: the split is random.

    Raises ValueError where a part would be empty, or too small to hold every class.
    """
    count = len(indices)
    second = math.ceil(test_size * count) if test_size is not None else count - (train_size or 0)
    first = train_size if train_size is not None else count - second
    if not (0 < first < count and 0 < second <= count - first):
        raise ValueError(f"{count} elements cannot be split into {first} and {second}")
    rng = np.random.RandomState(random_state)
    if stratify is None:
        order = rng.permutation(count)
        return indices[order[second : second + first]], indices[order[:second]]
    train, test = _stratified(stratify, first, second, rng)
    return indices[train], indices[test]


def _stratified(
    classes: NDArray[np.int64], first: int, second: int, rng: np.random.RandomState
) -> tuple[_Indices, _Indices]:
    """`sklearn.model_selection.StratifiedShuffleSplit`, one split."""
    names, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(f"class {names[counts.argmin()]} has only one member")
    if min(first, second) < len(names):
        raise ValueError(f"a part of {min(first, second)} elements cannot hold {len(names)} classes")
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(counts)[:-1])
    of_first = _shares(counts, first, rng)
    of_second = _shares(counts - of_first, second, rng)
    train, test = [], []
    for own, here, there in zip(members, of_first, of_second, strict=True):
        shuffled = own[rng.permutation(len(own))]
        train.append(shuffled[:here])
        test.append(shuffled[here : here + there])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def _shares(counts: NDArray[np.int64], total: int, rng: np.random.RandomState) -> NDArray[np.int64]:
    """How many of each class go into a part of `total`: rounded down, and then one more for the largest remainders,
    at random among equal ones (`sklearn.utils.extmath._approximate_mode`)."""
    exact = counts / counts.sum() * total
    shares = np.floor(exact)
    missing = int(total - shares.sum())
    remainders = exact - shares
    for remainder in np.unique(remainders)[::-1]:
        if missing <= 0:
            break
        (equal,) = np.where(remainders == remainder)
        chosen = rng.choice(equal, size=min(len(equal), missing), replace=False)
        shares[chosen] += 1
        missing -= len(chosen)
    result: _Indices = shares.astype(np.int64)
    return result
