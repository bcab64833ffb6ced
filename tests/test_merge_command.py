"""`kansearch merge` as a user meets it: really trained studies, what it prints, MLflow, refusals, and `resume`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from kansearch.space import load_source, parse_space
from kansearch.study.lock import driver_lock, reader_lock
from kansearch.study.seeds import SeedStore
from kansearch.study.study import Study
from kansearch.tracking.client import experiment_name
from kansearch.tracking.confirming import CONFIRMED_TAG
from tests.chaos.mlflow import disagreements
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE, succeed
from tests.test_merge import add, confirmed, nondominated

__all__ = ["kansearch_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


def searched(home: Path, seed: int) -> Study:
    """A study `small` of two complete trials, with what stands for their weights, and one that runs."""
    space = parse_space(SMALL_SPACE, "small.yaml", [f"search.seed={seed}", "model.basis=rbf"])
    study = Study.create(home, space)
    for index in range(2):
        number = add(study, "complete", [0.2, 0.4 + seed / 10 + index / 5], 100 * seed + 50 * index)
        (study.folder / f"trials/{number:05d}").mkdir(parents=True)
        (study.folder / f"trials/{number:05d}/model.safetensors").write_text(f"{seed} {index}")
    add(study, "running", [0.3])
    return study


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies of two machines. To be read alone."""
    work = tmp_path_factory.mktemp("sources")
    studies = [searched(work / "m1", 1), searched(work / "m2", 2)]
    confirmed(studies[1], 0, 0)
    other = Study.create(work / "m1", parse_space(SMALL_SPACE, "small.yaml", ["study=other", "epochs=3"]))
    empty = Study.create(work / "m1", parse_space(SMALL_SPACE, "small.yaml", ["study=empty", "model.basis=rbf"]))
    for study in (*studies, other, empty):
        study.close()
    return work


@pytest.fixture
def work(sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(sources / "m1", "studies")
    shutil.copytree(sources / "m2/small", "m2/small")
    return tmp_path


def test_two_machines_searches_become_one_that_is_a_study_like_any_other(kansearch: Command, work: Path) -> None:
    outcome = kansearch("merge", "small", "m2/small", "--study", "both")
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split() for line in outcome.out.splitlines()]
    first, second = (
        len(json.loads(kansearch("front", *at, "--json").out)) for at in (["small"], ["small", "--home", "m2"])
    )
    assert ["studies/small", "3", "2", str(first), "0", "1"] in rows
    assert ["m2/small", "3", "2", str(second), "0", "1"] in rows
    assert "not ended, and left out: 2 trials" in outcome.out
    assert "search settings are those of studies/small; others differ in seed" in outcome.out
    assert "confirmations came along: 1, of 1 trial" in outcome.out
    assert "weights came along" not in outcome.out, "for all of the front, so that is not worth a line"
    assert "`kansearch resume both --trials N` goes on" in outcome.out

    study = Study.open(work / "studies", "both")
    assert (study.folder / "report.html").is_file() and not (work / "studies/.merging").exists()
    front = json.loads(kansearch("front", "both", "--json").out)
    assert {(each["values"]["accuracy"], each["values"]["parameters"]) for each in front} == nondominated(
        study.records()
    )
    assert outcome.out.endswith(kansearch("front", "both").out), "its front is printed as ever"
    assert kansearch("export", "both", "-o", "best.yaml").code == 0
    source = load_source(work / "best.yaml")
    machine = {"studies/small": 1, "m2/small": 2}
    assert source["seeds"]["search"] == machine[(study.record(source["trial"]).source or {})["study"]]

    places = json.loads((study.folder / "study.json").read_text())
    assert places["tracking_uri"] == f"sqlite:///{work}/studies/mlflow.db"
    client = MlflowClient(study.tracking_uri)
    experiment = client.get_experiment_by_name(experiment_name("both"))
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`{CONFIRMED_TAG}` = '2'")
    assert len(runs) == 1, "a confirmation's, under the trial's new number"
    client.delete_run(runs[0].info.run_id)  # the search's alone are compared
    assert disagreements(study) == []


@pytest.mark.slow
def test_real_searches_are_merged_confirmed_inspected_and_go_on(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    for home, seed in (("m1", 1), ("m2", 2)):
        here = ("--home", home, "--seed", str(seed), "--trials", "4", "--set", "search.scheduler=halving")
        succeed("launch", "small.yaml", *here, cwd=tmp_path)
    succeed("confirm", "small", "--home", "m2", "--seeds", "1", "--picks", "best", cwd=tmp_path)
    everything = [record for home in ("m1", "m2") for record in Study.open(tmp_path / home, "small").records()]
    succeed("merge", "m1/small", "m2/small", "--study", "both", cwd=tmp_path)
    study = Study.open(tmp_path / "studies", "both")
    records = study.records()
    assert len(records) == 8
    assert nondominated(records) == nondominated(everything)
    assert sum(record.seconds for record in records) == sum(record.seconds for record in everything)
    assert len(study.sessions) == 2 and {session["study"] for session in study.sessions} == {"m1/small", "m2/small"}
    (row,) = json.loads(
        succeed("confirm", "both", "--seeds", "1", "--picks", _confirmed(study), "--json", cwd=tmp_path)
    )
    assert row["state"] == "complete", "known already"
    succeed("inspect", "both", "--pick", _kan_of_the_front(study), cwd=tmp_path)
    succeed("resume", "both", "--trials", "11", cwd=tmp_path)
    again = Study.open(tmp_path / "studies", "both")
    assert again.records()[:8] == records
    assert len(again.records()) == 11 and again.finished() == 11
    assert [record.source for record in again.records()[8:]] == [None] * 3
    succeed("report", "both", cwd=tmp_path)
    succeed("merge", "both", "m1/small", "--study", "more", cwd=tmp_path)
    assert len(Study.open(tmp_path / "studies", "more").records()) == 11, "those of m1 are known"


def _confirmed(study: Study) -> str:
    (record,) = SeedStore(study.folder).records()
    return str(record.number)


def _kan_of_the_front(study: Study) -> str:
    kept = sorted(int(path.parent.name) for path in study.folder.glob("trials/*/model.safetensors"))
    kans = [number for number in kept if study.record(number).config.model.basis.name != "none"]
    assert kans, "of eight trials, half of which are KANs, the front has one"
    return str(kans[0])


def test_json_is_one_document(kansearch: Command, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = kansearch(
        "merge", "small", "m2/small", "--study", "both", "--tracking-uri", "http://127.0.0.1:9", "--json"
    )
    document: dict[str, Any] = json.loads(outcome.out)
    assert outcome.code == 0
    said = outcome.err.splitlines()
    assert said[0].startswith("MLflow is behind the study (") and "`kansearch resume both` writes what is" in said[0]
    assert said[1].startswith("MLflow lacks confirmations (") and "--picks 2 --seeds 1` writes them" in said[1]
    assert {
        key: document[key] for key in ("study", "trials", "finished", "unfinished", "dropped", "confirmations")
    } == {
        "study": "both",
        "trials": 4,
        "finished": 4,
        "unfinished": 2,
        "dropped": 0,
        "confirmations": 1,
    }
    assert [each["study"] for each in document["sources"]] == ["studies/small", "m2/small"]
    assert document["front"] == json.loads(kansearch("front", "both", "--json").out)
    assert document["weights"] == [each["number"] for each in document["front"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("small",), "merge joins two studies or more; name another one"),
        (("small", "studies/small"), "study 'small' ({work}/studies/small) is named twice"),
        (
            ("small", "nobody"),
            "no study 'nobody' in studies; studies there: empty, other, small; a study elsewhere is given by a path",
        ),
        (
            ("small", "m2"),
            "no study 'm2' in studies; studies there: empty, other, small; a study elsewhere is given by a path",
        ),
        (("small", "./m2"), "no study in the folder ./m2: it has no study.json"),
        (
            ("small", "other"),
            "studies 'small' and 'other' are not of one space: model.basis.name is 'rbf' in 'small' and not there in "
            "'other'; model.basis.grid_size is 8 in 'small' and not there in 'other'; ",
        ),
        (("empty", "m1/empty"), "no trial of 'studies/empty' or 'm1/empty' has ended: there is nothing to merge"),
        (
            ("small", "m2/small", "--study", "other"),
            "study 'other' exists in studies: name another with `--study NAME`",
        ),
        (("small", "m2/small", "--study", "a/b"), "--study 'a/b': must be 1 to 64 letters, digits, '-', '_' or '.'"),
        (("small", "m2/small", "--study", "artifacts"), "studies/artifacts exists and holds no study: remove it"),
        (("small", "m2/small", "--tracking-uri", "foo://x"), "--tracking-uri foo://x: must begin with one of sqlite, "),
        (("small", "m2/small", "--checkpoints", "memory://x"), "--checkpoints memory://x: is seen by one process only"),
    ],
)
def test_what_cannot_be_merged_is_one_message(
    kansearch: Command, work: Path, arguments: tuple[str, ...], reason: str
) -> None:
    (work / "studies/artifacts").mkdir()
    (work / "studies/artifacts/x").touch()
    shutil.copytree("studies/empty", "m1/empty")
    before = sorted(path.name for path in (work / "studies").iterdir())
    message = one_line(kansearch("merge", *arguments, *(() if "--study" in arguments else ("--study", "both"))), 2)
    assert message.startswith(f"kansearch: {reason.format(work=work)}"), message
    assert sorted(path.name for path in (work / "studies").iterdir()) == before


def test_a_source_with_a_live_driver_is_refused_and_one_that_is_read_has_none(kansearch: Command, work: Path) -> None:
    with driver_lock(work / "m2/small"):
        message = one_line(kansearch("merge", "small", "m2/small", "--study", "both"), 1)
    assert "study 'small' is being run by process " in message and " on " in message
    (work / "studies/small/driver.lock").write_text('{"pid": 1, "host": "gone"}')  # of a driver that was killed
    with reader_lock(work / "studies/small"), reader_lock(work / "studies/small"):
        message = one_line(kansearch("resume", "small"), 1)
    assert message == "kansearch: study 'small' is being read by `kansearch merge`; try again once that is done\n"
    assert not (work / "studies/both").exists() and not (work / "studies/.merging").exists()


def test_a_source_that_is_damaged_is_told(kansearch: Command, work: Path) -> None:
    (work / "m2/small/study.db").write_bytes(b"nothing")
    message = one_line(kansearch("merge", "small", "m2/small", "--study", "both"), 1)
    assert message.startswith(f"kansearch: cannot read the study in {work}/m2/small: cannot open the study's storage ")
    (work / "m2/small/study.db").unlink()
    message = one_line(kansearch("merge", "small", "m2/small", "--study", "both"), 1)
    copy = f"kansearch: the study in {work}/m2/small is a copy without its database study.db, which was /"
    assert message.startswith(copy), "the original is another study, with a lock of its own"
