"""A forest of extremely randomised trees that follows a growing table: each fit grows the oldest trees anew.

A fit of all trees costs more than a proposal may. So a fit grows as many as about `_ROWS` rows pay for, and all of
them while the table is small or after its columns changed.

Source: extremely randomised trees, Geurts et al. 2006, doi 10.1007/s10994-006-6226-1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.tree import ExtraTreeRegressor

__all__ = ["Forest"]

_Floats = NDArray[np.float64]
_TREES = 48
_LEAF = 2
_FEATURES = 0.6
_ROWS = 4000
_LEAST_GROWN = 3


class Forest:
    """Predicts K values of a row of D numbers: mean and spread over the trees."""

    def __init__(self) -> None:
        self._trees: list[ExtraTreeRegressor] = []  # the oldest first
        self._columns = 0

    def fit(self, rows: _Floats, values: _Floats, rng: np.random.Generator) -> None:
        """Grow some trees on rows (N, D) and their values (N, K)."""
        from sklearn.tree import ExtraTreeRegressor

        if rows.shape[1] != self._columns:
            self._trees, self._columns = [], rows.shape[1]
        missing = _TREES - len(self._trees)
        count = max(missing, min(_TREES, max(_LEAST_GROWN, _ROWS // len(rows))))
        single = np.ascontiguousarray(rows, dtype=np.float32)
        for seed in rng.integers(2**31, size=count):
            tree = ExtraTreeRegressor(min_samples_leaf=_LEAF, max_features=_FEATURES, random_state=int(seed))
            self._trees.append(tree.fit(single, values, check_input=False))
        self._trees = self._trees[-_TREES:]

    def predict(self, rows: _Floats) -> tuple[_Floats, _Floats]:
        """Mean and standard deviation over the trees, each (N, K), at rows (N, D)."""
        single = np.ascontiguousarray(rows, dtype=np.float32)
        found = [tree.predict(single, check_input=False).reshape(len(rows), -1) for tree in self._trees]
        stacked = np.stack(found)
        return stacked.mean(axis=0), stacked.std(axis=0)
