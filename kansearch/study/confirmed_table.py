"""The confirmed trials as the cells of a table, the same in a terminal, in the report and in MLflow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kansearch.study.confirmed import Confirmed
from kansearch.study.figures import number
from kansearch.study.spread import LEAST_SEEDS
from trials.metrics import COUNTED, ON_TEST

__all__ = ["caveats", "cells", "headings"]


def headings(objectives: Iterable[str]) -> list[str]:
    """Trial and seeds, the objectives, those that are measured on images twice: at selection and confirmed, accuracy
    with how far off it may be because the test split is a sample; the size where it is no objective; the probability of
    being on the front."""
    return ["trial", "seeds", *(heading for name in _names(objectives) for heading in _headings(name)), "P(front)"]


def cells(row: Confirmed, objectives: Iterable[str]) -> list[str]:
    """The cells of a trial, one under each of `headings`."""
    figures = [cell for name in _names(objectives) for cell in _cells(row, name)]
    return [str(row.trial.number), str(len(row.complete)), *figures, _sure(row)]


def _sure(row: Confirmed) -> str:
    """A trial's probability of being on the front."""
    if row.probability is None:
        return "not told" if row.complete else "-"
    return f"{row.probability:.2f}"


def caveats(rows: Sequence[Confirmed], study: str, home: str = "") -> list[str]:
    """Sentences that say what the table does not say by itself.

    They tell what its intervals hold, which of them are a trial's own, and what to run where there are too few seeds
    for any. `home`: option that names the folder of studies.
    """
    few = [row for row in rows if 0 < len(row.complete) < LEAST_SEEDS]
    lines = []
    if any(row.sampling for row in rows):
        lines.append(
            "the intervals are of other seeds; other test images may move an accuracy by its test sampling, too"
        )
    for row in rows:
        lines += [_wide(row, name) for name in row.wide]
    if few:
        picks = ",".join(str(row.trial.number) for row in few)
        again = f"kansearch confirm {study} --seeds {LEAST_SEEDS} --picks {picks}{home}"
        lines.append(
            f"with fewer than {LEAST_SEEDS} seeds intervals and P(front) are not told: `{again}` trains the rest"
        )
    return lines


def _wide(row: Confirmed, name: str) -> str:
    spread = number(name, row.spreads[name].deviation)
    return (
        f"trial {row.trial.number}: its seeds differ clearly more than those of the others in {name.replace('_', ' ')} "
        f"(standard deviation {spread}), so its interval is made of them alone"
    )


def _names(objectives: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*objectives, "parameters"]))


def _headings(name: str) -> list[str]:
    title = name.replace("_", " ")
    sampling = ["test sampling"] if name in COUNTED else []
    return [f"{title} at selection", f"{title} on test", *sampling] if name in ON_TEST else [title]


def _cells(row: Confirmed, name: str) -> list[str]:
    if name not in ON_TEST:
        return [row.written(name)]
    sampling = [f"± {row.sampling[name]:.4f}" if name in row.sampling else "-"] if name in COUNTED else []
    return [number(name, row.trial.values[name]), row.written(name), *sampling]
