"""Several studies become one: each ended trial once, in the order in which they began, and the study goes on."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kansearch.engine.ask_tell import AskTell
from kansearch.engine.proposer import Proposer
from kansearch.merge.merge import Merged, merge
from kansearch.report.data import read_study
from kansearch.report.html import render
from kansearch.space import parse_space
from kansearch.study import seeds
from kansearch.study.history import History
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.stored_config import StoredConfig
from kansearch.study.study import Study, study_names
from tests.helpers import SMALL_SPACE, environment, start_trial
from tests.test_study import epoch

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

ENDS = ("complete", "prune", "fail", "complete", "refuse", "complete", "complete", "running")
"""What becomes of the trials of each study in `pair`, in this order."""


def made(home: Path, name: str, *overrides: str) -> Study:
    seed = sum(map(ord, name))
    return Study.create(
        home, parse_space(SMALL_SPACE, "small.yaml", [f"study={name}", f"search.seed={seed}", *overrides])
    )


def add(study: Study, end: str, accuracies: Sequence[float], parameters: int = 100) -> int:
    """One more trial, with these accuracies after its epochs; its number."""
    if end == "refuse":
        proposer = Proposer(study.space, study.optuna_trials())
        refused = proposer.refuse(proposer.propose(), {"parameters": 7.0})
        return study.refuse_many([(refused, "parameters 107 > 100")])[0].number
    number = start_trial(study).number
    for index, accuracy in enumerate(accuracies, start=1):
        study.add_epochs(number, [{**epoch(index, accuracy), "parameters": parameters}])
    if end == "complete":
        study.complete(number)
    elif end == "prune":
        study.add_epochs(number, (), {"1": (2, 3, False)})
        study.prune(number, "stopped by halving at epoch 1: rank 2 of 3")
    elif end == "fail":
        study.note_loss(number, "worker lost")
        study.fail(number, "ValueError: no")
        (study.folder / f"trials/{number:05d}").mkdir(parents=True)
        (study.folder / f"trials/{number:05d}/error.txt").write_text(f"Traceback of {study.name} {number}")
    return number


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Study]:
    """Two studies that were searched at the same time, so that their trials began by turns. To be read alone."""
    home, rng = tmp_path_factory.mktemp("pair"), random.Random(5)
    studies = [made(home, "a"), made(home, "b")]
    for end in ENDS:
        for study in studies:
            accuracies = [rng.randrange(1, 100) / 100 for _ in range(1 if end == "prune" else 2)]
            add(study, end, accuracies, rng.randrange(1, 40) * 10)
    for study in studies:
        study.close()
    return studies


def joined(home: Path, *folders: Path | str, name: str = "joined") -> Merged:
    return merge(home, [str(folder) for folder in folders], name, [])


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def nondominated(records: Sequence[Any]) -> set[tuple[float, float]]:
    """Brute force, by accuracy and parameters."""
    points = [(r.values["accuracy"], r.values["parameters"]) for r in records if r.state == "complete"]
    beaten = {p for p in points for q in points if q != p and q[0] >= p[0] and q[1] <= p[1]}
    return set(points) - beaten


# -- which trials --------------------------------------------------------------------------------------------------


def test_every_ended_trial_is_there_as_it_was_in_the_order_of_their_starts(pair: list[Study], tmp_path: Path) -> None:
    before = [files(study.folder) for study in pair]
    merged = joined(tmp_path, *(study.folder for study in pair))
    assert [files(study.folder) for study in pair] == before, "sources are only read"
    study = merged.study
    found, records = study.optuna_trials(), study.records()
    assert [trial.number for trial in found] == list(range(14)), "2 of 16 were running"
    starts = [trial.datetime_start for trial in found if trial.datetime_start]
    assert len(starts) == 14 and starts == sorted(starts)
    origins = [(record.source or {})["study"] for record in records]
    assert origins == ["a", "b"] * 7, "they began by turns"
    theirs = {each.name: list(zip(each.optuna_trials(), each.records(), strict=True)) for each in pair}
    for trial, record in zip(found, records, strict=True):
        assert record.source is not None
        old, known = theirs[record.source["study"]][record.source["number"]]
        assert replace(record, number=known.number, source=None) == known
        assert {**trial.user_attrs} == {**old.user_attrs, "source": record.source}
        for name in ("state", "params", "distributions", "system_attrs", "datetime_start", "datetime_complete"):
            assert getattr(trial, name) == getattr(old, name), name
        assert trial.values == old.values
    assert {record.state for record in records} == {"complete", "pruned", "fail", "infeasible"}
    document = records[3].document()
    assert document["source"] == {"study": "b", "number": 1} and json.loads(json.dumps(document)) == document
    assert "source" not in pair[0].records()[0].document()
    assert [(row.trials, row.complete, row.dropped, row.unfinished) for row in merged.sources] == [(8, 4, 0, 1)] * 2


def test_the_front_is_the_non_dominated_union(pair: list[Study], tmp_path: Path) -> None:
    study = joined(tmp_path, *(each.folder for each in pair)).study
    data = read_study(study)
    front = [(record.values["accuracy"], record.values["parameters"]) for record in data.front]
    everything = [record for each in pair for record in each.records()]
    assert set(front) == nondominated(everything) and len(front) == len(set(front))
    assert len({(record.source or {})["study"] for record in data.front}) == 2, "or the test would show little"
    spent = sum(record.seconds for record in everything if record.state != "running")
    assert sum(record.seconds for record in data.records) == spent
    page = render(data)
    first = data.front[0].source or {}
    assert f"<td>trial {first['number']} of {first['study']}</td>" in page
    assert "<dd>a: 7 trials; random, 97; none</dd>" in page, "provenance"


def test_a_study_that_went_on_from_a_copy_is_no_second_one(tmp_path: Path) -> None:
    home = tmp_path / "here"
    study = made(home, "a")
    for accuracy in (0.3, 0.4):
        add(study, "complete", [0.1, accuracy])
    again, left, pruned = (add(study, "running", [0.2]) for _ in range(3))
    study.close()
    there = tmp_path / "there/renamed"
    shutil.copytree(study.folder, there)
    places = json.loads((there / "study.json").read_text())
    assert places["storage"].endswith("here/a/study.db"), "as it was, but the copy's own database is meant"

    add(study, "complete", [0.1, 0.5])
    study.prune(again, "stopped")
    study.fail(pruned, "ValueError: no")
    study.close()
    moved = Study(there, f"sqlite:///{there}/study.db", "", _optuna_study(there, "a"))
    moved.complete(again, [epoch(2, 0.9)])
    moved.prune(pruned, "stopped")
    add(moved, "complete", [0.1, 0.6])
    moved.close()

    merged = joined(home, "a", there)
    records = merged.study.records()
    assert [record.values.get("accuracy") for record in records] == [0.3, 0.4, 0.9, None, 0.5, 0.6]
    assert [record.state for record in records[2:4]] == ["complete", "pruned"], "where it got furthest"
    assert [(record.source or {})["study"] for record in records] == ["a", "a", "renamed", "renamed", "a", "renamed"]
    assert left not in [(record.source or {})["number"] for record in records]
    rows = [(row.study, row.trials, row.dropped, row.unfinished) for row in merged.sources]
    assert rows == [("a", 6, 2, 1), ("renamed", 6, 2, 1)]
    assert merged.repeated == 1, "both went on with the same proposal"


def _optuna_study(folder: Path, name: str) -> Any:
    from kansearch.study.storage import load_optuna_study

    return load_optuna_study(name, f"sqlite:///{folder}/study.db")


def test_the_same_configuration_trained_twice_is_two_trials_and_is_told(tmp_path: Path) -> None:
    """Two machines with the same seed of the search propose the same."""
    studies = [made(tmp_path / name, "a", "search.seed=5") for name in ("m1", "m2")]
    for accuracy, study in zip((0.5, 0.4, 0.6, 0.7), [*studies, *studies], strict=True):
        add(study, "complete", [accuracy])
    merged = joined(tmp_path, *(study.folder for study in studies))
    records = merged.study.records()
    assert [record.values["accuracy"] for record in records] == [0.5, 0.4, 0.6, 0.7]
    assert records[0].config == records[1].config and records[0].config != records[2].config
    assert merged.repeated == 2
    assert [row.study for row in merged.sources] == ["m1/a", "m2/a"], "names that tell them apart"


def test_a_merged_study_that_went_on_is_merged_again(pair: list[Study], tmp_path: Path) -> None:
    study = joined(tmp_path, *(each.folder for each in pair)).study
    add(study, "complete", [0.1, 0.99], 5000)
    study.add_session({"max_concurrent": 2, "processor": "here"})
    study.add_elapsed(3.0)
    other = made(tmp_path, "c")
    add(other, "complete", [0.2, 0.995], 6000)
    again = joined(tmp_path, "joined", "c", pair[0].folder, name="all")
    records = again.study.records()
    assert [record.source for record in records[:14]] == [record.source for record in study.records()[:14]]
    assert [record.source for record in records[14:]] == [
        {"study": "joined", "number": 14},
        {"study": "c", "number": 0},
    ]
    assert [(row.study, row.dropped, row.unfinished) for row in again.sources] == [
        ("joined", 0, 0),
        ("c", 0, 0),
        ("a", 7, 1),
    ]
    assert [source["study"] for source in again.study.sources] == ["a", "b", "joined", "c"]
    assert [source["search"]["seed"] for source in again.study.sources[:2]] == [97, 98]
    assert nondominated(records) >= {(0.99, 5000), (0.995, 6000)}


# -- the study goes on ---------------------------------------------------------------------------------------------


def test_sampler_rungs_and_budget_know_all_trials(tmp_path: Path) -> None:
    """Two brackets: a trial stays in the one that it was searched in, whatever its number is now."""
    halving = ("search.scheduler=halving", "search.brackets=2", "epochs=4", "search.sampler=tpe")
    studies = [made(tmp_path, name, *halving, "search.startup_trials=1") for name in "ab"]
    for index in range(4):
        for study in studies:
            add(study, "complete", [0.1 * index + 0.01 * each for each in range(4)], 100 + index)
    add(studies[0], "prune", [0.1])
    study = joined(tmp_path, "a", "b").study
    assert study.space.search.trials == 9 and study.finished() == 9, "its search is at its end"
    study.add_overrides(["search.trials=11"])
    search = AskTell(study, 1, lambda: False, lambda record: None)
    assert (search.budget.finished, search.budget.epochs, search.budget.seconds) == (9, 33, 66.0)
    rungs = {
        key: {study.record(n).source["number"] for n in rung.numbers} for key, rung in search.halving.rungs.items()
    }  # type: ignore[union-attr, index]
    assert rungs == {(0, 1): {0, 2, 4}, (0, 3): {0, 2}, (1, 3): {1, 3}}
    assert len(search._proposer._study.get_trials()) == 9
    assignment = search.ask()
    assert assignment is not None and assignment.number == 9
    for number in range(1, 5):
        stop = search.tell(9, [{**epoch(number, 0.9 + number / 100), "parameters": 5}])
        assert not stop
    assert search.ask() is not None and not search.exhausted
    assert study.records()[9].state == "complete" and study.records()[9].source is None


def test_what_is_still_to_be_tried_first_comes_next_and_what_was_learned_stays(tmp_path: Path) -> None:
    widths = "enqueue=[{model: {width: 2}}, {model: {width: 3}}, {model: {width: 4}}]"
    first = made(tmp_path, "a", widths)
    number = first.start(Proposer(first.space, []).propose(first.chosen()[0]).proposal).number
    first.complete(number, [epoch(2, 0.4)])
    known = first.optuna_trials()[0].params
    learned = [
        {"hyperparameters": known, "values": {"accuracy": 0.4, "parameters": 321.0}},
        {"hyperparameters": {**known, "model.width": 6}, "values": {"accuracy": 0.7, "parameters": 400.0}},
    ]
    start = History(warm_start={"proposals": [{"model.width": 3}, {"model.width": 5}], "observations": learned})
    space = parse_space(SMALL_SPACE, "small.yaml", ["study=b"])
    second = Study.create(tmp_path, space, attributes=start.attributes())
    second.complete(second.start(Proposer(space, []).propose({"model.width": 6}).proposal).number, [epoch(2, 0.3)])
    study = joined(tmp_path, "a", "b").study
    assert study.chosen(len(study.records())) == [{"model.width": 3}, {"model.width": 4}, {"model.width": 5}]
    assert study.priors() == [(learned[1]["hyperparameters"], learned[1]["values"])], "the other is a trial here"
    study.add_overrides(["search.trials=9"])
    search = AskTell(study, 2, lambda: False, lambda record: None)
    asked = [search.ask(), search.ask()]
    assert [each.config.model.width for each in asked if each] == [3, 4]
    assert study.chosen(len(study.records())) == [{"model.width": 5}]


# -- what comes along ----------------------------------------------------------------------------------------------


def confirmed(study: Study, number: int, seed: int, state: Any = "complete", epochs: int = 2) -> SeedRecord:
    record = study.records()[number]
    curve = [{**epoch(each), "accuracy": None} for each in range(1, epochs + 1)]
    made = SeedRecord(
        number, state, stored=StoredConfig({**record.stored.document, "seed": seed}), curve=curve, seed=seed
    )
    test = {"accuracy": 0.5 + seed / 10, "loss": 1.0}
    done = replace(made, test=test, values={"accuracy": 0.5, "parameters": 1.0}) if state == "complete" else made
    SeedStore(study.folder).save(done)
    return done


def test_confirmations_come_along_under_the_new_numbers(tmp_path: Path) -> None:
    first, second = made(tmp_path, "a"), made(tmp_path, "b")
    for study in (first, second, second):
        add(study, "complete", [0.1, 0.5])
    first.close()
    shutil.copytree(first.folder, tmp_path / "copies/a")
    copy = Study.open(tmp_path, "a")
    copy.folder = tmp_path / "copies/a"
    kept = [confirmed(first, 0, 1), confirmed(copy, 0, 2), confirmed(second, 1, 1)]
    confirmed(copy, 0, 1, "fail", 1)
    confirmed(second, 1, 2, "running", 1)
    lost = confirmed(second, 0, 3, "fail", 1)
    error = second.folder / "confirm/00000/00003/error.txt"
    error.parent.mkdir()
    error.write_text("Traceback")
    merged = joined(tmp_path, "a", tmp_path / "copies/a", "b")
    found = SeedStore(merged.study.folder).records()
    wanted = [(0, kept[0]), (0, kept[1]), (1, lost), (2, kept[2])]
    assert [record.document() for record in found] == [{**each.document(), "number": number} for number, each in wanted]
    assert [(each.key, each.test) for each in found] == [((n, each.seed), each.test) for n, each in wanted]
    assert [each.key for each in merged.confirmations] == [each.key for each in found]
    assert (merged.study.folder / "confirm/00001/00003/error.txt").read_text() == "Traceback"
    shown = read_study(merged.study).confirmed
    assert {row.trial.number: len(row.complete) for row in shown} == {0: 2, 1: 0, 2: 1}


def test_weights_of_the_front_and_tracebacks_come_along(pair: list[Study], tmp_path: Path) -> None:
    folders = []
    for study in pair:
        folders.append(shutil.copytree(study.folder, tmp_path / "sources" / study.name))
        for number, end in enumerate(ENDS):
            if end in ("complete", "running"):
                (folders[-1] / f"trials/{number:05d}").mkdir(parents=True)
                name = "model.safetensors" if end == "complete" else "checkpoint.pt"
                (folders[-1] / f"trials/{number:05d}/{name}").write_text(f"{study.name} {number}")
    merged = joined(tmp_path, *folders)
    data = read_study(merged.study)
    on_front = {record.number: record.source for record in data.front}
    assert set(merged.weights) == set(on_front)
    wanted = {f"{n:05d}/model.safetensors": "{study} {number}".format(**s) for n, s in on_front.items() if s}
    failed = [record for record in data.records if record.state == "fail"]
    wanted |= {f"{r.number:05d}/error.txt": f"Traceback of {r.source['study']} 2" for r in failed if r.source}
    place = merged.study.folder / "trials"
    assert {name: content.decode() for name, content in files(place).items()} == wanted
    assert len(wanted) == len(on_front) + 2


def test_a_place_that_is_out_of_reach_is_told_and_stops_nothing(pair: list[Study], tmp_path: Path) -> None:
    copy = shutil.copytree(pair[0].folder, tmp_path / "a")
    places = json.loads((copy / "study.json").read_text())
    (copy / "study.json").write_text(json.dumps({**places, "checkpoints": "nowhere://bucket/a"}))
    merged = joined(tmp_path, copy, pair[1].folder)
    assert len(merged.study.records()) == 14 and merged.weights == []
    assert list(merged.out_of_reach) == ["a"] and "nowhere" in merged.out_of_reach["a"]


# -- of one space --------------------------------------------------------------------------------------------------


def test_objectives_in_another_order_are_the_same(tmp_path: Path) -> None:
    orders = ("accuracy: maximize, parameters: minimize", "parameters: minimize, accuracy: maximize")
    for name, order in zip("ab", orders, strict=True):
        add(made(tmp_path, name, f"objectives={{{order}}}"), "complete", [0.1, 0.2], 77)
    records = joined(tmp_path, "a", "b").study.records()
    assert [dict(record.values) for record in records] == [{"accuracy": 0.2, "parameters": 77.0}] * 2


# -- all or nothing ------------------------------------------------------------------------------------------------


def leftovers(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir()) if home.exists() else []


def test_an_error_in_the_middle_leaves_nothing(
    pair: list[Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for study in pair:
        shutil.copytree(study.folder, tmp_path / "sources" / study.name)
    copies = [tmp_path / "sources" / study.name for study in pair]
    confirmed(Study.open(copies[0].parent, "a"), 0, 0)

    def full(path: Path, text: str, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(seeds, "write_whole", full)
        with pytest.raises(Exception, match="No space left on device"):
            joined(tmp_path / "home", *copies)
    assert leftovers(tmp_path / "home") == []
    assert len(joined(tmp_path / "home", *copies).study.records()) == 14


KILLED = """
import os, signal, sys
from pathlib import Path
from kansearch.merge.merge import merge
Path.rename = lambda *places: os.kill(os.getpid(), signal.SIGKILL)  # the last step of all
merge(Path(sys.argv[1]), sys.argv[2:], "joined", [])
"""


def test_a_kill_before_the_last_step_leaves_no_study_and_the_same_command_makes_it(
    pair: list[Study], tmp_path: Path
) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path), *(str(study.folder) for study in pair)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    assert study_names(tmp_path) == [] and not (tmp_path / "joined").exists()
    assert (tmp_path / ".merging/joined/study.db").exists(), "it was all but done"
    (tmp_path / ".merging/joined/confirm").mkdir()
    merged = joined(tmp_path, *(study.folder for study in pair))
    assert leftovers(tmp_path) == ["joined"] and len(merged.study.records()) == 14
    assert not (merged.study.folder / "confirm").exists() and not (merged.study.folder / "token").exists()
    assert json.loads((merged.study.folder / "study.json").read_text()) == {
        "storage": f"sqlite:///{tmp_path}/joined/study.db",
        "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
    }
