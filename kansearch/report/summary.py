"""The study in sentences, for somebody who has never seen it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kansearch.report.bases import quality_objective
from kansearch.report.data import StudyData
from kansearch.report.geometry import value_of
from kansearch.study.figures import describe, duration, number, values
from kansearch.study.front import hypervolume
from kansearch.study.records import FINISHED, State, TrialRecord
from trials.config.basis import is_control

__all__ = ["summary"]

_WORDS: dict[State, str] = {
    "complete": "complete",
    "pruned": "stopped early",
    "fail": "failed",
    "running": "still running",
}


def summary(data: StudyData) -> list[str]:
    """Plain text, a paragraph each."""
    return [" ".join(_question(data)), *_answer(data)]


def _question(data: StudyData) -> Iterator[str]:
    settings, count = data.space.search, Counter(record.state for record in data.records)
    wanted = " and ".join(f"{direction} {name.replace('_', ' ')}" for name, direction in data.objectives.items())
    varied = len(data.space.hyperparameters())
    yield f"Study {data.name} looks for networks that {wanted} on the data set {data.space.dataset}."
    yield f"Its search space has {varied} hyperparameters; the {settings.sampler} sampler proposes configurations."
    finished = sum(count[state] for state in FINISHED)
    ended = ", ".join(f"{count[state]:,} {word}" for state, word in _WORDS.items() if count[state])
    yield f"{finished:,} of {settings.trials:,} trials have finished{f' ({ended})' if ended else ''}."
    if count["infeasible"]:
        yield f"{count['infeasible']:,} more configurations broke a constraint and were not trained."
    spent = sum(record.seconds for record in data.records)
    yield f"The search took {duration(data.elapsed_seconds)}, and {duration(spent)} of device time."


def _answer(data: StudyData) -> Iterator[str]:
    if data.knee is None:
        yield "No trial is complete, so there is no front yet, and nothing to compare."
        return
    first = next(iter(data.objectives))
    best = _best(data, data.complete, first)
    volume = hypervolume(data.front, data.objectives)
    size = f"{len(data.front)} {'trial' if len(data.front) == 1 else 'trials'}"
    yield (
        f"The best {first.replace('_', ' ')} is {number(first, best.values[first])}: trial {best.number}, "
        f"{describe(best.stored)}. The front holds {size} that no other complete trial beats in every objective; "
        f"its hypervolume is {volume:.4f}. Its knee, the balanced choice, is trial {data.knee.number}: "
        f"{values(data.knee.values)}; {describe(data.knee.stored)}."
    )
    yield from _plain_against_kan(data)


def _best(data: StudyData, records: list[TrialRecord], objective: str) -> TrialRecord:
    sign = -1.0 if data.objectives[objective] == "maximize" else 1.0
    return min(records, key=lambda record: (sign * record.values[objective], value_of(record, "parameters") or 0.0))


def _plain_against_kan(data: StudyData) -> Iterator[str]:
    quality = quality_objective(data)
    plain = [record for record in data.complete if record.stored.basis == "none"]
    other = [record for record in data.complete if not is_control(record.stored.basis)]
    if quality is None or not plain or not other:
        return
    control, network = _best(data, plain, quality), _best(data, other, quality)
    kans = sum(not is_control(record.stored.basis) for record in data.front)
    count = f"{kans} of the {len(data.front)} trials on the front {'is a KAN' if kans == 1 else 'are KANs'}"
    yield (
        f"{count if kans else 'No trial on the front is a KAN'}; plain convolutional networks are the control. "
        f"By {quality.replace('_', ' ')} the best KAN reached {_measured(network, quality)}, "
        f"the best plain network {_measured(control, quality)}. "
        "Each is one training with one seed: small differences may be chance."
    )


def _measured(record: TrialRecord, quality: str) -> str:
    size = value_of(record, "parameters")
    with_size = f" with {size:,.0f} parameters" if size is not None else ""
    return f"{number(quality, record.values[quality])}{with_size} ({describe(record.stored)})"
