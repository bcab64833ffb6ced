"""The dashboard in a browser: from the page that it opens, three clicks reach the front and the best configuration."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from kansearch.study.front import front_of, knee
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


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_tracked(tmp_path_factory.mktemp("work") / "studies")


@pytest.fixture(scope="module")
def opened(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[webdriver.Chrome, str]]:
    """A browser, and the address that the dashboard tells."""
    with (
        dashboard(study.folder.parent, study, None) as (address, _),
        chromium(tmp_path_factory.mktemp("profile")) as browser,
    ):
        set_width(browser, 1400)
        yield browser, address


def open_page(opened: tuple[webdriver.Chrome, str]) -> webdriver.Chrome:
    browser, address = opened
    browser.get("about:blank")  # or only what follows the # would change
    browser.get(address)
    return browser


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


def test_the_fronts_picture_is_three_clicks_away(opened: tuple[webdriver.Chrome, str]) -> None:
    browser = open_page(opened)
    click(browser, f"{_RUN}[normalize-space() = 'small']")
    click(browser, "//*[@role = 'tab'][normalize-space() = 'Artifacts']")
    click(browser, "//*[normalize-space(text()) = 'front.png']")
    picture = find(browser, "//img[starts-with(@src, 'blob:') or contains(@src, 'artifact')]")
    drawn = "return arguments[0].complete && arguments[0].naturalWidth"
    WebDriverWait(browser, _PATIENCE).until(lambda driver: driver.execute_script(drawn, picture) > 500)


def test_the_best_configuration_is_two_clicks_away(opened: tuple[webdriver.Chrome, str], study: Study) -> None:
    best = knee(front_of(study.records(), study.objectives), study.objectives)
    browser = open_page(opened)
    click(browser, f"{_RUN}[normalize-space() = 'small']")
    click(browser, f"//p{_RUN}[normalize-space() = '{best.number}']")
    WebDriverWait(browser, _PATIENCE).until(lambda driver: len(driver.window_handles) == 2)
    browser.switch_to.window(browser.window_handles[1])
    find(browser, f"//h1[contains(., '{best.number:05d}')] | //h2[contains(., '{best.number:05d}')]")
    find(browser, "//*[normalize-space(text()) = 'model.basis.name']")
    find(browser, f"//*[normalize-space(text()) = '{best.config.optimizer.lr}']")
    browser.close()
    browser.switch_to.window(browser.window_handles[0])


def test_trials_are_nested_and_their_metrics_are_drawn(opened: tuple[webdriver.Chrome, str]) -> None:
    browser = open_page(opened)
    find(browser, f"{_RUN}[normalize-space() = 'small']")
    click(browser, "//*[contains(@class, 'ag-row')]//button[.//*[name() = 'svg']]")
    click(browser, f"{_RUN}[starts-with(normalize-space(), '00000 ')]")
    click(browser, "//*[@role = 'tab'][normalize-space() = 'Model metrics']")
    find(browser, "//*[name() = 'svg'][contains(@class, 'main-svg')]")
    assert {url.split("/")[2] for url in requests(browser) if url.startswith("http")} == {opened[1].split("/")[2]}
