"""How sure a mean over seeds is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

__all__ = ["half_width"]


def half_width(values: Sequence[float]) -> float:
    """Half of the 95 % confidence interval of the mean of at least two values: t · s / √n, where s is the sample
    standard deviation and t the 97.5 % quantile of Student's distribution with n - 1 degrees of freedom."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / math.sqrt(len(values))
