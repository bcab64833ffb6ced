"""The front in characters: each trial where its values put it."""

from __future__ import annotations

from typing import Any

import pytest

from kansearch.sketch import HEIGHT, WIDTH, front_sketch
from kansearch.space import Direction
from kansearch.study.records import TrialRecord

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}


def record(number: int, accuracy: float, parameters: float, **more: Any) -> TrialRecord:
    values = {"accuracy": accuracy, "parameters": parameters}
    return TrialRecord(number, **{"state": "complete", "values": values, **more})


def plane(lines: list[str]) -> list[str]:
    """Its rows, from above, without the axis."""
    return [line[11:].ljust(WIDTH) for line in lines[:HEIGHT]]


def test_the_corners_of_the_front_are_the_corners_of_the_plane() -> None:
    records = [record(0, 0.5, 100), record(1, 0.7, 1000), record(2, 0.9, 10_000), record(3, 0.62, 3162)]
    rows = plane(front_sketch(records, OBJECTIVES))
    marks = {(row, column): mark for row, line in enumerate(rows) for column, mark in enumerate(line) if mark != " "}
    assert len(marks) == 4 and {"●", "◆", "·"} == set(marks.values())
    assert (HEIGHT - 1, 0) in marks and (0, WIDTH - 1) in marks
    assert (5, 30) in marks, "1,000 lies in the middle of a logarithmic scale"
    assert marks[7, 45] == "·"


def test_it_fits_into_a_terminal_and_names_its_axes() -> None:
    records = [record(n, 0.01 * n, 1.37 ** (2 * n)) for n in range(60)]
    lines = front_sketch(records, OBJECTIVES)
    assert max(map(len, lines)) <= 80 and len(lines) == HEIGHT + 3
    assert "accuracy over parameters, log scale" in lines[-1]
    assert lines[0].split()[0] == "0.59" and lines[HEIGHT - 1].split()[0] == "0"


def test_a_terminal_without_unicode_gets_ascii() -> None:
    records = [record(0, 0.5, 100), record(1, 0.7, 1000)]
    "\n".join(front_sketch(records, OBJECTIVES, "ascii")).encode("ascii")


@pytest.mark.parametrize("records", [[], [record(0, 0.5, 10)], [record(0, 0.5, 10), record(1, 0.4, 20)]])
def test_less_than_two_trials_on_the_front_are_not_drawn(records: list[TrialRecord]) -> None:
    assert front_sketch(records, OBJECTIVES) == []


def test_one_objective_is_not_drawn() -> None:
    assert front_sketch([record(0, 0.5, 10), record(1, 0.4, 20)], {"accuracy": "maximize"}) == []
