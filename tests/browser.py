"""A browser without a screen: Debian's Chromium, driven by Selenium. Tests that need it are skipped where it is not."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_CHROMIUM, _DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

needs_chromium = pytest.mark.skipif(
    _CHROMIUM is None or _DRIVER is None, reason="no Chromium: apt-get install chromium chromium-driver"
)
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",  # root's Chromium doesn't start with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


@contextmanager
def chromium(profile: Path) -> Iterator[webdriver.Chrome]:
    """A browser that reaches this machine alone, with an empty profile in the folder `profile`."""
    assert _CHROMIUM and _DRIVER
    os.environ.setdefault("SE_AVOID_STATS", "true")
    options = Options()
    options.binary_location = _CHROMIUM
    for argument in (*_ARGUMENTS, f"--user-data-dir={profile}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(_DRIVER))
    try:
        driver.set_page_load_timeout(120)
        driver.get("about:blank")  # and forget what the browser's own first page asked for
        requests(driver)
        yield driver
    finally:
        driver.quit()


def set_width(driver: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Of the page, as on a telephone: a window can't be narrower than 500."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def complaints(driver: webdriver.Chrome) -> list[str]:
    """What the page wrote to the console since this was last asked, errors of the network included."""
    return [f"{each['level']}: {each['message']}" for each in driver.get_log("browser")]


def requests(driver: webdriver.Chrome) -> list[str]:
    """Every address that was asked for since this was last asked."""
    messages = [json.loads(each["message"])["message"] for each in driver.get_log("performance")]
    asked: list[Any] = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    return [str(url) for url in asked]
