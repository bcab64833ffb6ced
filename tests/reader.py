"""A reader of a report in a browser: with a pointer, a keyboard and the page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.remote.webelement import WebElement

from kansearch.report.data import StudyData
from kansearch.report.html import render
from kansearch.study.records import TrialRecord
from tests.browser import complaints, requests, set_width
from tests.test_report import simulated

SMALL = ["search.trials=40", "search.scheduler=halving", "search.min_epochs=9", "search.sampler=random"]
FRAMES = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"
ROLES = """
return Object.fromEntries([...document.querySelectorAll('#front-plot use[data-trial]')].map((mark) =>
  [mark.dataset.trial, ['best', 'rest', 'stopped'].filter((role) => mark.classList.contains(role)).join()]));
"""
SHOW = """
arguments[0].scrollIntoView({block: 'center'});
const box = arguments[0].getBoundingClientRect();
return [box.x, box.y, box.width, box.height];
"""
CHOOSE = """
const [id, value] = arguments;
document.getElementById(id).value = value;
for (const kind of ['input', 'change']) document.getElementById(id).dispatchEvent(new Event(kind));
"""


@cache
def searched() -> StudyData:
    """A small search on a simulated clock, with branches; some trials were stopped early, two failed."""
    return simulated(overrides=SMALL)


@cache
def written() -> str:
    """The page of that search."""
    return render(searched())


def reading(browser: webdriver.Chrome, folder: Path) -> Iterator[Reader]:
    """A reader of that page, which is written into `folder`; the browser has nothing to complain of in the end."""
    (folder / "report.html").write_text(written())
    yield opened(browser, folder / "report.html")
    assert complaints(browser) == []


def a_trial(data: StudyData) -> TrialRecord:
    """A trial of the front."""
    return data.front[len(data.front) // 2]


class Reader:
    """A reader with a pointer, a keyboard and the page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements("css selector", selector)

    def point_at(self, selector: str) -> None:
        x, y, width, height = self.run(SHOW, self.one(selector))
        self.move_to(x + width / 2, y + height / 2)

    def move_to(self, x: float, y: float) -> None:
        actions = ActionChains(self.driver, 0)
        actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
        actions.perform()
        self.wait()

    def click(self, selector: str) -> None:
        self.point_at(selector)
        ActionChains(self.driver, 0).click().perform()
        self.wait()

    def press(self, *keys: str) -> None:
        ActionChains(self.driver, 0).send_keys(*keys).perform()
        self.wait()

    def choose(self, id_: str, value: object) -> None:
        self.run(CHOOSE, id_, str(value))
        self.wait()

    def run(self, script: str, *given: object) -> Any:
        return self.driver.execute_script(script, *given)

    def wait(self) -> None:
        """Until what was done is drawn."""
        self.driver.execute_async_script(FRAMES)

    def numbers(self, selector: str) -> set[int]:
        """Trials of the elements that a selector finds."""
        return {
            int(number)
            for number in self.run(f"return [...document.querySelectorAll('{selector}')].map((e) => e.dataset.trial)")
        }

    @property
    def picks(self) -> str:
        return str(self.run("return document.getElementById('picks').value"))


def opened(browser: webdriver.Chrome, page: Path) -> Reader:
    set_width(browser, 1280, 1000)
    browser.get("about:blank")
    complaints(browser), requests(browser)  # those of other tests
    browser.get(page.as_uri())
    return Reader(browser)
