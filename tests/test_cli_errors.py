"""The command line, as a tired and as a hostile user meet it: one message for whatever is wrong, no traceback."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commandline import Command, home_fixture, kansearch_fixture, made_fixture, one_line
from tests.helpers import SMALL_SPACE
from trials.data import files

__all__ = ["home_fixture", "kansearch_fixture", "made_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


# -- bad input: exit code 2 ----------------------------------------------------------------------------------------

BAD_SPACES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "not YAML": (b"a: [1,", "not valid YAML"),
    "a list": (b"- 1", "must be a mapping"),
    "binary": (b"\x00\xff\xfe\x80", "not UTF-8 text"),
    "a wrong type": (SMALL_SPACE.replace("epochs: 2", "epochs: two").encode(), "epochs: must be an integer"),
    "an empty choice": (SMALL_SPACE.replace("depth: 1", "depth: {choice: []}").encode(), "choice takes a list"),
    "low above high": (SMALL_SPACE.replace("[2, 6]", "[6, 2]").encode(), "low <= high must hold"),
    "an unknown basis": (SMALL_SPACE.replace("rbf", "rbv").encode(), "did you mean 'rbf'?"),
    "an unknown key": (SMALL_SPACE.replace("epochs", "epoch").encode(), "did you mean 'epochs'?"),
}


@pytest.mark.parametrize("what", BAD_SPACES)
@pytest.mark.parametrize("arguments", [("validate",), ("launch",), ("plan",)])
def test_a_bad_space_is_told_with_its_place(
    kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    data, reason = BAD_SPACES[what]
    Path("bad.yaml").write_bytes(data)
    message = one_line(kansearch(*arguments, "bad.yaml"), 2)
    assert re.match(r"bad\.yaml:\d+:\d+: ", message), "an editor can jump there"
    assert reason in message
    assert not Path("studies").exists()


def test_every_error_of_a_file_is_a_line(kansearch: Command, tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL_SPACE.replace("epochs: 2", "epochs: two").replace("[2, 6]", "[6, 2]"))
    outcome = kansearch("validate", path)
    assert (outcome.code, outcome.out) == (2, "")
    assert [line.split(": ")[1] for line in outcome.err.splitlines()] == ["model.width", "epochs"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("validate", "missing.yaml"), "missing.yaml: no such file"),
        (("validate", "folder.yaml"), "is a folder"),
        (("validate", "quickstrat"), "did you mean 'quickstart'?"),
        (("validate", ""), "no search space is named ''"),
        (("launch", "small.yaml", "--set", "nothing"), "must be KEY=VALUE"),
        (("launch", "small.yaml", "--set", "model.depht=1"), "did you mean 'depth'?"),
        (("launch", "small.yaml", "--time-budget", "soon"), "must be a duration such as 90s"),
        (("launch", "small.yaml", "--trials", "0"), "search.trials: must be >= 1, got 0"),
        (("launch", "small.yaml", "--epochs", "0"), "epochs: must be >= 1, got 0"),
        (("launch", "small.yaml", "--seed", "-1"), "search.seed: must be >= 0, got -1"),
        (("launch", "small.yaml", "--study", "a/b"), "study: must be 1 to 64 letters"),
        (("launch", "small.yaml", "--study", "a: b"), "study: must be 1 to 64 letters"),
        (("launch", "small.yaml", "--study", ""), "study: must be 1 to 64 letters"),
        (("launch", "small.yaml"), "study 'small' exists"),
        (
            ("launch", "small.yaml", "--study", "new", "--tracking-uri", "foo://bar"),
            "must begin with one of sqlite, http",
        ),
        (("front", "other"), "no study 'other' in studies; studies there: small"),
        (("front", ""), "no study ''"),
        (("front", "."), "no study '.'"),
        (("front", "../studies/small"), "has no '/'; `--home ../studies` names another folder"),
        (("trials", "small/"), "did you mean 'small'?"),
        (("resume", "../studies/small"), "has no '/'"),
        (("dashboard", "../x"), "has no '/'"),
        (("export", "../x", "-o", "best.yaml"), "has no '/'"),
        (("export", "small", "-o", "best.yaml", "--pick", "99"), "the study has trials 0 to 2"),
        (("export", "small", "-o", "best.yaml", "--pick", "bets"), "give knee, best, smallest or a trial number"),
        (("export", "small", "-o", "small.yaml"), "was not written by `kansearch export`"),
        (("retrain", "missing.yaml", "-o", "model"), "missing.yaml: no such file"),
        (("retrain", "folder.yaml", "-o", "model"), "is a folder"),
        (("retrain", "binary.yaml", "-o", "model"), "not UTF-8 text"),
        (("retrain", "damaged.yaml", "-o", "model"), "damaged.yaml:2:10: config.epoch: unknown key"),
    ],
)
def test_bad_input_is_one_message(kansearch: Command, home: Path, arguments: tuple[str, ...], reason: str) -> None:
    Path("small.yaml").write_text(SMALL_SPACE)
    Path("folder.yaml").mkdir()
    Path("binary.yaml").write_bytes(b"\x80\x00\xff")
    Path("damaged.yaml").write_text("source: {}\nconfig: {epoch: 3, data: {dataset: digits}}\n")
    assert reason in one_line(kansearch(*arguments), 2)
    assert not Path("model").exists()
    assert not Path("best.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("lunch",), "No such command 'lunch'"),
        (("launch",), "Missing argument 'SPACE'"),
        (("--fast",), "No such option: --fast"),
        (("export", "small"), "Missing option '-o'"),
        (("launch", "small.yaml", "--trials", "many"), "Invalid value for '--trials'"),
        (("launch", "small.yaml", "--max-concurrent", "0"), "Invalid value for '--max-concurrent'"),
        (("retrain", "best.yaml", "-o", "model", "--seeds", "0"), "Invalid value for '--seeds'"),
        (("retrain", "best.yaml", "-o", "model", "--epochs", "0"), "Invalid value for '--epochs'"),
        (("dashboard", "--port", "70000"), "Invalid value for '--port'"),
        (("plan", "quickstart", "-n", "0"), "Invalid value for '-n'"),
        (("studies", "--home", "file"), "'file' is a file"),
    ],
)
def test_a_command_that_cannot_be_parsed_says_why(
    kansearch: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    outcome = kansearch(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err.splitlines()[-1]
    assert outcome.err.startswith("Usage: kansearch ")


# -- failures: exit code 1 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("launch", "small.yaml", "--home", "file/studies"), "cannot make the study's folder file/studies/small"),
        (
            ("launch", "small.yaml", "--study", "new", "--storage", "nonsense"),
            "cannot open the study's storage (not a database URL)",
        ),
        (("export", "small", "-o", "nowhere/best.yaml"), "cannot write nowhere/best.yaml: No such file or directory"),
        (("export", "small", "-o", "studies"), "cannot write studies: Is a directory"),
        (("front", "small", "--plot", "front.xyz"), "must end in .png, .svg, .pdf"),
        (("front", "small", "--plot", "front"), "must end in .png, .svg, .pdf"),
        (("front", "small", "--plot", "nowhere/front.png"), "cannot draw nowhere/front.png: No such file"),
        (("retrain", "best.yaml", "-o", "file"), "cannot write file: "),
        (("retrain", "best.yaml", "-o", "file/model"), "cannot write file/model: Not a directory"),
        (("dashboard", "small", "--no-browser"), "nothing has been tracked"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    kansearch: Command, home: Path, arguments: tuple[str, ...], reason: str
) -> None:
    Path("small.yaml").write_text(SMALL_SPACE)
    Path("file").write_text("")
    assert kansearch("export", "small", "-o", "best.yaml").code == 0
    assert reason in one_line(kansearch(*arguments), 1)


@pytest.mark.parametrize("arguments", [("launch", "mnist.yaml"), ("retrain", "best.yaml", "-o", "model")])
def test_a_missing_data_set_lists_the_places(
    kansearch: Command, home: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr(files, "_download", lambda dataset: "no network")
    Path("mnist.yaml").write_text(SMALL_SPACE.replace("digits", "mnist").replace("study: small", "study: other"))
    kansearch("export", "small", "-o", "best.yaml")
    Path("best.yaml").write_text(Path("best.yaml").read_text().replace("digits", "mnist"))
    message = one_line(kansearch(*arguments, "--data-dir", "here"), 1)
    for part in ("data set mnist not found", "here, ", ".cache/kansearch", "train-images-idx3-ubyte", "--data-dir"):
        assert part in message
    assert not Path("model").exists()
    assert not (home / "other").exists()


def damage_json(folder: Path) -> None:
    (folder / "study.json").write_text("{")


def damage_bytes(folder: Path) -> None:
    (folder / "study.json").write_bytes(b"\x80\x81")


def damage_database(folder: Path) -> None:
    for path in folder.glob("study.db-*"):
        path.unlink()
    (folder / "study.db").write_text("no database " * 100)


def delete_database(folder: Path) -> None:
    for path in folder.glob("study.db*"):
        path.unlink()


@pytest.mark.parametrize("damage", [damage_json, damage_bytes, damage_database, delete_database])
@pytest.mark.parametrize("name", ["front", "trials", "resume", "studies"])
def test_a_damaged_study_is_named(kansearch: Command, home: Path, damage: Callable[[Path], None], name: str) -> None:
    damage(home / "small")
    message = one_line(kansearch(name, *(["small"] if name != "studies" else [])), 1)
    assert str(Path("studies/small")) in message


def test_one_damaged_study_does_not_hide_the_others(kansearch: Command, home: Path) -> None:
    shutil.copytree(home / "small", home / "broken")
    damage_json(home / "broken")
    outcome = kansearch("studies")
    assert outcome.code == 1
    assert outcome.out.startswith("small ")
    assert "studies/broken/study.json is damaged" in outcome.err
    as_json = kansearch("studies", "--json")
    assert as_json.code == 1
    assert [row["name"] for row in json.loads(as_json.out)] == ["small"]
