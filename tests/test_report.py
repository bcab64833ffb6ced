"""The report: every part of it for every kind of study, with nothing to load and nothing that a study could inject."""

from __future__ import annotations

import base64
import hashlib
import html
import random
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
import pytest

from kansearch.bench.problems import PROBLEMS, simulated_space
from kansearch.bench.simulator import MemoryStudy, _Clock
from kansearch.commands import looking
from kansearch.engine.ask_tell import AskTell
from kansearch.report.bases import basis_table
from kansearch.report.data import StudyData, Trial, read_study
from kansearch.report.epochs import budgets, values_by_budget
from kansearch.report.failures import failure_groups
from kansearch.report.front import front_plot
from kansearch.report.geometry import Reference, axis_name
from kansearch.report.html import render
from kansearch.report.importance import importances
from kansearch.report.progress import hypervolumes
from kansearch.report.scales import Linear, Log, fitted
from kansearch.report.timeline import timeline
from kansearch.report.writer import ReportWriter
from kansearch.space import Direction, SearchSpace, parse_space
from kansearch.study.front import hypervolume
from kansearch.study.lock import driver_lock
from kansearch.study.records import TrialRecord
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import epoch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SECTIONS = ("summary", "front", "bases", "progress", "curves", "importance", "hyperparameters", "parallel")
ALWAYS = ("timeline", "failures", "provenance")
BEGAN = datetime(2026, 1, 1, 12)
SEARCHED = ["search.trials=80", "search.scheduler=halving", "search.min_epochs=9", "search.sampler=random"]


def simulated(objectives: Mapping[str, Direction] | None = None, overrides: Sequence[str] = SEARCHED) -> StudyData:
    """A search on a simulated clock, with branches; some trials are pruned, two fail."""
    space = simulated_space(True)
    space = parse_space(space.source, space.file, list(overrides))
    study = MemoryStudy(replace(space, objectives=objectives) if objectives else space)  # type: ignore[arg-type]
    search = AskTell(study, 4, lambda: False, lambda record: None)
    for _ in range(2):
        assignment = search.ask()
        assert assignment is not None
        search.fail(assignment.number, "ValueError: <script>alert('me & you')</script>")
    _Clock(PROBLEMS[0], 0).run(search, 1e9)
    return read_study(study)


@pytest.fixture(scope="module")
def data() -> StudyData:
    return simulated()


def drawings(page: str) -> list[ElementTree.Element]:
    """Every plot; malformed markup raises."""
    found = [ElementTree.fromstring(each) for each in re.findall(r"<svg(?: [^>]*)?>.*?</svg>", page, re.DOTALL)]
    return [each for each in found if each.get("role") == "img"]


def words(element: ElementTree.Element) -> set[str]:
    return {(each.text or "").strip() for each in element.iter("text")}


def test_every_section_has_its_plots_and_every_axis_its_name(data: StudyData) -> None:
    page = render(data)
    for section in (*SECTIONS, *ALWAYS):
        assert f'<section id="{section}">' in page
        assert f'href="#{section}"' in page
    plots = drawings(page)
    assert len(plots) == 1 + 2 + 2 + 1 + 2 + 2 * 11 + 1 + 1, "front, bases, progress, curves, importance, panels, ..."
    front, timeline_ = plots[0], plots[-1]
    assert {"trainable parameters", "validation accuracy (share of images)"} <= words(front)
    assert {"time of the search (s)", "place"} <= words(timeline_)
    for plot in plots:
        assert plot.get("viewBox")
        assert plot.get("aria-label")
        assert len(words(plot)) > 2, "ticks and names"


def test_nothing_is_loaded_and_no_script_runs_but_the_one_whose_hash_the_policy_has(data: StudyData) -> None:
    page = render(data)
    assert not re.search(r"<link|<img|<iframe|@import|url\(|src=|https?:", page)
    assert set(re.findall(r'href="(.)', page)) == {"#"}
    policy = html.unescape(re.findall(r'Security-Policy" content="([^"]*)"', page)[0])
    embedded, running = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
    assert embedded[0] == ' type="application/json" id="study-data"' and running[0] == ""
    digest = base64.b64encode(hashlib.sha256(running[1].encode()).digest()).decode()
    assert dict(rule.split(" ", 1) for rule in policy.split("; ")) == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_what_a_study_says_is_text_not_markup(data: StudyData) -> None:
    page = render(data)
    assert "alert(" in page
    assert "&lt;script&gt;alert(&#39;me &amp; you&#39;)&lt;/script&gt;" in page


def test_a_study_without_a_complete_trial_says_so(tmp_path: Path) -> None:
    study = Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))
    page = render(read_study(study))
    assert "No trial is complete" in page
    assert "No trial has run yet" in page
    study.fail(start_trial(study).number, "RuntimeError: no")
    start_trial(study)
    page = render(read_study(study))
    assert "0 of 6 trials" not in page
    assert "1 of 6 trials have finished (1 failed, 1 still running)" in page
    assert "RuntimeError: no" in page
    assert '<section id="front">' not in page


@pytest.mark.parametrize(
    "objectives",
    [
        {"accuracy": "maximize"},
        {"parameters": "minimize"},
        {"validation_loss": "minimize", "flops": "minimize"},
        {"accuracy": "maximize", "parameters": "minimize", "seconds": "minimize"},
    ],
    ids=lambda objectives: "-".join(objectives),
)
def test_one_objective_and_more_than_two(objectives: Mapping[str, Direction]) -> None:
    small = ["search.trials=8", "search.scheduler=none", "search.sampler=random"]
    page = render(simulated(objectives, small))
    pairs = max(1, len(objectives) * (len(objectives) - 1) // 2)
    assert sum("The front:" in str(plot.get("aria-label")) for plot in drawings(page)) == pairs
    assert all(axis_name(name) in page for name in objectives)
    assert "Too few trials: 6 are complete" in page


def test_the_curve_of_hypervolume_ends_at_the_fronts(data: StudyData) -> None:
    rows = hypervolumes(data)
    assert rows[-1][0] == len(data.trials)
    assert rows[-1][1] == pytest.approx(sum(record.seconds for record in data.records))
    assert rows[-1][2] == pytest.approx(hypervolume(data.front, data.objectives))
    assert [volume for _, _, volume in rows] == sorted(volume for _, _, volume in rows)


def test_published_points_are_drawn_with_their_names_and_sources(data: StudyData) -> None:
    published = Reference("LeNet <5>", {"accuracy": 0.99, "parameters": 61_706}, "a paper, 1998")
    page = render(replace(data, references=[published]))
    assert "<td>LeNet &lt;5&gt;</td>" in page and "<td>a paper, 1998</td>" in page and "61,706" in page
    (plot,) = [each for each in drawings(page) if "LeNet <5>" in words(each)]
    assert plot.get("aria-label") == drawings(page)[0].get("aria-label")


# -- made by hand ----------------------------------------------------------------------------------------------------


def made(trials: Sequence[Trial], **more: Any) -> StudyData:
    space: SearchSpace = simulated_space(True)
    objectives: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}
    written = (BEGAN + timedelta(seconds=100)).astimezone()
    filled: dict[str, Any] = {"sessions": [], "elapsed_seconds": 0.0, "written": written, **more}
    return StudyData("made", space, objectives, trials, **filled)


def record(
    number: int, accuracy: float, parameters: float, basis: str = "none", state: Any = "complete"
) -> TrialRecord:
    document = {
        "data": {"dataset": "digits"},
        "model": {"family": "plain", "basis": {"name": basis}, "depth": 1, "width": 2, "bottleneck": None},
        "optimizer": {"name": "adamw"},
    }
    return TrialRecord(
        number, state, values={"accuracy": accuracy, "parameters": parameters}, stored=StoredConfig(document)
    )


def ran(number: int, began: float, ended: float | None, state: Any = "complete") -> Trial:
    times = [None if at is None else BEGAN + timedelta(seconds=at) for at in (began, ended)]
    return Trial(record(number, 0.5, 10, state=state), {}, {}, *times)


def test_trials_are_laid_into_places_by_their_times() -> None:
    shown = timeline(made([ran(0, 0, 10), ran(1, 0, 4), ran(2, 5, 10), ran(3, 12, 20)]))
    assert shown is not None
    assert [[trial.record.number for trial, _, _ in row] for row in shown.rows] == [[0, 3], [1, 2]]
    assert (shown.places, shown.seconds) == (2, 20.0)
    assert shown.idle == pytest.approx(1 - (10 + 4 + 5 + 8) / 40)


def session(at: float, elapsed: float, places: int) -> dict[str, Any]:
    began = (BEGAN + timedelta(seconds=at)).astimezone().isoformat()
    return {"began": began, "elapsed": elapsed, "max_concurrent": places}


def test_pauses_between_drivers_do_not_count_and_a_running_trial_lasts_as_long_as_its_driver() -> None:
    sessions = [session(0, 0.0, 1), session(60, 10.0, 1)]
    trials = [ran(0, 0, 10), ran(1, 62, None, "running")]
    shown = timeline(made(trials, sessions=sessions, elapsed_seconds=50.0))
    assert shown is not None
    ((first, second),) = shown.rows
    assert (first[1:], second[1:]) == ((0.0, 10.0), (12.0, 50.0))
    assert shown.idle == pytest.approx(2 / 50)


def test_where_drivers_were_not_noted_a_running_trial_lasts_until_the_last_thing_known() -> None:
    shown = timeline(made([ran(0, 0, 10), ran(1, 4, None, "running")]))
    assert shown is not None
    assert [row[0][1:] for row in shown.rows] == [(0.0, 10.0), (4.0, 10.0)]


def test_a_hyperparameter_that_decides_is_the_most_important_also_within_a_branch() -> None:
    rng, trials = random.Random(0), []
    ranges = {
        "a": optuna.distributions.FloatDistribution(0, 1),
        "b": optuna.distributions.FloatDistribution(0, 1),
        "kind": optuna.distributions.CategoricalDistribution(["x", "y"]),
        "kind.y.c": optuna.distributions.FloatDistribution(0, 1),
    }
    for number in range(80):
        drawn: dict[str, Any] = {"a": rng.random(), "b": rng.random(), "kind": rng.choice("xy")}
        accuracy = 0.2 * drawn["a"] if drawn["kind"] == "x" else 0.1 * drawn["a"]
        if drawn["kind"] == "y":
            drawn["kind.y.c"] = rng.random()
            accuracy += 0.7 * drawn["kind.y.c"]
        trials.append(Trial(record(number, accuracy, 10), drawn, {name: ranges[name] for name in drawn}))
    found = importances(made(trials), "accuracy")
    assert found[0].name == "kind.y.c"
    assert not found[0].everywhere
    assert found[0].trials == sum("kind.y.c" in trial.hyperparameters for trial in trials)
    assert found[-1].name == "b"
    assert importances(made(trials), "parameters") == [], "they never vary"
    assert importances(made(trials[:19]), "accuracy") == [], "too few"


def test_the_best_within_a_number_of_parameters() -> None:
    points = [("none", 0.5, 90), ("none", 0.7, 400), ("gram", 0.6, 300), ("gram", 0.9, 950), ("rbf", 0.2, 600)]
    trials = [Trial(record(i, a, p, basis), {}, {}) for i, (basis, a, p) in enumerate(points)]
    table = basis_table(made(trials), "accuracy")
    assert table.budgets == ["100", "200", "500", "1,000"]
    assert table.rows == [
        ("plain", 2, [("0.5000", True), ("0.5000", True), ("0.7000", True), ("0.7000", False)]),
        ("gram", 2, [("-", False), ("-", False), ("0.6000", False), ("0.9000", True)]),
        ("rbf", 1, [("-", False), ("-", False), ("-", False), ("0.2000", False)]),
    ]


def test_values_as_of_an_epoch_are_the_last_that_were_measured_by_then() -> None:
    curve = [{"epoch": e, "accuracy": None if e == 2 else e / 10, "seconds": 2.0} for e in (1, 2, 3, 4)]
    trial = replace(record(0, 0.4, 10), curve=curve, held_seconds=11.0)
    assert values_by_budget(trial, "accuracy", [1, 2, 3, 4, 9]) == [0.1, 0.1, 0.3]
    assert values_by_budget(trial, "seconds", [1, 3, 4]) == [5.0, 9.0], "3 s of set-up, then 2 s an epoch"
    assert values_by_budget(replace(trial, curve=()), "accuracy", [1, 2]) == []


def test_budgets_are_all_epochs_of_short_trials_and_of_long_ones_steps_and_rungs() -> None:
    def trained(epochs: int, *rungs: int) -> TrialRecord:
        decided = {str(epoch): (1, 2, True) for epoch in rungs}
        return replace(record(0, 0.5, 10), curve=[{"epoch": epochs, "seconds": 1.0}], rungs=decided)

    assert budgets([]) == []
    assert budgets([trained(3), trained(5)]) == [1, 2, 3, 4, 5]
    many = budgets([trained(300, 13, 77), trained(9)])
    assert {1, 13, 77, 300} <= set(many) and many == sorted(set(many)) and len(many) <= 22


def test_reasons_that_differ_in_figures_are_one_group() -> None:
    def ended(number: int, state: Any, reason: str, losses: Sequence[str] = ()) -> Trial:
        return Trial(replace(record(number, 0, 0), state=state, reason=reason, losses=losses), {}, {})

    trials = [
        ended(0, "pruned", "stopped by halving at epoch 1: rank 3 of 4"),
        ended(1, "pruned", "stopped by halving at epoch 3: rank 3 of 4"),
        ended(2, "pruned", "stopped by halving at epoch 1: rank 9 of 11"),
        ended(3, "fail", "hung: no report for 301 s, 300 s expected", ["worker died"]),
        ended(4, "fail", "hung: no report for 1,302.5 s, 300 s expected"),
    ]
    found = [(group.state, group.count, group.trials) for group in failure_groups(made(trials))]
    assert found == [
        ("fail", 2, "3, 4"),
        ("lost worker", 1, "3"),
        ("pruned", 2, "0, 2"),
        ("pruned", 1, "1"),
    ]


@pytest.mark.parametrize("low, high", [(0.9, 0.99), (0, 1), (-3, 700), (1e-8, 1e-4), (5, 5), (123_456, 9_876_543)])
@pytest.mark.parametrize("log", [False, True])
def test_ticks_lie_on_the_axis_where_their_labels_say(low: float, high: float, log: bool) -> None:
    scale = fitted([low, high], log)
    ticks = scale.ticks(6)
    assert 1 <= len(ticks) <= 12
    assert isinstance(scale, Log) == (log and low > 0)
    units = {"M": 1e6, "k": 1e3}
    for share, label in ticks:
        value = float(label.rstrip("Mk").replace(",", "")) * units.get(label[-1], 1.0)
        assert share == pytest.approx(scale(value), abs=0.01)
    assert len({label for _, label in ticks}) == len(ticks)


def test_a_value_beyond_an_axis_is_put_on_its_edge() -> None:
    assert (Linear(0, 1)(-5), Linear(0, 1)(5), Log(1, 10)(0), Log(1, 10)(50)) == (0, 1, 0, 1)


def test_a_thousand_trials_take_less_than_two_megabytes() -> None:
    rng = random.Random(0)
    bases = ["none", "bspline", "rbf"]
    epochs = [{"accuracy": rng.random(), "seconds": rng.random(), "parameters": 10} for _ in range(100)]
    curve = [{"epoch": epoch, **measured} for epoch, measured in enumerate(epochs, start=1)]
    records = [record(i, rng.random(), rng.randint(50, 10**6), bases[i % 3]) for i in range(1000)]
    trials = [Trial(replace(each, curve=curve), {}, {}) for each in records]
    assert len(front_plot(made(trials), "parameters", "accuracy")) < 300_000, "of at most four that are as large"
    assert len(render(made(trials))) < 1_300_000, "hyperparameters add at most 0.6 MB"


# -- when it is written ----------------------------------------------------------------------------------------------


def finished(home: Path) -> Study:
    study = Study.create(home, parse_space(SMALL_SPACE, "small.yaml"))
    number = start_trial(study).number
    study.add_epochs(number, [epoch(1, 0.5)])
    study.complete(number, [epoch(2, 0.7)])
    return study


def test_the_command_writes_into_the_study_or_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = finished(tmp_path)
    looking.write_report(study, None)
    assert {path.name for path in study.pictures()} == {"report.html", "front.png", "front.svg"}
    looking.write_report(study, tmp_path / "mine.html")
    assert "0.7000" in (tmp_path / "mine.html").read_text()
    assert capsys.readouterr().out.splitlines()[-1] == f"report of small written to {tmp_path / 'mine.html'}"
    assert list(study.folder.glob(".*")) == [], "nothing half-written stays"


class Beside:
    """In place of the process that writes a report."""

    def __init__(self) -> None:
        self.begun = 0
        self.runs = False

    def __call__(self, study: Study) -> Any:
        self.begun += 1
        self.runs = True
        return self

    def poll(self) -> int | None:
        return None if self.runs else 0

    def kill(self) -> None:
        self.runs = False

    def wait(self) -> int:
        return 0


def test_during_a_search_it_is_written_once_a_minute_at_most_and_only_with_news(tmp_path: Path) -> None:
    study, now, beside = finished(tmp_path), [0.0], Beside()
    writer = ReportWriter(lambda: now[0], beside)
    writer.started(study, [])

    def begun(at: float, *states: Any) -> int:
        now[0] = at
        for state in states:
            writer.changed(TrialRecord(0, state))
        writer.tick()
        return beside.begun

    assert begun(59, "complete") == 0
    assert begun(61) == 1
    assert begun(130) == 1, "nothing new"
    assert begun(140, "running") == 1, "an epoch is no news"
    assert begun(150, "fail") == 1, "the first is still at it"
    beside.runs = False
    assert begun(151) == 2
    assert begun(152, "pruned") == 2
    writer.ended("failed")
    assert not beside.runs
    assert study.pictures() == [], "what failed may be the disk, or the database"
    writer.ended("finished")
    assert writer.problem is None
    assert (study.folder / "report.html").is_file()


def test_the_page_says_that_a_search_runs_until_its_driver_ends_it(tmp_path: Path) -> None:
    study, writer = finished(tmp_path), ReportWriter()
    report = study.folder / "report.html"

    def runs() -> bool:
        page = report.read_text()
        assert ("the search runs" in page) == ('"refresh":60.0' in page)
        return "the search runs" in page

    with driver_lock(study.folder):
        looking.write_report(study, None)
        assert runs()
        writer.started(study, [])
        writer.ended("finished")
        assert not runs()
    looking.write_report(study, None)
    assert not runs()


def test_a_report_that_cannot_be_written_is_a_problem_and_no_more(tmp_path: Path) -> None:
    study = finished(tmp_path)
    writer = ReportWriter()
    writer.started(study, [])
    study.folder = tmp_path / "gone"
    writer.ended("finished")
    assert writer.problem is not None
    assert "No such file" in writer.problem
