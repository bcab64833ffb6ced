"""A note on a trial is kept once, in the Optuna study; commands, the report, MLflow and Optuna Dashboard show it."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import optuna_dashboard
import pytest
from mlflow import MlflowClient
from optuna.trial import Trial

from kansearch.merge.merge import merge
from kansearch.report.data import read_study
from kansearch.report.html import render
from kansearch.study.study import Study
from kansearch.tracking.store import MlflowStore
from tests.commandline import Command, home_fixture, kansearch_fixture, made_fixture
from tests.test_merge import add, made
from tests.test_tracking import add_trial, make_study, runs_of, write_all

__all__ = ["home_fixture", "kansearch_fixture", "made_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)

LONG = "**Long**: " + "naïve ☃ " * 700  # three pieces


def in_dashboard(study: Study, number: int) -> Trial:
    """A trial as Optuna Dashboard's functions take it."""
    loaded = optuna.load_study(study_name=study.name, storage=study.storage_url)
    return Trial(loaded, loaded.trials[number]._trial_id)


def test_optuna_dashboard_reads_what_is_written_here_and_the_other_way_round(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    numbers = [add_trial(study, [0.4], Study.complete), add_trial(study, [0.1])]
    for text in ("short", LONG, "short again", ""):
        for number in numbers:
            study.write_note(number, text)
            assert optuna_dashboard.get_note(in_dashboard(study, number)) == text
            assert study.notes()[number] == text
    for text in (LONG, "theirs"):
        optuna_dashboard.save_note(in_dashboard(study, 0), text)
        assert Study.open(tmp_path, study.name).notes() == {0: text, 1: ""}
        assert optuna_dashboard.get_note(in_dashboard(study, 0)) == text


def test_a_note_is_no_part_of_the_trial_and_outlives_the_search_going_on(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    number = add_trial(study, [0.1])
    before = study.record(number)
    study.write_note(number, "watch this one")
    assert study.record(number) == before == Study.open(tmp_path, study.name).record(number)
    Study.open(tmp_path, study.name).complete(number)
    assert study.notes() == {number: "watch this one"}


def test_mlflow_follows_at_the_end_of_a_sitting(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    for accuracy in (0.4, 0.5, 0.6):
        add_trial(study, [accuracy], Study.complete)
    write_all(study)
    mine = runs_of(study)["2"].info.run_id
    MlflowClient(study.tracking_uri).set_tag(mine, "mlflow.note.content", "written in MLflow")
    study.write_note(0, "kept")
    study.write_note(1, "taken back")
    for text in ("taken back", ""):
        study.write_note(1, text)
        MlflowStore(study).close(study.records(), "finished")
        notes = [runs_of(study)[key].data.tags.get("mlflow.note.content") for key in "012"]
        assert notes == ["kept", text, "written in MLflow"]


def test_the_report_shows_notes_as_text(tmp_path: Path) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.4], Study.complete)
    assert "Note on trial" not in render(read_study(study))
    study.write_note(0, "<b>small</b> & good")
    assert "<li>Note on trial 0: &lt;b&gt;small&lt;/b&gt; &amp; good</li>" in render(read_study(study))


def test_a_merged_study_has_the_notes_of_all_sources(tmp_path: Path) -> None:
    studies = [made(tmp_path, name) for name in ("a", "b")]
    for study in studies:
        numbers = [add(study, end, [0.5]) for end in ("complete", "running", "complete")]
        for number in numbers:
            study.write_note(number, f"{study.name}{number}")
    merged = merge(tmp_path, ["a", "b"], "both", []).study
    sources = {record.number: record.source for record in merged.records()}
    assert merged.notes() == {number: f"{each['study']}{each['number']}" for number, each in sources.items() if each}
    assert len(merged.notes()) == 4


def test_the_command_keeps_replaces_and_takes_back(kansearch: Command, home: Path) -> None:
    kept = kansearch("note", "small", "1", " first line\nsecond line ")
    assert (kept.code, kept.out, kept.err) == (0, "note on trial 1 of small kept\n", "")
    assert f"\nnote          first line\n{' ' * 14}second line\n" in kansearch("trials", "small", "1").out
    assert json.loads(kansearch("trials", "small", "1", "--json").out)["note"] == "first line\nsecond line"
    listed = json.loads(kansearch("trials", "small", "--json").out)
    assert [each.get("note") for each in listed][:2] == [None, "first line\nsecond line"]
    assert kansearch("note", "small", "1", "").out == "note on trial 1 of small taken back\n"
    assert "note" not in kansearch("trials", "small", "1").out


def test_a_trial_that_is_not_there_is_named(kansearch: Command, home: Path) -> None:
    missing = kansearch("note", "small", "99", "x")
    assert (missing.code, missing.out) == (2, "")
    assert missing.err == "kansearch: study 'small' has no trial 99; `kansearch trials small` lists them\n"
    assert Study.open(home, "small").notes() == {}


def test_mlflow_has_the_note_at_once_and_its_absence_loses_none(tmp_path: Path, kansearch: Command) -> None:
    study = make_study(tmp_path)
    add_trial(study, [0.4], Study.complete)
    write_all(study)
    assert kansearch("note", "small", "0", "seen", "--home", tmp_path).code == 0
    assert runs_of(study)["0"].data.tags["mlflow.note.content"] == "seen"
    away = make_study(tmp_path / "away", tracking_uri="http://127.0.0.1:1")
    add_trial(away, [0.4], Study.complete)
    lost = kansearch("note", "small", "0", "kept", "--home", tmp_path / "away")
    assert lost.code == 1 and away.notes() == {0: "kept"}
    assert "the note is kept, but MLflow did not take it" in lost.err and lost.err.count("\n") == 1
