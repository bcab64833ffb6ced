"""How large the report is, and how soon a trial that is pointed at is lit: `python -m tests.benchmarks.report`.

Searches on a simulated clock give studies of `--trials`, all of them complete unless `--halving` is given. Chromium
without a GPU draws each page at 1280 x 1000. A pointer jumps onto a trial from beside the plot, `--moves` times in each
view. Printed is the time from the pointer's event to the frame that shows the trial lit, as the browser's Event Timing
gives it: it is rounded to 8 ms, and what took less than 16 ms counts as 16. Beside it is the processor time of the
whole browser for one such move and the one back, which does not depend on what else the machine does. An empty page,
where a style sheet alone lights a square, is the measure of both.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

from selenium import webdriver

from kansearch.report.html import render
from tests.browser import chromium, set_width
from tests.test_report import simulated

VIEWS = {
    "front": "#front-plot use[data-trial]",
    "parallel": "#parallel path[data-trial]",
    "curves": "#curves path[data-trial]",
    "table": "#all-trials tbody tr",
}
"""By view, the elements that a pointer is moved to."""
LEAST = 16.0
OUTSIDE = (4, 500)
"""A place beside all of them, from where the pointer comes."""
EMPTY = (
    """<!doctype html><style>i {display: inline-block; width: 20px; height: 20px; margin: 6px; background: silver}
i:hover {background: red}</style><div class="plot">"""
    + "<i></i>" * 400
    + "</div>"
)

OBSERVE = """
window.shown = [];
new PerformanceObserver((list) => {
  const meant = (each) => each.name === 'pointerover' && each.target && each.target.closest('svg, tr, i');
  shown.push(...list.getEntries().filter(meant).map((each) => each.duration));
}).observe({ type: 'event', durationThreshold: 16 });
"""
PLACES = """
const elements = [...document.querySelectorAll(arguments[0])];
elements[0].closest('.plot, .tall').scrollIntoView({ block: 'center' });
const seen = (element) => {
  const box = element.getBoundingClientRect();
  const length = element.getTotalLength ? element.getTotalLength() : 0;
  if (!length) return [box.x + box.width / 2, box.y + box.height / 2];
  const point = element.getPointAtLength(length * 0.7).matrixTransform(element.getScreenCTM());
  return [point.x, point.y];
};
return elements.map(seen)
  .filter(([x, y]) => x > 0 && y > 60 && x < innerWidth && y < innerHeight - 60);
"""
FRAMES = "requestAnimationFrame(() => requestAnimationFrame(() => arguments[0]()))"


def written(trials: int, halving: bool, folder: Path) -> Path:
    """The page of a simulated study; prints its size and how long it took to make."""
    scheduler = "halving" if halving else "none"
    settings = [f"search.trials={trials}", f"search.scheduler={scheduler}", "search.min_epochs=9"]
    data = simulated(overrides=[*settings, "search.sampler=random"])
    start = time.perf_counter()
    page = render(data)
    seconds = time.perf_counter() - start
    print(f"{trials:,} trials, {len(data.complete):,} complete: {len(page.encode()) / 1e6:.2f} MB in {seconds:.1f} s")
    path = folder / f"{trials}.html"
    path.write_text(page)
    return path


def spent(driver: webdriver.Chrome) -> float:
    """Seconds of processor time that all processes of the browser have used."""
    children: dict[int, list[int]] = {}
    ticks: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        number = int(path.parent.name)
        children.setdefault(int(fields[1]), []).append(number)
        ticks[number] = int(fields[11]) + int(fields[12])
    family, found = [driver.service.process.pid], 0  # type: ignore[union-attr]
    while family:
        number = family.pop()
        found += ticks.get(number, 0)
        family += children.get(number, [])
    return found / os.sysconf("SC_CLK_TCK")


def durations(driver: webdriver.Chrome, selector: str, moves: int) -> tuple[list[float], float]:
    """Milliseconds from each event of a pointer to its frame, rising; milliseconds of processor time of one of them."""
    places = driver.execute_script(PLACES, selector)
    driver.execute_script("window.shown.length = 0")
    places = random.Random(0).choices(places, k=moves)
    before = spent(driver)
    for place in places:
        for x, y in (OUTSIDE, place):
            driver.execute_cdp_cmd("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
            driver.execute_async_script(FRAMES)
    time.sleep(0.3)
    used = 1000 * (spent(driver) - before) / moves
    slow = [float(duration) for duration in driver.execute_script("return window.shown")]
    return sorted([*slow, *[LEAST] * (moves - len(slow))]), used


def measure(driver: webdriver.Chrome, name: str, selector: str, moves: int) -> None:
    found, used = durations(driver, selector, moves)
    middle, high = statistics.median(found), found[int(0.95 * moves)]
    print(f"  {name:8}  median {middle:3.0f} ms, 95 % within {high:3.0f} ms, processor time {used:4.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--halving", action="store_true")
    parser.add_argument("--moves", type=int, default=100)
    args = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder, chromium(Path(folder) / "profile") as driver:
        set_width(driver, 1280, 1000)
        empty = Path(folder) / "empty.html"
        empty.write_text(EMPTY)
        driver.get(empty.as_uri())
        driver.execute_script(OBSERVE)
        measure(driver, "empty", "i", args.moves)
        for trials in args.trials:
            page = written(trials, args.halving, Path(folder))
            start = time.perf_counter()
            driver.get(page.as_uri())
            driver.execute_async_script(FRAMES)
            print(f"  shown after {time.perf_counter() - start:.1f} s")
            driver.execute_script(OBSERVE)
            for view, selector in VIEWS.items():
                measure(driver, view, selector, args.moves)


if __name__ == "__main__":
    main()
