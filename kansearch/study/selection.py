"""How much choosing flattered: validation scores at selection against what the test split confirmed, in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import number
from kansearch.study.statistics import half_width

__all__ = ["selection_bias"]


def selection_bias(rows: Sequence[Confirmed], objectives: Mapping[str, Direction]) -> list[str]:
    """A sentence for each trial that measured at selection clearly otherwise than confirmed. There its score, a single
    run on other images, lies farther from the confirmed one than one more seed and other test images would. One more
    sentence is for the mean over all trials: whether choosing by validation scores was too kind as a whole."""
    measured = {name: way for name, way in objectives.items() if any(name in row.differences for row in rows)}
    return [line for each in measured.items() for line in (*_of_trials(rows, *each), *_of_all(rows, *each))]


def _of_trials(rows: Sequence[Confirmed], name: str, direction: Direction) -> Iterator[str]:
    for row in rows:
        half, difference = row.predicted.get(name), row.differences.get(name)
        if half is None or difference is None or abs(difference) <= math.hypot(half, row.sampling.get(name, 0.0)):
            continue
        scores = f"{name.replace('_', ' ')} {number(name, row.trial.values[name])} at selection"
        confirmed = f"{row.written(name)} confirmed"
        beyond = f"{_worse(name, difference, direction)}, beyond another seed and other images"
        yield f"trial {row.trial.number}: {scores}, {confirmed}: {beyond}"


def _of_all(rows: Sequence[Confirmed], name: str, direction: Direction) -> Iterator[str]:
    differences = [row.differences[name] for row in rows if name in row.differences]
    half = half_width(differences)
    if half is None:
        return
    mean = fmean(differences)
    if abs(mean) <= half:
        verdict = "no selection bias that these trials show"
    elif _flattered(mean, direction):
        verdict = "selection bias, so go by the confirmed figures"
    else:
        verdict = "what the validation images added to training, or an easier test split, outweighs selection bias"
    average = f"{_worse(name, mean, direction)} on average (± {number(name, half)})"
    found = f"{len(differences)} trials: {name.replace('_', ' ')} {average}"
    yield f"{found}: {verdict}"


def _flattered(difference: float, direction: Direction) -> bool:
    return difference > 0 if direction == "maximize" else difference < 0


def _worse(name: str, difference: float, direction: Direction) -> str:
    """`0.0123 worse than at selection`."""
    way = "worse" if _flattered(difference, direction) else "better"
    return f"{number(name, abs(difference))} {way} than at selection"
