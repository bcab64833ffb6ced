"""The report in a browser: from disk, with no network, in a wide and a narrow window, in light and in dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium import webdriver

from kansearch.report.html import write_html
from tests.browser import complaints, needs_chromium, requests, set_width
from tests.test_report import ALWAYS, SECTIONS, simulated

pytestmark = [
    needs_chromium,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]

SPILLED = """
const spilled = [];
for (const svg of document.querySelectorAll('svg[role=img]')) {
  const box = svg.getBoundingClientRect();
  for (const text of svg.querySelectorAll('text')) {
    const own = text.getBoundingClientRect();
    if (own.left < box.left - 1 || own.right > box.right + 1 || own.top < box.top - 1 || own.bottom > box.bottom + 1)
      spilled.push(svg.getAttribute('aria-label') + ': ' + text.textContent);
  }
}
return spilled;
"""
SMALLEST = """
let smallest = 100;
for (const svg of document.querySelectorAll('svg[role=img]')) {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  for (const text of svg.querySelectorAll('text'))
    smallest = Math.min(smallest, scale * parseFloat(getComputedStyle(text).fontSize));
}
return smallest;
"""
LUMINANCES = """
const luminance = (colour) => {
  const [r, g, b] = colour.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
    .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ink = document.querySelector('svg[role=img] text');
return [luminance(getComputedStyle(document.body).backgroundColor), luminance(getComputedStyle(ink).fill)];
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(simulated(), path)
    return path


def test_it_loads_nothing_and_complains_of_nothing(browser: webdriver.Chrome, page: Path) -> None:
    browser.get("about:blank")
    requests(browser), complaints(browser)  # those of other tests
    browser.get(page.as_uri())
    assert requests(browser) == [page.as_uri()]
    assert complaints(browser) == []


@pytest.mark.parametrize("width, legible", [(1280, 10), (390, 8.5)])
def test_every_section_is_seen_and_its_text_fits(
    browser: webdriver.Chrome, page: Path, width: int, legible: float
) -> None:
    set_width(browser, width)
    browser.get(page.as_uri())
    for name in (*SECTIONS, *ALWAYS):
        section = browser.find_element("id", name)
        assert section.is_displayed()
        plots = section.find_elements("css selector", "svg[role=img]")
        assert plots or name in ("summary", "failures", "provenance")
        assert all(plot.size["width"] > 200 and plot.size["height"] > 60 for plot in plots), name
    assert browser.execute_script("return document.scrollingElement.scrollWidth") <= width
    assert browser.execute_script(SPILLED) == []
    assert browser.execute_script(SMALLEST) >= legible, "pixels"


@pytest.mark.parametrize("scheme, dark", [("light", False), ("dark", True)])
def test_it_follows_the_readers_choice_of_light_or_dark(
    browser: webdriver.Chrome, page: Path, scheme: str, dark: bool
) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(page.as_uri())
    paper, ink = browser.execute_script(LUMINANCES)
    assert (paper < ink) == dark
    assert (max(paper, ink) + 0.05) / (min(paper, ink) + 0.05) > 4.5, "contrast (WCAG 2, AA)"
