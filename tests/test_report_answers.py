"""The report's script in a browser: what a reader points at, chooses, filters and sorts shows in every view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from kansearch.report.data import StudyData
from tests.browser import needs_chromium
from tests.reader import Reader, a_trial, reading, searched

pytestmark = [
    needs_chromium,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def data() -> StudyData:
    return searched()


@pytest.fixture
def reader(browser: webdriver.Chrome, tmp_path: Path) -> Iterator[Reader]:
    yield from reading(browser, tmp_path)


# -- one selection for all views --------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["#front-plot use", "#all-trials tr", "#bases use", "#timeline rect"])
def test_a_trial_that_is_pointed_at_lights_up_everywhere(reader: Reader, data: StudyData, where: str) -> None:
    number = a_trial(data).number
    reader.point_at(f'{where}[data-trial="{number}"]')
    for view in ("#front", "#curves", "#parallel", "#all-trials", "#timeline"):
        assert reader.numbers(f"{view} .lit[data-trial]") == {number}, view
    for plot, kind in (("#front-plot", "circle"), ("#curves", "path.core"), ("#parallel", "path.core")):
        assert len(reader.all(f"{plot} .overlay .lit {kind}")) == 1, plot
    said = reader.one("#lit-trial").text
    assert f"trial {number}, state complete, accuracy {a_trial(data).values['accuracy']:.4f}" in said
    reader.point_at("h1")
    assert reader.all(".lit[data-trial]") == []


def test_the_line_below_the_pointer_is_meant_on_the_parallel_plot(reader: Reader, data: StudyData) -> None:
    (line,) = reader.all(f'#parallel path[data-trial="{a_trial(data).number}"]')
    reader.run("document.querySelector('#parallel svg').scrollIntoView({block: 'center'})")
    at = reader.run(
        "const p = arguments[0].getPointAtLength(arguments[0].getTotalLength() - 20).matrixTransform("
        "arguments[0].getScreenCTM()); return [p.x, p.y]",
        line,
    )
    reader.move_to(*at)
    assert reader.numbers("#parallel .lit[data-trial]") == {a_trial(data).number}


def test_a_trial_without_a_line_gets_one_while_it_is_lit(reader: Reader, data: StudyData) -> None:
    stopped = next(record.number for record in data.records if record.state == "pruned")
    assert reader.all(f'#parallel path[data-trial="{stopped}"]') == []
    reader.point_at(f'#all-trials tr[data-trial="{stopped}"]')
    assert (reader.one("#parallel .overlay .lit path.core").get_attribute("d") or "").count("L") > 3


def test_clicks_and_keys_choose_trials_and_make_picks_of_them(reader: Reader, data: StudyData) -> None:
    first, *_, last = sorted(data.front, key=lambda record: record.values["parameters"])
    reader.click(f'#front-plot use[data-trial="{first.number}"]')
    assert reader.picks == f"--picks {first.number}"
    reader.run("document.querySelector('#front-plot .plot').focus()")
    reader.point_at("h1")
    reader.press(Keys.ARROW_LEFT, Keys.ENTER)
    assert reader.picks == f"--picks {first.number},{last.number}"
    assert reader.numbers("#all-trials tr.picked") == {first.number, last.number}
    assert {text.text for text in reader.all("#front-plot .overlay .picked text")} == {
        str(first.number),
        str(last.number),
    }
    reader.click(f'#all-trials tr[data-trial="{first.number}"]')
    assert reader.picks == f"--picks {last.number}"
    reader.press(Keys.ARROW_DOWN, Keys.SPACE)
    row = reader.one("#all-trials tr:focus")
    assert reader.picks == f"--picks {last.number},{row.get_attribute('data-trial')}"
    assert row.get_attribute("aria-selected") == "true"
    reader.click("#clear-picks")
    assert reader.picks == "" and reader.numbers(".picked[data-trial]") == set()


def test_picks_are_copied_or_where_that_is_not_allowed_selected(reader: Reader, data: StudyData) -> None:
    reader.run("window.copied = []; navigator.clipboard.writeText = async (text) => copied.push(text)")
    reader.click(f'#front-plot use[data-trial="{a_trial(data).number}"]')
    reader.click("#copy-picks")
    assert reader.run("return copied") == [f"--picks {a_trial(data).number}"]
    assert reader.one("#picks-said").text == "copied"
    reader.run("navigator.clipboard.writeText = async () => { throw new DOMException('', 'NotAllowedError'); }")
    reader.click("#copy-picks")
    assert reader.run("return getSelection().toString()") == f"--picks {a_trial(data).number}"
    assert "Ctrl+C" in reader.one("#picks-said").text


# -- filters and the table --------------------------------------------------------------------------------------------


def accurate(data: StudyData, least: float, most: float = 1.0) -> set[int]:
    """Trials whose last accuracy lies within shares of the axis."""
    scale = data.geometry.extent("accuracy")
    measured = {r.number: r.values.get("accuracy", r.metrics.get("accuracy")) for r in data.records}
    return {n for n, value in measured.items() if value is not None and least <= scale(value) <= most}


def test_a_brush_keeps_the_trials_within_it_in_all_views(reader: Reader, data: StudyData) -> None:
    reader.point_at('.brush[data-axis="accuracy"]')
    ActionChains(reader.driver, 0).click_and_hold().move_by_offset(0, -200).release().perform()
    reader.wait()
    low, high = reader.run("return [...state.filters.get('accuracy')]")
    assert low == pytest.approx(0.5, abs=0.01) and high == 1
    kept = accurate(data, low)
    trained = {record.number for record in data.records}
    assert 0 < len(kept) < len(trained)
    assert reader.numbers("#all-trials tr.out") == trained - kept
    complete = {record.number for record in data.complete}
    assert reader.numbers("#parallel path.out") == complete - kept
    assert reader.numbers("#front-plot use.out") & complete == complete - kept
    assert reader.one("#kept").text == f"{len(kept)} of {len(trained)} trials kept"
    reader.click("#clear-filters")
    assert reader.all(".out") == []


def test_a_filtered_trial_does_not_answer_the_pointer(reader: Reader, data: StudyData) -> None:
    worst = min(data.complete, key=lambda record: record.values["accuracy"])
    reader.run("setFilter('accuracy', [0.9, 1])")
    reader.wait()
    reader.point_at(f'#front-plot use[data-trial="{worst.number}"]')
    assert reader.all(".lit[data-trial]") == []


def test_keys_move_the_ends_of_a_filter(reader: Reader, data: StudyData) -> None:
    brush = reader.one('.brush[data-axis="accuracy"]')
    reader.run("arguments[0].focus()", brush)
    reader.press(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_DOWN)
    assert reader.run("return [...state.filters.get('accuracy')]") == pytest.approx([0.1, 0.95])
    assert brush.get_attribute("aria-valuetext") == "from 10 % to 95 % of the axis"
    kept = accurate(data, 0.1, 0.95)
    assert reader.numbers("#all-trials tr:not(.out)[data-trial]") == kept
    reader.press(Keys.ESCAPE)
    assert reader.all(".out") == []


@pytest.mark.parametrize("heading", ["accuracy", "parameters", "configuration", "state"])
def test_the_table_sorts_by_each_column_and_back(reader: Reader, data: StudyData, heading: str) -> None:
    headings = [each.text for each in reader.all("#all-trials th")]
    column = headings.index(heading)
    reader.click(f"#all-trials th:nth-child({column + 1}) button")

    def cells() -> list[str]:
        rows = "[...document.getElementById('all-trials').tBodies[0].rows]"
        read = f"return {rows}.map((row) => row.cells[arguments[0]].textContent)"
        return [str(cell) for cell in reader.run(read, column)]

    def keys() -> list[Any]:
        shown = [cell for cell in cells() if cell != "-"]
        return [float(cell.replace(",", "")) for cell in shown] if heading in ("accuracy", "parameters") else shown

    assert len(cells()) == len(data.records)
    rising = keys()
    assert rising == sorted(rising, key=lambda key: key.lower() if isinstance(key, str) else key)
    reader.click(f"#all-trials th:nth-child({column + 1}) button")
    assert keys() == sorted(rising, key=lambda key: key.lower() if isinstance(key, str) else key, reverse=True)
    missing = [index for index, cell in enumerate(cells()) if cell == "-"]
    assert missing == list(range(len(cells()) - len(missing), len(cells()))), "what is missing stays last"
