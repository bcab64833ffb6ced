"""The front in characters: each trial where its values put it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kansearch.report.front_plot import front_png
from kansearch.report.geometry import Geometry
from kansearch.report.sketch import HEIGHT, WIDTH, front_sketch
from kansearch.space import Direction
from kansearch.study.records import TrialRecord
from kansearch.study.stored_config import StoredConfig

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


def test_page_picture_and_terminal_draw_the_same_points_over_the_same_axes(tmp_path: Path) -> None:
    """Three objectives, of which the first two are the axes."""
    three: dict[str, Direction] = {**OBJECTIVES, "seconds": "minimize"}
    found = [(0.5, 100.0, 5.0), (0.7, 1000.0, 4.0), (0.9, 10_000.0, 3.0), (0.62, 3162.0, 9.0)]
    config = StoredConfig({"model": {"basis": {"name": "rbf"}}})
    records = [
        TrialRecord(n, "complete", values=dict(zip(three, values, strict=True)), stored=config)
        for n, values in enumerate(found)
    ]
    geometry = Geometry(records, three)
    assert geometry.axes == ("parameters", "accuracy")
    assert [record.number for record in geometry.rest] == [3]
    assert "accuracy over parameters" in front_sketch(records, three)[-1]
    front_png(geometry, tmp_path / "front.svg")
    drawn = (tmp_path / "front.svg").read_text()
    assert "<!-- trainable parameters -->" in drawn and "<!-- 10,000 -->" in drawn and "<!-- rbf -->" in drawn
    x, y = geometry.extent("parameters"), geometry.extent("accuracy")
    corners = geometry.staircase("parameters", "accuracy")
    assert corners[::2] == [found[0][1::-1], found[1][1::-1], found[2][1::-1]]
    assert corners[-1] == (x.high, 0.9) and x(x.high) == 1
    assert all(0 < x(values[1]) < 1 and 0 < y(values[0]) < 1 for values in found)


def test_a_terminal_without_unicode_gets_ascii() -> None:
    records = [record(0, 0.5, 100), record(1, 0.7, 1000)]
    "\n".join(front_sketch(records, OBJECTIVES, "ascii")).encode("ascii")


@pytest.mark.parametrize("records", [[], [record(0, 0.5, 10)], [record(0, 0.5, 10), record(1, 0.4, 20)]])
def test_less_than_two_trials_on_the_front_are_not_drawn(records: list[TrialRecord]) -> None:
    assert front_sketch(records, OBJECTIVES) == []


def test_one_objective_is_not_drawn() -> None:
    assert front_sketch([record(0, 0.5, 10), record(1, 0.4, 20)], {"accuracy": "maximize"}) == []
