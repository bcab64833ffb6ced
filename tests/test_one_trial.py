"""`kansearch trials STUDY NUMBER` shows one trial whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.study.study import Study
from tests.commandline import Command, home_fixture, kansearch_fixture, made_fixture, one_line

__all__ = ["home_fixture", "kansearch_fixture", "made_fixture"]

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nTrialDiverged: the loss is not finite\n'


def test_a_failed_trial_shows_its_reason_its_traceback_and_how_to_run_it_again(kansearch: Command, home: Path) -> None:
    study = Study.open(home, "small")
    checkpoints_at(study.checkpoints).note_error(2, TRACEBACK)
    shown = kansearch("trials", "small", "2")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(
        "trial 2 of small: fail after 0 of 2 epochs\nreason        TrialDiverged: the loss is not"
    )
    assert f"files         {study.checkpoints}/00002/error.txt\n" in shown.out
    assert (
        "kansearch export small --pick 2 --force -o trial-2.yaml && kansearch retrain trial-2.yaml -o trial-2"
        in shown.out
    )
    assert "traceback\n  Traceback (most recent call last):\n" in shown.out
    assert shown.out.endswith("  TrialDiverged: the loss is not finite\n")


def test_a_complete_trial_shows_its_objectives_configuration_and_curve(kansearch: Command, home: Path) -> None:
    record = Study.open(home, "small").record(0)
    shown = kansearch("trials", "small", "0").out
    assert (
        f"objectives    accuracy {record.values['accuracy']:.4f}, parameters {int(record.values['parameters']):,}\n"
        in shown
    )
    assert f"\n    width: {record.config.model.width}\n" in shown
    head, *epochs = shown.partition("\ncurve\n")[2].splitlines()
    assert head.split()[:5] == ["epoch", "train", "loss", "validation", "loss"]
    assert [line.split()[0] for line in epochs] == ["1", "2"]
    assert "traceback" not in shown


def test_the_printed_commands_train_the_trial_again(kansearch: Command, home: Path) -> None:
    for line in json.loads(kansearch("trials", "small", "0", "--json").out)["again"]:
        assert kansearch(*line.split()[1:]).code == 0, line
    assert (home.parent / "trial-0/seed-0/model.safetensors").exists()


def test_json_has_the_whole_trial(kansearch: Command, home: Path) -> None:
    record = Study.open(home, "small").record(1)
    document = json.loads(kansearch("trials", "small", "1", "--json").out)
    assert document["curve"] == [dict(result) for result in record.curve]
    assert document["config"] == record.stored.document
    assert (document["traceback"], document["files"]) == (None, [])


@pytest.mark.parametrize("number", ["3", "-1"])
def test_a_number_without_a_trial_is_told(kansearch: Command, home: Path, number: str) -> None:
    line = one_line(kansearch("trials", "small", "--", number), 2)
    assert line == f"kansearch: study 'small' has no trial {number}; `kansearch trials small` lists them\n"
