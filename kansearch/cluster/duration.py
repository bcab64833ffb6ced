"""How long a search would take on this machine: steps of a few of its configurations are timed, the rest is fitted.

    seconds of a pass = a + b · FLOPs of one image · images in the batch,    a, b >= 0

by least squares of the relative errors (scipy.optimize.nnls), over `SAMPLES` configurations that are evenly spread
over the sizes of those drawn. A pass is one forward and one backward; LBFGS makes several a step. Measuring a trial
after an epoch passes its images forwards alone, a third of the work. A search takes the mean trial's time, times its
trials, over those that run at once, which are taken not to slow each other down; of `gpus_per_trial: auto`, one on
each GPU.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kansearch.cluster.cluster import shares
from kansearch.engine.plan import Drawn, Plan
from kansearch.errors import KansearchError
from kansearch.space import SearchSettings
from trials.config import TrialConfig

__all__ = ["SAMPLES", "Duration", "Fit", "Timed", "concurrent_trials", "estimate_duration", "fit", "spread_out"]

SAMPLES = 6
_MOST_WORK = {"cpu": 2e9, "cuda": 4e12}
"""Forward FLOPs of a timed step at most, for which its batch is made smaller."""


@dataclass(frozen=True)
class Timed:
    """A measured pass: FLOPs of its images, forwards, and seconds forwards and backwards."""

    flops: float
    seconds: float


@dataclass(frozen=True)
class Fit:
    """Seconds of a pass = `a` + `b` · FLOPs; measured seconds lay within `fastest` to `slowest` times that."""

    a: float
    b: float
    fastest: float
    slowest: float

    def seconds(self, flops: float) -> float:
        return self.a + self.b * flops


@dataclass(frozen=True)
class Duration:
    """The expected time of all trials, each trained to its end, s."""

    seconds: float
    least: float
    most: float
    """`seconds` as the fastest and the slowest timed configuration would have it."""
    trial_seconds: float
    """Expected time of the mean trial, s."""
    concurrent: int
    device: str
    timed: int
    synthetic: bool
    """Whether random images stood for the data set's, whose files are not here."""
    upper_bound: bool
    """Whether a scheduler would stop trials earlier."""
    time_budget: float | None

    @property
    def ends_by_budget(self) -> bool:
        """Whether the time budget is expected to end the search before its trials do."""
        return self.time_budget is not None and self.time_budget < self.seconds

    def document(self) -> dict[str, Any]:
        """Return the duration as JSON."""
        return {**asdict(self), "ends_by_budget": self.ends_by_budget}


def estimate_duration(plan: Plan, data_dir: Path | None = None) -> Duration:
    """Time steps here, on a GPU where there is one, and multiply out. Raises KansearchError where nothing can run."""
    from trials.training import accelerators

    settings, trainable = plan.space.search, plan.trainable
    if not trainable:
        raise KansearchError("no drawn configuration can be trained, so there is nothing to time")
    gpus = len(accelerators())
    concurrent = concurrent_trials(settings, len(os.sched_getaffinity(0)), gpus)
    device = "cuda" if gpus else "cpu"
    timed, synthetic = _time(spread_out(trainable), settings, device, data_dir)
    fitted = fit(timed)
    trial = sum(_trial_seconds(each, fitted, data_dir) for each in trainable) / len(trainable)
    total = trial * settings.trials / concurrent
    return Duration(
        seconds=total,
        least=total * fitted.fastest,
        most=total * fitted.slowest,
        trial_seconds=trial,
        concurrent=concurrent,
        device=device,
        timed=len(timed),
        synthetic=synthetic,
        upper_bound=settings.scheduler != "none",
        time_budget=settings.time_budget,
    )


def concurrent_trials(settings: SearchSettings, cpus: float, gpus: float) -> int:
    """Trials that run at once on so many CPUs and GPUs. Raises KansearchError where not one does."""
    fits = shares(settings, [{"Resources": {"CPU": cpus, "GPU": gpus}}], None).max_concurrent
    return min(fits, settings.trials)


def spread_out(drawn: Sequence[Drawn]) -> list[Drawn]:
    """`SAMPLES` of them, or all where there are fewer, from the fewest FLOPs to the most in even steps of rank."""
    ranked = sorted(drawn, key=_flops)
    count = min(SAMPLES, len(ranked))
    return [ranked[round(i * (len(ranked) - 1) / max(count - 1, 1))] for i in range(count)]


def fit(timed: Sequence[Timed]) -> Fit:
    """The a, b >= 0 of least squared relative error."""
    import numpy as np
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    seconds = np.array([each.seconds for each in timed])
    flops = np.array([each.flops for each in timed])
    scale = flops.max()  # or b would be lost beside a
    (a, b), _ = nnls(np.stack([1 / seconds, flops / scale / seconds], axis=1), np.ones(len(timed)))
    ratios = seconds / (a + b * flops / scale)
    return Fit(float(a), float(b / scale), float(ratios.min()), float(ratios.max()))


def _time(
    chosen: Sequence[Drawn], settings: SearchSettings, device: str, data_dir: Path | None
) -> tuple[list[Timed], bool]:
    from trials.training import time_step

    threads, timed, synthetic = max(1, int(settings.cpus_per_trial)), [], False
    for each in chosen:
        most = max(2, int(_MOST_WORK[device] / max(_flops(each), 1)))
        step = time_step(_config(each), data_dir=data_dir, device=device, threads=threads, most_images=most)
        timed.append(Timed(_flops(each) * step.batch, step.seconds))
        synthetic = step.synthetic
    return timed, synthetic


def _trial_seconds(drawn: Drawn, fitted: Fit, data_dir: Path | None) -> float:
    from trials.training import epoch_work

    config, flops = _config(drawn), _flops(drawn)
    work = epoch_work(config, data_dir)
    training = work.passes * fitted.seconds(flops * work.batch)
    return config.epochs * (training + fitted.b * flops * work.evaluated / 3)


def _config(drawn: Drawn) -> TrialConfig:
    assert drawn.config is not None
    return drawn.config


def _flops(drawn: Drawn) -> float:
    assert drawn.sizes is not None
    return drawn.sizes["flops"]
