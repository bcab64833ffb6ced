"""Results of trials without what differs from run to run."""

from collections.abc import Iterable
from dataclasses import replace

from trials.metrics import METRICS
from trials.results import EpochResult

__all__ = ["untimed"]


def untimed(results: Iterable[EpochResult]) -> list[EpochResult]:
    """Set times, rates and memory to 0, so that what is left can be compared bit for bit."""
    varying = {name: 0.0 for name, metric in METRICS.items() if metric.varies}
    return [replace(each, measured={**each.measured, **varying}) for each in results]
