"""PostgreSQL as the study's storage and as MLflow's: a server that is killed and comes back, or does not."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from optuna.exceptions import UpdateFinishedTrialError

from kansearch.errors import InputError, InterruptionError, KansearchError
from kansearch.merge.merge import Locations, merge
from kansearch.space import parse_space
from kansearch.study.staging import Staging
from kansearch.study.storage import load_optuna_study
from kansearch.study.study import Study
from tests.chaos.mlflow import disagreements
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE, assert_read_at_one_moment, start, start_trial, trials, wait_until
from tests.postgres import PostgresServer, postgres_fixture
from tests.proxy import Proxy
from tests.support.commands import answer
from tests.test_engine import ONE_WORKER
from tests.test_study import epoch

__all__ = ["kansearch_fixture", "postgres_fixture"]

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning"
)


def make_study(home: Path, url: str) -> Study:
    return Study.create(home, parse_space(SMALL_SPACE, "small.yaml"), storage_url=url, tracking_uri="sqlite:///x")


@contextmanager
def coming_back(server: PostgresServer) -> Iterator[None]:
    """The server is killed, and starts again while the block runs."""
    server.kill()
    starter = threading.Thread(target=server.start)
    starter.start()
    try:
        yield
    finally:
        starter.join()


def test_a_search_with_study_and_mlflow_in_postgresql(tmp_path: Path, postgres: PostgresServer) -> None:
    """The server is killed in the middle, and is back before patience ends."""
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    storage, tracking = postgres.database("search-study"), postgres.database("search-mlflow")
    locations = ("--storage", storage, "--tracking-uri", tracking)
    driver = start("launch", "small.yaml", "--trials", "3", "--epochs", "60", *ONE_WORKER, *locations, cwd=tmp_path)
    home = tmp_path / "studies"
    wait_until(lambda: (home / "small/study.json").exists())
    study = Study.open(home, "small")
    wait_until(lambda: sum(record.epochs for record in study.records()) >= 3)
    postgres.kill()
    postgres.start()
    _, stderr = driver.communicate(timeout=500)
    assert driver.returncode == 0, stderr
    assert [(record["state"], record["epochs"]) for record in trials("small", tmp_path)] == [("complete", 60)] * 3
    assert not list(home.glob("**/*.db")), "both databases are the server's"
    answer("resume", "small", cwd=tmp_path)  # MLflow's last batch may have met the dead server
    assert disagreements(Study.open(home, "small")) == []


def test_a_trial_that_ends_while_it_is_read_has_its_values_or_none(tmp_path: Path, postgres: PostgresServer) -> None:
    assert_read_at_one_moment(make_study(tmp_path, postgres.database("one-moment")), epoch(1, 0.7))


def test_studies_in_postgresql_are_merged_into_one_there(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database("merge")
    homes = [str(make_study(tmp_path / name, postgres.database(f"merge-{name}")).folder) for name in ("a", "b")]
    for folder in map(Path, homes):
        study = Study.open(folder.parent, "small")
        for accuracy in (0.4, 0.6):
            study.complete(start_trial(study).number, [epoch(2, accuracy)])
    taken = Study.create(tmp_path / "c", parse_space(SMALL_SPACE, "x", ["study=taken"]), url, "sqlite:///x")
    start_trial(taken)
    locations = Locations(storage_url=url, tracking_uri="sqlite:///x")
    with pytest.raises(InputError, match="holds a study 'taken' already"):
        merge(tmp_path, homes, "taken", [], locations=locations)
    assert len(taken.records()) == 1, "another's is not touched"

    def killed(*arguments: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        patched.setattr(Staging, "abandon", lambda made: None)
        with pytest.raises(SystemExit):
            merge(tmp_path, homes, "both", [], locations=locations)
    assert load_optuna_study("both", url).study.get_trials(), "all but done"
    study = merge(tmp_path, homes, "both", [], locations=locations).study
    assert [record.values["accuracy"] for record in study.records()] == [0.4, 0.6, 0.4, 0.6]
    assert study.storage_url == url and not list(study.folder.glob("*.db")) and not (tmp_path / ".merging").exists()


def test_what_is_asked_of_the_study_while_the_server_restarts_is_done_once(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    study = make_study(tmp_path, postgres.database("restart"))
    with coming_back(postgres):
        assert start_trial(study).number == 0
    with coming_back(postgres):
        study.add_epochs(0, [epoch(1, 0.5)])
    with coming_back(postgres):
        study.complete(0)
    with coming_back(postgres):
        (record,) = study.records()
    assert (record.state, record.values["accuracy"], len(record.curve)) == ("complete", 0.5, 1)


def test_a_write_whose_answer_is_lost_is_not_done_twice(tmp_path: Path, postgres: PostgresServer) -> None:
    """The connection is cut once the server has committed, before its answer is let through."""
    url = postgres.database("cut")
    with Proxy(postgres.port) as proxy:
        study = make_study(tmp_path, url.replace(f":{postgres.port}/", f":{proxy.port}/"))
        proxy.cut_after(b"INSERT INTO trials")
        assert start_trial(study).number == 0
        study.add_epochs(0, [epoch(1, 0.5)])
        proxy.cut_after(b"UPDATE trials")
        assert study.complete(0).state == "complete"
        assert proxy.cuts == 2
        assert start_trial(study).number == 1
        assert [record.state for record in study.records()] == ["complete", "running"]


def test_a_trial_that_has_ended_is_not_ended_otherwise(tmp_path: Path, postgres: PostgresServer) -> None:
    study = make_study(tmp_path, postgres.database("ended"))
    start_trial(study)
    study.fail(0, "ValueError: no")
    with pytest.raises(UpdateFinishedTrialError):
        study.prune(0, "stopped")


def test_a_server_that_stays_away_is_an_interruption_told_in_one_line(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told at once from then on, until the server is back."""
    monkeypatch.setenv("KANSEARCH_STORAGE_PATIENCE", "1")
    study = make_study(tmp_path, postgres.database("away"))
    postgres.kill()
    try:
        for _ in range(2):
            with pytest.raises(
                InterruptionError, match=r"^waited 1 s for the study's storage postgresql://\S+: .*refused"
            ):
                start_trial(study)
        with pytest.raises(KansearchError, match=r"^cannot open the study's storage ") as refused:
            Study.open(tmp_path, "small")
        assert "\n" not in str(refused.value)
        assert postgres.url("").split(":")[2].split("@")[0] not in str(refused.value), "no password"
    finally:
        postgres.start()
    assert start_trial(study).number == 0


def test_a_missing_driver_is_named_with_what_to_install(
    tmp_path: Path, kansearch: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "psycopg", None)  # as where it is not installed
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    url = "postgresql://me:secret@127.0.0.1:1/x"
    for option in ("--storage", "--tracking-uri"):
        error = one_line(kansearch("launch", "small.yaml", option, url), 1)
        assert "pip install 'kansearch[postgresql]'" in error
        assert "secret" not in error
    assert not (tmp_path / "studies/small/study.json").exists(), "the same launch can be repeated"


def test_a_launch_killed_before_the_study_was_made_can_be_repeated(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has the study, its folder has not; somebody else's study of that name is left alone."""
    url = postgres.database("killed")

    class Killed(BaseException):
        pass

    def die(self: Path, target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            make_study(tmp_path / "mine", url)
    with pytest.raises(InputError, match="holds a study 'small' already"):
        make_study(tmp_path / "another", url)
    study = make_study(tmp_path / "mine", url)
    assert start_trial(study).number == 0
    with pytest.raises(InputError, match="exists in"):
        make_study(tmp_path / "mine", url)
