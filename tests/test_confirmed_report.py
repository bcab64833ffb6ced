"""The report's section of what was confirmed: means with their bars beside what was measured at selection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from kansearch.report.confirmation import confirmation
from kansearch.report.data import StudyData, read_study
from kansearch.report.geometry import Reference
from kansearch.report.html import render
from kansearch.report.predictions import predictions
from kansearch.space import Direction
from kansearch.study.confirmed import confirmed
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.study import Study
from tests.test_confirmed import MEASURED
from tests.test_report import drawings, simulated, words
from tests.test_study import EPOCH
from tests.test_tracking import add_trial, make_study

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SMALL = ["search.trials=12", "search.scheduler=none", "search.sampler=random"]


def with_seeds(data: StudyData, seeds: int) -> StudyData:
    """Two complete trials trained again, and a seed of the first that failed."""
    runs = []
    for record in data.complete[:2]:
        for seed in range(1, seeds + 1):
            last = {**EPOCH, "epoch": 1, "accuracy": None, "parameters": 100 + record.number, "seconds": 1.0 + seed}
            test = {**MEASURED, "accuracy": 0.89 + seed / 100}
            run = SeedRecord(record.number, "complete", stored=record.stored, curve=[last], seed=seed, test=test)
            runs.append(replace(run, values=run.confirmed(data.objectives)))
    runs.append(SeedRecord(runs[0].number, "fail", "<b>wrong</b>", stored=runs[0].stored, seed=seeds + 1))
    return replace(data, confirmed=confirmed(data.records, runs, data.objectives))


def bars(page: str) -> int:
    section = page[page.index('<section id="confirmed">') :].partition("</figure>")[0]
    return len(re.findall(r'class="line error', section.partition("<figcaption")[0]))


@pytest.fixture(scope="module")
def data() -> StudyData:
    return simulated(overrides=SMALL)


def test_a_study_that_nobody_confirmed_has_no_such_section(data: StudyData) -> None:
    assert 'id="confirmed"' not in render(data)
    assert "#confirmed" not in render(data)


def test_each_mean_has_its_bar_and_its_row(data: StudyData) -> None:
    page = render(with_seeds(data, 3))
    assert 'href="#confirmed"' in page
    (plot,) = [each for each in drawings(page) if str(each.get("aria-label")).startswith("Confirmed: ")]
    assert {"test accuracy (share of images)", "trainable parameters"} <= words(plot)
    assert bars(page) == 2, "parameters are exact"
    assert page.count("0.9100 ± 0.0160") >= 2, "t of 4 degrees of freedom times 0.01 over the root of 3"
    assert page.count("± 0.0297") == 2 and "other test images may move an accuracy" in page
    assert "&lt;b&gt;wrong&lt;/b&gt;" in page and "<b>wrong" not in page


@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_seeds_have_no_bar_and_no_chance(data: StudyData, seeds: int) -> None:
    found = confirmation(with_seeds(data, seeds))
    assert found is not None
    assert [cells[-1] for cells, *_ in found["rows"]] == ["not told"] * 2
    assert any("--seeds 3 --picks " in note for note in found["notes"])
    assert "95 % interval of the mean" not in [name for _, name in found["legend"]]
    assert bars(render(with_seeds(data, seeds))) == 0


def test_a_published_run_is_compared_with_one_more_run_of_the_best_trial_at_selection(data: StudyData) -> None:
    """By t of 4 degrees of freedom, times 0.01, times the root of 4/3."""
    confirmed_data = with_seeds(data, 3)
    best = max(data.complete[:2], key=lambda record: record.values["accuracy"]).number
    published = {"far below": 0.87, "near": 0.9, "far above": 0.95}
    references = [Reference(name, {"accuracy": each, "parameters": 900}, "paper") for name, each in published.items()]
    references.append(Reference("too small", {"accuracy": 0.9, "parameters": 50}, "paper"))
    found = confirmation(replace(confirmed_data, references=references))
    assert found is not None
    own = f"{100 + best}"
    assert found["published"] == [
        ("far below", "900", "0.8700", str(best), own, "0.9100 ± 0.0321", "below"),
        ("near", "900", "0.9000", str(best), own, "0.9100 ± 0.0321", "within"),
        ("far above", "900", "0.9500", str(best), own, "0.9100 ± 0.0321", "above"),
    ]
    page = render(replace(confirmed_data, references=references))
    assert "Beside what was published" in page and "0.9100 ± 0.0321" in page
    assert "Beside what was published" not in render(confirmed_data)
    few = confirmation(replace(with_seeds(data, 2), references=references))
    assert few is not None and few["published"] == [], "two seeds predict nothing"


@pytest.mark.parametrize(
    ("objectives", "count"),
    [({"accuracy": "maximize"}, 2), ({"accuracy": "maximize", "seconds": "minimize"}, 4)],
    ids=["one objective", "an objective that seeds change too"],
)
def test_other_objectives(objectives: Mapping[str, Direction], count: int) -> None:
    assert bars(render(with_seeds(simulated(objectives, SMALL), 3))) == count


def test_the_report_reads_what_confirm_keeps(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.1, 0.4], Study.complete)
    record = study.record(0)
    run = SeedRecord(0, "complete", stored=record.stored, curve=[{**EPOCH, "epoch": 2}], seed=1, test=MEASURED)
    SeedStore(study.folder).save(replace(run, values=run.confirmed(study.objectives)))
    (row,) = read_study(study).confirmed
    assert row.values == {"accuracy": 0.9, "parameters": 321}


def test_predictions_of_numbers_are_drawn_against_the_true_ones(data: StudyData) -> None:
    assert predictions(with_seeds(data, 2)) == [] and "Predicted and true" not in render(with_seeds(data, 2))
    told = with_seeds(data, 2)
    for row in told.confirmed:
        for run in row.complete:
            pairs = [[1.0, 1.5], [2.0, 2.0], [3.0, 2.0 + run.seed]]
            run.__dict__["test"] = {**run.test, "per_target": [{"target": "<pay>", "pairs": pairs}]}
    first, _ = drawn = predictions(told)
    assert len(drawn) == 2 and "<pay>, 2 seeds" in first.title
    for plot in (first.against_true, first.residuals):
        assert plot.count("h0") == 6 and "true &lt;pay&gt;" in plot and "line control" in plot
    page = render(told)
    assert page.count("predicted - true against true values") == 4 and "&lt;pay&gt;, 2 seeds" in page
