"""The report's front in a browser, over other axes and as of earlier epochs: as Python would draw it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver

from kansearch.report.data import StudyData, Trial
from kansearch.report.epochs import budgets
from kansearch.report.front import front_plot
from kansearch.report.html import write_html
from kansearch.report.script import Script
from kansearch.space import Direction
from kansearch.study.front import front_of
from tests.browser import complaints, needs_chromium
from tests.reader import ROLES, SMALL, Reader, opened, reading, searched
from tests.test_report import made, record, simulated

pytestmark = [
    needs_chromium,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

MARKS = """
return [...document.querySelectorAll('#front-plot use[data-trial]')].filter((mark) => !mark.matches('.absent'))
  .map((mark) => [Number(mark.dataset.trial), mark.classList[0] || '', mark.getAttribute('href'),
                  Number(mark.getAttribute('x')), Number(mark.getAttribute('y'))]);
"""


@pytest.fixture
def data() -> StudyData:
    return searched()


@pytest.fixture
def reader(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Reader]:
    yield from reading(browser, tmp_path)


def as_written(data: StudyData, across: str, up: str) -> dict[int, tuple[float, float]]:
    """Places of the marks that Python draws."""
    plot = ElementTree.fromstring(front_plot(data, across, up, letters=Script(data).letters))
    marks = [mark for mark in plot.iter("use") if mark.get("data-trial")]
    return {int(m.get("data-trial") or 0): (float(m.get("x") or 0), float(m.get("y") or 0)) for m in marks}


@pytest.mark.parametrize("across, up", [("seconds", "accuracy"), ("flops", "accuracy"), ("accuracy", "parameters")])
def test_over_other_axes_each_mark_lies_where_python_would_draw_it(
    reader: Reader, data: StudyData, across: str, up: str
) -> None:
    reader.choose("axis-up", up)
    reader.choose("axis-across", across)
    moved = {number: (x, y) for number, _, _, x, y in reader.run(MARKS)}
    drawn = as_written(data, across, up)
    assert moved.keys() == drawn.keys()
    for number, place in drawn.items():
        assert moved[number] == pytest.approx(place, abs=0.11)
    assert reader.one("#front-plot svg").get_attribute("aria-label") == reader.one(
        "#front-plot svg title"
    ).get_attribute("textContent")


def test_back_on_its_own_axes_the_plot_is_the_one_that_was_written(reader: Reader, data: StudyData) -> None:
    before, corners = sorted(reader.run(MARKS)), reader.one("#front-plot path.front:not(.ghost)").get_attribute("d")
    labels = [label.text for label in reader.all("#front-plot .labels text")]
    reader.choose("axis-across", "seconds")
    reader.choose("budget", 2)
    assert sorted(reader.run(MARKS)) != before
    reader.choose("axis-across", "parameters")
    reader.choose("budget", 26)
    after = sorted(reader.run(MARKS))
    assert [mark[2] for mark in after] == [mark[2] for mark in before]
    assert [mark[3:] for mark in after] == [pytest.approx(mark[3:], abs=0.11) for mark in before]
    assert [label.text for label in reader.all("#front-plot .labels text")] == labels
    line = reader.one("#front-plot path.front:not(.ghost)").get_attribute("d")
    assert figures(line) == pytest.approx(figures(corners), abs=0.11)
    on_front = {record.number for record in data.front}
    assert {int(number) for number, role in reader.run(ROLES).items() if role == "best"} == on_front


def figures(path: str | None) -> list[float]:
    return [float(each) for each in re.findall(r"[\d.]+", path or "")]


def front_as_of(data: StudyData, epoch: int) -> set[int]:
    """The front of the values as of an epoch, among trials that trained so long or are complete."""
    rows = []
    for each in data.records:
        if each.state == "complete" or (each.state == "pruned" and each.epochs >= epoch):
            measured = [row for row in each.curve if row["epoch"] <= epoch][-1]
            values = {name: float(measured[name]) for name in data.objectives}
            rows.append(replace(each, state="complete", values=values))
    return {record.number for record in front_of(rows, data.objectives)}


@pytest.mark.parametrize("epoch", [1, 5, 9, 10])
def test_the_slider_shows_the_front_as_of_an_epoch(reader: Reader, data: StudyData, epoch: int) -> None:
    reader.choose("budget", budgets(data.records).index(epoch))
    roles = {int(number): role for number, role in reader.run(ROLES).items()}
    assert {number for number, role in roles.items() if role == "best"} == front_as_of(data, epoch)
    stopped_before = {r.number for r in data.records if r.state == "pruned" and r.epochs < epoch}
    assert {number for number, role in roles.items() if role == "stopped"} == stopped_before
    assert reader.one("#budget-said").text == ("1 epoch" if epoch == 1 else f"{epoch} epochs")
    assert reader.one("#front-plot .ghost").get_attribute("d")


THREE: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize", "seconds": "minimize"}


@pytest.mark.parametrize("objectives", [{"accuracy": "maximize"}, THREE], ids=["one", "three"])
def test_the_front_of_one_objective_or_of_three_is_the_studys(
    browser: webdriver.Chrome, tmp_path: Path, objectives: dict[str, Direction]
) -> None:
    data = simulated(objectives, SMALL)
    write_html(data, tmp_path / "report.html")
    reader = opened(browser, tmp_path / "report.html")
    reader.choose("budget", 3)
    reader.choose("budget", 26)
    best = {int(number) for number, role in reader.run(ROLES).items() if role == "best"}
    assert best == {record.number for record in data.front}
    assert complaints(browser) == []


def test_trials_that_measured_nothing_but_their_objectives_answer_too(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    trials = [Trial(record(number, 0.5 + number / 10, 10 + number), {}, {}) for number in range(3)]
    write_html(replace(made(trials), objectives={"accuracy": "maximize"}), tmp_path / "report.html")
    reader = opened(browser, tmp_path / "report.html")
    reader.click('#all-trials tr[data-trial="2"]')
    reader.choose("axis-across", "accuracy")
    assert reader.picks == "--picks 2"
    assert complaints(browser) == []
