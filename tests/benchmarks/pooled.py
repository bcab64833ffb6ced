"""Intervals of a document's confirmed trials, made of a spread that all of them tell together.

`python -m tests.benchmarks.pooled docs/fashion_mnist.md` reads its tables: the mean of each confirmed trial with half
of its own 95 % interval, t · s / √n, which holds s; and what was published. It prints the spread of the seeds; for each
published network the most accurate trial at selection with no more parameters, of KANs and of plain networks, as mean
± t · s̃ · √(1 + 1/n), in which one more run lies (95 %); and every trial as mean ± t · s̃ / √n. s is read from half
widths of four decimals: it is off by 5 % where it is smallest.
"""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t

from kansearch.study.spread import Spread, pooled_spreads
from kansearch.study.statistics import sampling_half_width

IMAGES = 10_000
_TRIAL = re.compile(r"^\| (\S+ \d+) \| ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d.]+) ± ([\d.]+) \| (.+?) \|$", re.MULTILINE)
_PUBLISHED = re.compile(r"^\| ([^|]+) \| ([\d,]+) \| (\d\d\.\d\d) \|", re.MULTILINE)


@dataclass(frozen=True)
class Trial:
    name: str
    parameters: int
    seeds: int
    selected: float
    mean: float
    deviation: float
    plain: bool


def trials_of(text: str) -> list[Trial]:
    found = []
    for name, parameters, seeds, selected, mean, half, configuration in _TRIAL.findall(text):
        count = int(seeds)
        deviation = float(half) * math.sqrt(count) / float(t.ppf(0.975, count - 1))
        size = int(parameters.replace(",", ""))
        plain = configuration.startswith("plain")
        found.append(Trial(name, size, count, float(selected), float(mean), deviation, plain))
    return found


def seeds_of(trial: Trial) -> list[float]:
    """Values with the trial's mean and standard deviation."""
    values = np.linspace(-1, 1, trial.seeds)
    return list(trial.mean + values * trial.deviation / np.std(values, ddof=1))


def told(trial: Trial, half: float) -> str:
    return f"{100 * trial.mean:.2f} ± {100 * half:.2f} ({trial.parameters:,}, {trial.name})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=Path)
    text = parser.parse_args().document.read_text()
    trials = trials_of(text)
    spreads: dict[str, Spread] = {}
    for trial, spread in zip(trials, pooled_spreads([seeds_of(trial) for trial in trials]), strict=True):
        assert spread is not None
        spreads[trial.name] = spread
    pooled = math.sqrt(np.mean([trial.deviation**2 for trial in trials]))
    deviations = [spread.deviation for spread in spreads.values()]
    print(
        f"{len(trials)} trials: pooled s {100 * pooled:.3f} points; moderated s̃ {100 * min(deviations):.3f} to "
        f"{100 * max(deviations):.3f}, {next(iter(spreads.values())).freedom:.1f} degrees of freedom; "
        f"alone: {[name for name, spread in spreads.items() if spread.own]}"
    )
    above = {True: 0, False: 0}
    for name, size, published in _PUBLISHED.findall(text):
        cells = []
        for plain in (False, True):
            small = [each for each in trials if each.plain == plain and each.parameters <= int(size.replace(",", ""))]
            best = max(small, key=lambda each: each.selected)
            half = spreads[best.name].prediction_half_width(best.seeds)
            beyond = 100 * (best.mean - half) > float(published)
            above[plain] += beyond
            cells.append(f"**{told(best, half)}**" if beyond else told(best, half))
        print(f"| {name} | {size} | {published} | {' | '.join(cells)} |")
    print(f"published below the prediction interval: of KANs {above[False]}, of plain networks {above[True]}")
    for trial in trials:
        half, sampling = spreads[trial.name].half_width(trial.seeds), sampling_half_width(trial.mean, IMAGES)
        print(f"{told(trial, half)}, test sampling ± {100 * sampling:.2f}")


if __name__ == "__main__":
    main()
