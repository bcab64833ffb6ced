"""Fixtures, to be imported, that run a command in the process of the test, in a folder with a finished study."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kansearch.study.study import Study
from tests.support.commands import Outcome, call
from tests.test_deliver import finished_study

Command = Callable[..., Outcome]


@pytest.fixture(name="kansearch")
def kansearch_fixture() -> Command:
    """Runs a command in this process."""
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
