"""Fixtures, to be imported, that run a command in the process of the test, in a folder with a finished study."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from kansearch import cli
from kansearch.study.study import Study
from tests.test_deliver import finished_study


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture(name="kansearch")
def kansearch_fixture(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process."""

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kansearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return Outcome(int(leaving.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="module", name="made")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("work") / "studies", trials=2)


@pytest.fixture(name="home")
def home_fixture(made: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of studies `studies` in the current folder, with a copy of a finished study that a test may damage."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made.folder.parent, tmp_path / "studies")
    places = tmp_path / "studies/small/study.json"
    places.write_text(places.read_text().replace(str(made.folder.parent), str(tmp_path / "studies")))
    return tmp_path / "studies"


def one_line(outcome: Outcome, code: int) -> str:
    """The error of a command that said nothing else."""
    assert (outcome.code, outcome.out) == (code, ""), outcome
    assert outcome.err.endswith("\n")
    assert outcome.err.count("\n") == 1, outcome.err
    assert "internal error" not in outcome.err
    return outcome.err
