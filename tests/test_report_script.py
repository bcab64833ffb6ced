"""The report's page in a browser while a search runs, without its script, and with a script that isn't its own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from selenium import webdriver

from kansearch.report import html
from kansearch.report.data import StudyData
from kansearch.report.geometry import Reference
from kansearch.report.html import render, write_html
from tests.browser import complaints, needs_chromium, requests
from tests.reader import a_trial, opened, searched, written
from tests.test_report import made

pytestmark = [
    needs_chromium,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]


@pytest.fixture
def data() -> StudyData:
    return searched()


# -- while a search runs ----------------------------------------------------------------------------------------------


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_while_a_search_runs_the_page_refreshes_itself_and_the_readers_choices_stay(
    browser: webdriver.Chrome, tmp_path: Path, data: StudyData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "REFRESH_SECONDS", 2.0)
    path = tmp_path / "report.html"
    some = replace(data, trials=data.trials[:-8], running=True)
    write_html(some, path)
    reader = opened(browser, path)
    assert "the search runs" in reader.one("header").text
    number = a_trial(some).number
    reader.run("document.getElementById('refreshes').click()")
    reader.click(f'#front-plot use[data-trial="{number}"]')
    reader.click("#all-trials th:nth-child(3) button")
    reader.run("setFilter('accuracy', [0.5, 1]); change({ budget: 4, across: 'seconds' })")
    reader.run("document.getElementById('axis-up').focus()")
    reader.run("scrollTo(0, document.getElementById('curves').offsetTop + 40)")
    reader.wait()
    place = "return document.getElementById('curves').getBoundingClientRect().top"
    before = reader.run(place)

    def kept() -> None:
        assert reader.picks == f"--picks {number}"
        assert reader.run("return [...state.filters]") == [["accuracy", [0.5, 1]]]
        assert reader.run("return [state.budget, state.across]") == [4, "seconds"]
        assert reader.one("#all-trials th[aria-sort]").text.startswith("accuracy")
        assert len(reader.all("#front-plot .overlay .picked circle")) == 1
        assert reader.run("return document.activeElement.id") == "axis-up"
        assert reader.run(place) == pytest.approx(before, abs=2)

    reader.run("window.old = true; document.getElementById('refreshes').click()")
    until(lambda: reader.run("return document.readyState === 'complete' && window.old === undefined"))
    assert len(reader.all("#all-trials tbody tr")) == len(some.trials)
    kept()
    published = [Reference("LeNet-5", {"accuracy": 0.99, "parameters": 61_706}, "a paper")]  # a table more above
    write_html(replace(data, running=False, references=published), path)
    until(lambda: len(reader.all("#all-trials tbody tr")) == len(data.trials))
    assert "the search runs" not in reader.one("header").text
    kept()
    requests(browser)
    reader.run("window.old = true")
    time.sleep(2.5)
    assert reader.run("return window.old") is True, "the search has ended: nothing more is looked for"
    assert requests(browser) == []
    assert complaints(browser) == []


# -- without the script, and with another's ---------------------------------------------------------------------------


def test_without_scripts_all_is_there_and_nothing_that_needs_one(
    browser: webdriver.Chrome, tmp_path: Path, data: StudyData
) -> None:
    (tmp_path / "report.html").write_text(written())
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        reader = opened(browser, tmp_path / "report.html")
        assert len(reader.all("#all-trials tbody tr")) == len(data.records)
        assert "plain" in reader.one("#all-trials tbody").text
        assert reader.one("#all-trials th").text == "trial"
        for plot in ("front-plot", "parallel", "curves", "timeline"):
            assert reader.one(f"#{plot} svg").is_displayed()
        for control in (".controls", "#chosen", "#age"):
            assert not reader.one(control).is_displayed()
        assert "As of " in reader.one("header").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


HOSTILE = "</script><script>document.title = 'taken'</script><!-- \u2028 'quoted\" <img src=x onerror=document.title=1>"


def test_what_a_study_says_never_runs(browser: webdriver.Chrome, tmp_path: Path, data: StudyData) -> None:
    trials = [replace(trial, record=replace(trial.record, reason=HOSTILE)) for trial in data.trials]
    written = replace(made(trials), name=HOSTILE, running=True, notes={0: HOSTILE})
    page = render(written)
    embedded = re.findall(r'id="study-data">(.*?)</script>', page, re.DOTALL)[0]
    assert json.loads(embedded)["study"] == HOSTILE
    (tmp_path / "report.html").write_text(page)
    reader = opened(browser, tmp_path / "report.html")
    assert reader.run("return document.title").startswith("</script>")
    assert reader.one("h1").text.startswith("</script><script>")
    assert reader.one('#all-trials tr[data-trial="0"] td:last-child').text.startswith("</script><script>")
    assert reader.run("return document.scripts.length") == 2 and reader.all("img") == []
    assert requests(browser) == [(tmp_path / "report.html").as_uri()]
    assert complaints(browser) == []


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser: webdriver.Chrome, tmp_path: Path) -> None:
    other = (
        "<script>document.title = 'taken'</script><img src=https://127.0.0.1:9/x onerror=\"document.title = 'taken'\">"
    )
    (tmp_path / "report.html").write_text(written().replace("</main>", f"{other}</main>"))
    reader = opened(browser, tmp_path / "report.html")
    assert reader.run("return document.title") == "simulated: report"
    assert all("Content Security Policy" in each for each in complaints(browser))
    assert reader.run("return document.documentElement.className") == "scripted", "its own runs"


def test_a_study_without_a_complete_trial_answers_too(
    browser: webdriver.Chrome, tmp_path: Path, data: StudyData
) -> None:
    trials = [trial for trial in data.trials if trial.record.state != "complete"]
    write_html(replace(data, trials=trials), tmp_path / "report.html")
    reader = opened(browser, tmp_path / "report.html")
    reader.click("#all-trials tbody tr:nth-child(2)")
    assert reader.picks == f"--picks {trials[1].record.number}"
    assert complaints(browser) == []
    write_html(replace(data, trials=[]), tmp_path / "report.html")
    reader = opened(browser, tmp_path / "report.html")
    assert "No trial has run yet" in reader.one("main").text
    assert complaints(browser) == []
