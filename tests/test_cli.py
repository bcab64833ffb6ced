"""The command line: light where it can be, plain text or one JSON document, and one line for an error."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kansearch import __version__, cli
from kansearch.study.study import Study
from tests.commandline import Command, home_fixture, kansearch_fixture, made_fixture, one_line
from tests.helpers import SMALL_SPACE, command, environment
from tests.support.commands import answer
from tests.test_deliver import finished_study

__all__ = ["home_fixture", "kansearch_fixture", "made_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


# -- light ---------------------------------------------------------------------------------------------------------

LIGHT = """
import sys
sys.argv = ["kansearch", *sys.argv[1:]]
from kansearch import cli
try:
    if len(sys.argv) > 1:
        cli.main()
finally:
    heavy = {"torch", "torchvision", "ray", "optuna", "mlflow", "matplotlib", "sklearn"}
    print(sorted(heavy & sys.modules.keys()), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "arguments", [(), ("--help",), ("--version",), ("schema",), ("spaces",), ("validate", "quickstart"), ("studies",)]
)
def test_what_needs_no_heavy_package_loads_none(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *arguments], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert bool(done.stdout) == bool(arguments)


def test_help_lists_every_command_and_each_has_help(kansearch: Command) -> None:
    listed = kansearch("--help")
    assert (listed.code, listed.err) == (0, "")
    names = [each.callback.__name__ for each in cli.app.registered_commands if each.callback]
    for name in names:
        assert re.search(rf"^  {name} ", listed.out, re.MULTILINE)
        each = kansearch(name, "--help")
        assert (each.code, each.err) == (0, "")
        assert each.out.startswith(f"Usage: kansearch {name} ")


def test_version_and_schema(kansearch: Command) -> None:
    assert kansearch("--version") == (0, f"kansearch {__version__}\n", "")
    schema = kansearch("schema")
    assert (schema.code, schema.err) == (0, "")
    assert "model" in json.loads(schema.out)["properties"]


def test_doctor_looks_and_leaves_nothing_behind(
    kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    Path("file").write_text("")
    well = kansearch("doctor")
    assert (well.code, well.err) == (0, "")
    for name in ("python", "torch", "ray", "trials package", "studies", "data digits"):
        assert re.search(rf"^ok    {name} ", well.out, re.MULTILINE), name
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    ill = kansearch("doctor", "--home", "file/studies")
    assert (ill.code, ill.err) == (1, "kansearch: 1 checks failed\n")
    assert re.search(r"^FAIL  studies ", ill.out, re.MULTILINE)


# -- output --------------------------------------------------------------------------------------------------------


def test_json_is_one_document_and_nothing_else(kansearch: Command, home: Path) -> None:
    documents: dict[str, Any] = {}
    for name in ("studies", "trials", "front"):
        outcome = kansearch(name, *(["small"] if name != "studies" else []), "--json")
        assert (outcome.code, outcome.err) == (0, "")
        documents[name] = json.loads(outcome.out)
    assert [(row["state"], row["epochs"]) for row in documents["trials"]] == [
        ("complete", 2),
        ("complete", 2),
        ("fail", 0),
    ]
    assert {row["number"] for row in documents["front"]} <= {0, 1}
    (row,) = documents["studies"]
    assert (row["name"], row["finished"], row["driver"]) == ("small", 3, None)
    assert row["objectives"] == {"accuracy": "maximize", "parameters": "minimize"}


def test_resume_of_a_finished_study_prints_one_json_document(home: Path) -> None:
    document = json.loads(answer("resume", "small", "--trials", "3", "--json", cwd=home.parent))
    assert document["study"] == "small"
    assert document["finished"] == 3
    assert document["front"]


def test_a_study_without_a_complete_trial(kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert kansearch("studies") == (0, "no studies in studies\n", "")
    finished_study(tmp_path / "studies", trials=0)
    assert "no complete trial yet" in one_line(kansearch("front", "small"), 1)
    assert "no complete trial yet" in one_line(kansearch("export", "small", "-o", "best.yaml"), 1)
    assert kansearch("front", "small", "--json") == (0, "[]\n", "")


def test_a_name_that_looks_like_a_number_is_a_name(kansearch: Command, home: Path) -> None:
    Path("small.yaml").write_text(SMALL_SPACE)
    (home / "2024").mkdir()
    shutil.copy(home / "small/study.json", home / "2024/study.json")
    assert "study '2024' exists" in one_line(kansearch("launch", "small.yaml", "--study", "2024"), 2)


@pytest.mark.parametrize("arguments", [("--debug", "front", "other"), ("front", "--debug", "other")])
def test_debug_shows_the_traceback_anywhere(kansearch: Command, home: Path, arguments: tuple[str, ...]) -> None:
    outcome = kansearch(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.err.endswith("kansearch: no study 'other' in studies; studies there: small\n")


def test_an_error_of_ours_is_one_line_too(kansearch: Command, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(home: Path, name: str) -> Study:
        raise ZeroDivisionError("first line\nsecond line")

    monkeypatch.setattr(Study, "open", fail)
    outcome = kansearch("front", "small")
    assert outcome == (
        1, "", "kansearch: internal error: ZeroDivisionError: first line (run it again with --debug)\n"
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [("schema",), ("spaces",), ("trials", "small"), ("--help",)])
def test_a_reader_that_leaves_early_is_no_error_to_shout_about(home: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*arguments), cwd=home.parent, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
