"""The command line, as a tired and as a hostile user meet it: what is wrong is told in one message, never a traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kansearch import __version__, cli
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, command, environment, succeed
from tests.test_deliver import finished_study
from trials.data import files

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Outcome]


@pytest.fixture
def kansearch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process."""

    def call(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kansearch", *map(str, arguments)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return Outcome(int(leaving.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return finished_study(tmp_path_factory.mktemp("work") / "studies", trials=2)


@pytest.fixture
def home(made: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
@pytest.mark.parametrize("arguments", [("validate",), ("launch",)])
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
        (("front", "other"), "no study 'other' in studies; studies there: small"),
        (("front", ""), "no study ''"),
        (("front", "."), "no study '.'"),
        (("front", "../studies/small"), "has no '/'; `--home ../studies` names another folder"),
        (("trials", "small/"), "has no '/'"),
        (("resume", "../studies/small"), "has no '/'"),
        (("dashboard", "../x"), "has no '/'"),
        (("export", "../x", "-o", "best.yaml"), "has no '/'"),
        (("export", "small", "-o", "best.yaml", "--pick", "99"), "the study has trials 0 to 2"),
        (("export", "small", "-o", "best.yaml", "--pick", "bets"), "give knee, best, smallest or a trial number"),
        (("export", "small", "-o", "small.yaml"), "was not written by `kansearch export`"),
        (("retrain", "missing.yaml", "-o", "model"), "missing.yaml: no such file"),
        (("retrain", "folder.yaml", "-o", "model"), "is a folder"),
        (("retrain", "binary.yaml", "-o", "model"), "not UTF-8 text"),
        (("retrain", "damaged.yaml", "-o", "model"), "damaged.yaml:2:9: config.epoch: unknown key"),
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
            "cannot open the study's storage nonsense",
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
    document = json.loads(succeed("resume", "small", "--trials", "3", "--json", cwd=home.parent))
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


@pytest.mark.parametrize("arguments", [("schema",), ("trials", "small"), ("trials", "small", "--json"), ("--help",)])
def test_a_reader_that_leaves_early_is_no_error_to_shout_about(home: Path, arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command(*arguments), cwd=home.parent, env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
