"""When trials ran: a row for each place that a trial can take, and the share of the time that places stood idle.

The study notes when a trial begins and ends, but not on which worker. Trials are laid into rows by their times alone,
each into the first row that is free. The pauses between drivers are cut out, as far as the study knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from kansearch.report.data import StudyData, Trial
from kansearch.report.progress import time_unit
from kansearch.report.scales import Linear
from kansearch.report.svg import drawing, element, text
from kansearch.study.figures import describe, duration
from kansearch.study.records import State

__all__ = ["STATES", "Timeline", "timeline", "timeline_plot"]

STATES: tuple[State, ...] = ("complete", "pruned", "fail", "running")
_LEFT, _RIGHT, _WIDTH = 46.0, 906.0, 920.0
_MOST_ROWS = 64
_RESOLUTION = 1e-3  # s: a place that one trial left is taken by another so soon after, or before, by rounding


@dataclass(frozen=True)
class Timeline:
    """`rows` of `(trial, from, to)` in seconds of search; places that trials may take at once, and their idle share."""

    rows: Sequence[Sequence[tuple[Trial, float, float]]]
    places: int
    seconds: float
    idle: float


def timeline(data: StudyData) -> Timeline | None:
    """None while no trial has run. A running trial lasts until the latest moment at which a driver is known to live."""
    clock = _clock(data)
    ran = [trial for trial in data.trials if trial.record.state != "infeasible" and trial.began is not None]
    if not ran:
        return None
    known = [clock(moment) for trial in ran for moment in (trial.began, trial.ended) if moment is not None]
    first, last = min(known), max([*known, *([data.elapsed_seconds] if data.sessions else [])])
    spans = [(t, clock(t.began) - first, (clock(t.ended) if t.ended else last) - first) for t in ran if t.began]
    rows = _rows(spans)
    places = max(len(rows), *(int(session["max_concurrent"]) for session in data.sessions), 1)
    seconds = max(ended for _, _, ended in spans)
    busy = sum(ended - began for _, began, ended in spans)
    return Timeline(rows, places, seconds, max(0.0, 1.0 - busy / (places * seconds)) if seconds > 0 else 0.0)


def _clock(data: StudyData) -> Callable[[datetime], float]:
    """Local time to seconds of search: within a driver's session time passes, between two it stands."""
    starts = [datetime.fromisoformat(s["began"]).astimezone().replace(tzinfo=None) for s in data.sessions]
    before = [float(session["elapsed"]) for session in data.sessions]
    after = [*before[1:], float("inf")]

    def seconds(moment: datetime) -> float:
        index = sum(start <= moment for start in starts) - 1
        if index < 0:  # before any session that was noted
            return (moment - starts[0]).total_seconds() + before[0] if starts else moment.timestamp()
        return min(before[index] + (moment - starts[index]).total_seconds(), after[index])

    return seconds


def _rows(spans: Sequence[tuple[Trial, float, float]]) -> list[list[tuple[Trial, float, float]]]:
    """Each span in the first row that is free when it begins."""
    rows: list[list[tuple[Trial, float, float]]] = []
    for span in sorted(spans, key=lambda each: (each[1], each[0].record.number)):
        row = next((row for row in rows if row[-1][2] <= span[1] + _RESOLUTION), None)
        if row is None:
            rows.append([span])
        else:
            row.append(span)
    return rows


def timeline_plot(shown: Timeline) -> Markup:
    """Time across, places down; at most 64 of them."""
    rows = shown.rows[:_MOST_ROWS]
    row_height = max(6.0, min(26.0, 300.0 / max(len(rows), 1)))
    bottom = 10 + row_height * max(len(rows), 1)
    unit, length = time_unit(shown.seconds)
    scale = Linear(0.0, (shown.seconds or 1.0) / length)
    body = [part for index, row in enumerate(rows) for part in _row(index, row, row_height, shown.seconds or 1.0)]
    for share, label in scale.ticks(10):
        x = _LEFT + share * (_RIGHT - _LEFT)
        body.append(element("path", d=f"M{x:.1f} 8V{bottom:.1f}", class_="grid"))
        body.append(text(x, bottom + 16, label, "tick", "middle"))
    body.append(element("path", d=f"M{_LEFT:.0f} 8V{bottom:.1f}H{_RIGHT:.0f}", class_="axis"))
    middle = (8 + bottom) / 2
    body.append(text(13, middle, "place", "name", "middle", transform=f"rotate(-90 13 {middle:.0f})"))
    body.append(text((_LEFT + _RIGHT) / 2, bottom + 34, f"time of the search ({unit})", "name", "middle"))
    return drawing(_WIDTH, bottom + 42, body, "Timeline of trials")


def _row(index: int, row: Sequence[tuple[Trial, float, float]], height: float, seconds: float) -> list[Markup]:
    top = 10 + index * height
    drawn = [text(_LEFT - 6, top + height / 2 + 4, index + 1, "tick", "end")] if height >= 12 else []
    for trial, began, ended in row:
        record = trial.record
        tip = f"trial {record.number}, {record.state}, {duration(ended - began)}: {describe(record.stored)}"
        drawn.append(
            element(
                "rect",
                element("title", tip),
                x=_LEFT + began / seconds * (_RIGHT - _LEFT),
                y=top + 1,
                width=max((ended - began) / seconds * (_RIGHT - _LEFT) - 0.5, 0.4),
                height=height - 2,
                class_=f"span {record.state}",
                data_trial=record.number,
            )
        )
    return drawn
