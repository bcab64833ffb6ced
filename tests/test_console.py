"""What a search looks like: in a terminal of 80 columns, and in a pipe."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kansearch.cluster.cluster import Cluster
from kansearch.commands.progress import SeedsDisplay
from kansearch.console import SearchDisplay, front_table, list_trials, terminal
from kansearch.seeds.retraining import Retraining
from kansearch.study.figures import duration
from kansearch.study.front import front_of, knee
from kansearch.study.study import Study
from tests.test_deliver import finished_study
from tests.test_study import EPOCH
from trials.config import TrialConfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CLUSTER = Cluster(cpus=4, gpus=0, cpus_per_trial=1, gpus_per_trial=0, max_concurrent=4, rooms=[(4, 0)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("studies"))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def screen() -> tuple[Console, StringIO]:
    output = StringIO()
    return Console(file=output, width=80, height=24, force_terminal=True), output


def pipe(capsys: pytest.CaptureFixture[str], table: Any) -> list[str]:
    terminal().print(table)
    return capsys.readouterr().out.splitlines()


def test_in_a_pipe_a_trial_is_one_plain_line(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    records = study.records()
    list_trials(terminal(), records, study.objectives)
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["trial", "state", "epochs", "accuracy", "parameters", "time", "configuration"]
    assert len(rows) == len(records)
    for row, record in zip(rows, records, strict=True):
        assert row.split()[:3] == [str(record.number), record.state, str(record.epochs)]
        assert "\x1b" not in row
    assert str(records[-1].reason).strip() in rows[-1], "the whole reason"


def test_in_a_terminal_nothing_is_wider_and_nothing_is_lost(study: Study) -> None:
    console, output = screen()
    list_trials(console, study.records(), study.objectives)
    lines = ESCAPE.sub("", output.getvalue()).splitlines()
    assert all(len(line) <= 80 for line in lines)
    complete = [line for line in lines if " complete " in line]
    assert len(complete) == 3, "a complete trial needs one line"
    words = " ".join(" ".join(lines).split())
    assert words.count("the loss is not finite;") + words.count("the loss is not") >= 12
    assert "\x1b[32mcomplete" in output.getvalue(), "states are coloured"


def test_the_front_marks_its_knee(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    front = front_of(study.records(), study.objectives)
    chosen = knee(front, study.objectives)
    _, _, *rows = pipe(capsys, front_table(front, study.objectives, chosen))
    assert [int(row.split()[0]) for row in rows] == [record.number for record in front]
    assert [int(row.split()[0]) for row in rows if row.rstrip().endswith("knee")] == [chosen.number]
    for row, record in zip(rows, front, strict=True):
        assert f"{record.values['accuracy']:.4f}" in row
        assert f"{record.values['parameters']:,.0f}" in row
        basis = record.stored.document["model"]["basis"]
        assert ("plain" if basis["name"] == "none" else f"{basis['name']}({basis['grid_size']})") in row


def test_a_search_in_a_pipe_prints_a_line_for_each_ended_trial(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    display = SearchDisplay(terminal())
    display.started(study, [])
    display.running(CLUSTER)
    for record in study.records():
        display.changed(record)
        display.tick()
    display.ended("finished")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "study small: 6 trials, random sampler, 4 at once on 4 CPUs"
    assert [line.split(":")[0] for line in lines] == [
        "[1/6] trial 0 complete",
        "[2/6] trial 1 complete",
        "[3/6] trial 2 complete",
        "[4/6] trial 3 fail",
    ]
    assert "\x1b" not in "".join(lines)


def test_how_gpus_are_shared_is_one_line(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    display = SearchDisplay(terminal())
    display.started(study, [])
    note = "gpus_per_trial auto: 8 trials on a GPU; [measured] " + 30 * "long "
    display.running(replace(CLUSTER, gpus=1, notes=[note]))
    assert capsys.readouterr().out.splitlines() == [
        "study small: 6 trials, random sampler, 4 at once on 4 CPUs, 1 GPUs",
        note,
    ]


def test_a_search_in_a_terminal_shows_one_table_and_leaves_it_clean(study: Study) -> None:
    console, output = screen()
    display = SearchDisplay(console)
    display.started(study, [])
    display.running(CLUSTER)
    for record in study.records():
        display.changed(record)
    display.tick()
    shown = ESCAPE.sub("", output.getvalue())
    assert all(len(line) <= 80 for line in shown.splitlines())
    (row,) = [line for line in shown.splitlines() if line.split()[:1] == ["4/6"]]
    best = max(record.values["accuracy"] for record in study.records() if record.values)
    assert row.split()[1:4] == ["0", "1", f"{best:.4f}"], "running, failed, best accuracy"
    display.ended("interrupted")
    hidden, restored = output.getvalue().rfind("\x1b[?25l"), output.getvalue().rfind("\x1b[?25h")
    assert -1 < hidden < restored, "the cursor is back"
    assert ESCAPE.sub("", output.getvalue()[restored:]).strip() == "", "and the table is gone"


def test_a_resumed_search_says_what_was_there(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    display = SearchDisplay(terminal())
    display.started(study, study.records())
    assert capsys.readouterr().out == "4 trials finished before, 0 to go on with\n"


def test_a_console_that_is_quiet_shows_nothing(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    display = SearchDisplay(Console(quiet=True))
    display.started(study, [])
    display.running(CLUSTER)
    for record in study.records():
        display.changed(record)
    display.tick()
    display.ended("failed")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0s"), (3.21, "3.2s"), (60, "1m00s"), (245.9, "4m05s"), (7620, "2h07m")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("terminal", [False, True])
def test_a_retraining_is_shown_by_epochs_or_as_a_bar_and_each_seed_by_its_outcome(
    tmp_path: Path, terminal: bool
) -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "epochs": 2})
    retraining = Retraining(config, tmp_path, 2)
    known, left = retraining.record(0), retraining.record(1)
    curve = [{**EPOCH, "epoch": number, "train_loss": 0.5, "accuracy": None} for number in (1, 2)]
    text = StringIO()
    display = SeedsDisplay(Console(file=text, force_terminal=terminal, width=150))
    display.started(retraining, [replace(known, state="complete", curve=curve, test={"accuracy": 0.8}), left])
    display.changed(replace(left, curve=curve[:1]))
    display.changed(replace(left, state="complete", curve=curve, test={"accuracy": 0.9}))
    display.ended("finished")
    shown = text.getvalue()
    assert "1 training finished before, 1 to do" in shown
    assert ("seed 1 epoch 1/2: train loss 0.5000, " in shown.splitlines()[1]) is not terminal
    assert ("2/2 trained" in shown) is terminal
    assert "[2/2] seed 1 complete: on the test split accuracy 0.9000" in shown
