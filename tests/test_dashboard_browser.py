"""The dashboard in a browser: it opens at the answer, and everything else of a study is one click away."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from kansearch.study.front import front_of, knee
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from kansearch.tracking.dashboard import dashboard
from tests.browser import chromium, needs_chromium, requests, set_width
from tests.test_dashboard import make_tracked

pytestmark = [
    needs_chromium,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"),
]

_PATIENCE = 120.0  # seconds; no measurement, but a way not to hang
_RUN = "//a[contains(@href, '/runs/')]"
_DRAWN = "return arguments[0].complete && arguments[0].naturalWidth"
_CELLS = """
return [...document.querySelectorAll(`.ag-center-cols-container .ag-row`)]
  .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
  .map((row) => Object.fromEntries([...row.querySelectorAll('.ag-cell')]
    .map((cell) => [cell.getAttribute('col-id').replaceAll('`', ''), cell.textContent])));
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_tracked(tmp_path_factory.mktemp("work") / "studies")


@pytest.fixture
def best(study: Study) -> TrialRecord:
    return knee(front_of(study.records(), study.objectives), study.objectives)


@pytest.fixture(scope="module")
def opened(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[webdriver.Chrome, str]]:
    """A browser, and the address that the dashboard tells."""
    with (
        dashboard(study.folder.parent, study, None) as (address, _),
        chromium(tmp_path_factory.mktemp("profile")) as browser,
    ):
        set_width(browser, 1400)
        yield browser, address


@pytest.fixture
def browser(opened: tuple[webdriver.Chrome, str]) -> webdriver.Chrome:
    """At the page that the dashboard opens, nothing clicked."""
    driver, address = opened
    driver.get("about:blank")  # or only what follows the # would change
    driver.get(address)
    return driver


def find(browser: webdriver.Chrome, path: str) -> WebElement:
    """The first element at `path` that is shown, as soon as there is one."""

    def look(driver: webdriver.Chrome) -> WebElement | None:
        return next((each for each in driver.find_elements("xpath", path) if each.is_displayed()), None)

    found = WebDriverWait(browser, _PATIENCE).until(look)
    assert found is not None
    return found


def click(browser: webdriver.Chrome, path: str) -> None:
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", find(browser, path))
    find(browser, path).click()


def test_the_best_trade_off_is_read_without_a_click(browser: webdriver.Chrome, best: TrialRecord) -> None:
    told = f"Best balance: trial {best.number}, accuracy {best.values['accuracy']:.4f}, parameters "
    find(browser, f"//p[starts-with(normalize-space(), '{told}{best.values['parameters']:,.0f}; ')]")


def test_trials_are_rows_best_first_with_what_tells_them_apart(browser: webdriver.Chrome, study: Study) -> None:
    records = study.records()
    WebDriverWait(browser, _PATIENCE).until(lambda driver: len(driver.execute_script(_CELLS)) == len(records))
    rows = browser.execute_script(_CELLS)
    columns = ("metrics.accuracy", "metrics.parameters", "tags.basis", "tags.optimizer", "tags.kansearch.state")
    shown = [tuple(row[name] for name in columns) for row in rows]
    accuracies = [float(accuracy) for accuracy, *_ in shown[:-1]]
    assert accuracies == sorted(accuracies, reverse=True)
    complete = [
        (f"{record.values['accuracy']}", f"{record.values['parameters']:.0f}", record) for record in records[:-1]
    ]
    known = [(*values, each.stored.basis, each.config.optimizer.name, "complete") for *values, each in complete]
    assert sorted(shown[:-1]) == sorted(known)
    assert shown[-1][-1] == "fail" and [row["tags.front"] for row in rows].count("best balance") == 1


@pytest.mark.parametrize("path", ["//p{}[normalize-space() = '{}']", "{}[starts-with(normalize-space(), '{:05d} ')]"])
def test_its_configuration_is_one_click_away(browser: webdriver.Chrome, best: TrialRecord, path: str) -> None:
    click(browser, path.format(_RUN, best.number))
    browser.switch_to.window(browser.window_handles[-1])  # the line above the table opens another one
    find(browser, f"//h1[contains(., '{best.number:05d}')] | //h2[contains(., '{best.number:05d}')]")
    find(browser, "//*[normalize-space(text()) = 'model.basis.name']")
    find(browser, f"//*[normalize-space(text()) = '{best.config.optimizer.lr}']")
    if len(browser.window_handles) > 1:
        browser.close()
        browser.switch_to.window(browser.window_handles[0])


def test_charts_of_all_trials_are_one_click_away(browser: webdriver.Chrome, study: Study) -> None:
    find(browser, _RUN)
    click(browser, "//label[.//input[@value = 'CHART']]")
    find(browser, "//*[normalize-space(text()) = 'log10_parameters vs. accuracy']")
    find(browser, "//*[normalize-space(text()) = 'Parallel Coordinates']")
    points = "return document.querySelectorAll('.scatterlayer path.point').length"
    complete = sum(record.state == "complete" for record in study.records())
    WebDriverWait(browser, _PATIENCE).until(lambda driver: driver.execute_script(points) == complete)


def test_the_studys_run_begins_with_the_front(browser: webdriver.Chrome, best: TrialRecord) -> None:
    click(browser, f"//p{_RUN}[normalize-space() = 'The front']")
    WebDriverWait(browser, _PATIENCE).until(lambda driver: len(driver.window_handles) == 2)
    browser.switch_to.window(browser.window_handles[1])
    find(browser, f"//p[starts-with(normalize-space(), 'Best balance: trial {best.number}, ')]")
    picture = find(browser, "//img[@alt = 'front' or contains(@src, 'path=front.png')]")
    WebDriverWait(browser, _PATIENCE).until(lambda driver: driver.execute_script(_DRAWN, picture) > 500)
    click(browser, "//button[.//*[normalize-space(text()) = 'Show more'] or normalize-space() = 'Show more']")
    find(browser, f"//td{_RUN}[normalize-space() = '{best.number}']")
    browser.close()
    browser.switch_to.window(browser.window_handles[0])


def test_a_trials_metrics_are_drawn_and_nothing_is_asked_of_anybody_else(
    browser: webdriver.Chrome, opened: tuple[webdriver.Chrome, str]
) -> None:
    click(browser, f"{_RUN}[starts-with(normalize-space(), '00000 ')]")
    click(browser, "//*[@role = 'tab'][normalize-space() = 'Model metrics']")
    find(browser, "//*[name() = 'svg'][contains(@class, 'main-svg')]")
    assert {url.split("/")[2] for url in requests(browser) if url.startswith("http")} == {opened[1].split("/")[2]}
