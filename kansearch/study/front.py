"""The front: the complete trials that no other complete trial beats in every objective; its hypervolume; its knee.

Dominance and hypervolume are moocore's (multi-objective optimisation core library).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from kansearch.space import Direction
from kansearch.study.objectives import costs, signed
from kansearch.study.records import TrialRecord
from trials.metrics import METRICS

_SMALLEST_ERROR = 1e-4  # below what any validation split here can resolve

__all__ = ["front_of", "hypervolume", "knee"]


def front_of(records: Iterable[TrialRecord], objectives: Mapping[str, Direction]) -> list[TrialRecord]:
    """Non-dominated complete trials, sorted by the last objective, best first; of equal points the earliest stays."""
    import moocore

    complete = [record for record in records if record.state == "complete"]
    if not complete:
        return []
    points = signed(objectives, [record.values for record in complete])
    kept = [record for record, keep in zip(complete, moocore.is_nondominated(points), strict=True) if keep]
    last = list(objectives)[-1]
    return sorted(kept, key=lambda record: signed({last: objectives[last]}, [record.values])[0, 0])


def hypervolume(front: Sequence[TrialRecord], objectives: Mapping[str, Direction]) -> float:
    """Share in [0, 1] of the box of costs (see `kansearch.study.objectives`) that the front dominates."""
    import moocore

    if not front:
        return 0.0
    points = np.array([costs(objectives, record.values) for record in front])
    return float(moocore.hypervolume(points, ref=[1.0] * len(objectives)))


def knee(front: Sequence[TrialRecord], objectives: Mapping[str, Direction]) -> TrialRecord:
    """The point of a front, not empty, nearest to the ideal one, each cost scaled to [0, 1] over the front.

    Accuracy and mean IoU count by the logarithm of the error, as parameters do: halving either is worth the same
    anywhere. Of equally near points the last of the front is taken: a front without a knee gives its best, not its
    smallest trial.
    """
    points = np.array([costs(objectives, record.values) for record in front])
    for column, name in enumerate(objectives):
        if METRICS[name].share:
            points[:, column] = np.log10(np.maximum(points[:, column], _SMALLEST_ERROR))
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    distances = np.linalg.norm(scaled, axis=1)
    return front[int(np.flatnonzero(distances == distances.min())[-1])]
