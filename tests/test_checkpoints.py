"""Where checkpoints lie: a folder and a filesystem of fsspec keep the same promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from kansearch.cluster.checkpoints import CHECKPOINT, WEIGHTS, checkpoint_place, checkpoints_at
from kansearch.cluster.kept import KeptWeights
from kansearch.errors import InputError
from kansearch.space import Direction
from kansearch.study.records import State, TrialRecord
from tests.shelf import ShelfFileSystem

fsspec.register_implementation("shelf", ShelfFileSystem, clobber=True)

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}
PLACES = pytest.mark.parametrize("scheme", ["", "file://", "shelf://"])


@pytest.fixture
def place(scheme: str, tmp_path: Path) -> str:
    return checkpoint_place(f"{scheme}{tmp_path}/shared", "small")


def train(place: str, number: int, epochs: int, *, start: str, weights: str | None = None) -> None:
    """What a worker does, with text for a network's weights."""
    checkpoints = checkpoints_at(place)
    with checkpoints.folder(number) as folder:
        path = folder / CHECKPOINT
        assert (path.read_text() if path.exists() else "new") == start
        for epoch in range(1, epochs + 1):
            temporary = folder / "temporary"
            temporary.write_text(f"{start}+{epoch}")
            temporary.replace(path)
            if weights and epoch == epochs:
                (folder / WEIGHTS).write_text(weights)
            checkpoints.store(number, folder)


def complete(number: int, accuracy: float, parameters: float) -> TrialRecord:
    return TrialRecord(number, "complete", values={"accuracy": accuracy, "parameters": parameters})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@PLACES
def test_a_trial_goes_on_where_another_worker_left_it(place: str) -> None:
    train(place, 3, 2, start="new")
    train(place, 4, 1, start="new")
    train(place, 3, 1, start="new+2")
    train(place, 3, 1, start="new+2+1")


@PLACES
@pytest.mark.parametrize(("state", "left"), [("complete", []), ("pruned", []), ("fail", ["00000/error.txt"])])
def test_a_finished_trial_keeps_its_traceback_alone(place: str, tmp_path: Path, state: State, left: list[str]) -> None:
    train(place, 0, 1, start="new")
    checkpoints = checkpoints_at(place)
    checkpoints.note_error(0, "Traceback")
    checkpoints.forget(TrialRecord(0, state))
    (own,) = (tmp_path / "shared").iterdir()
    assert files(own) == left
    checkpoints.forget(TrialRecord(0, state))
    checkpoints.forget(TrialRecord(1, state))


@PLACES
def test_a_note_is_found_until_it_is_removed(place: str) -> None:
    checkpoints = checkpoints_at(place)
    assert checkpoints.find("note") is None
    checkpoints.leave("note", "Käse")
    assert checkpoints_at(place).find("note") == "Käse"
    checkpoints.remove("note")
    checkpoints.remove("note")
    assert checkpoints.find("note") is None


@PLACES
def test_two_studies_of_one_name_have_places_of_their_own(place: str, scheme: str, tmp_path: Path) -> None:
    train(place, 0, 1, start="new")
    train(checkpoint_place(f"{scheme}{tmp_path}/shared", "small"), 0, 1, start="new")


@PLACES
def test_the_weights_of_the_front_are_kept_and_no_others(place: str, tmp_path: Path) -> None:
    checkpoints = checkpoints_at(place)
    kept = KeptWeights(OBJECTIVES, checkpoints, [])
    records = [complete(0, 0.5, 100), complete(1, 0.7, 200), complete(2, 0.6, 300), complete(3, 0.8, 150)]
    for record in records:
        train(place, record.number, 1, start="new", weights=f"of {record.number}")
        kept.ended(record)
    assert checkpoints.weights() == {0, 3}
    with checkpoints.weights_of(3) as path, checkpoints.weights_of(1) as gone:
        assert path.read_text() == "of 3" and not gone.exists()
    (own,) = (tmp_path / "shared").iterdir()
    assert files(own) == ["00000/model.safetensors", "00003/model.safetensors"]
    train(place, 1, 1, start="new", weights="of 1")  # as if the driver had been killed before it removed them
    KeptWeights(OBJECTIVES, checkpoints, records)
    assert checkpoints.weights() == {0, 3}


@PLACES
def test_of_equal_trials_the_first_one_keeps_its_weights_whichever_ends_first(place: str) -> None:
    checkpoints = checkpoints_at(place)
    kept = KeptWeights(OBJECTIVES, checkpoints, [])
    for number in (5, 2):
        train(place, number, 1, start="new", weights="equal")
        kept.ended(complete(number, 0.5, 100))
    assert checkpoints.weights() == {2}


@pytest.mark.parametrize("scheme", ["shelf://"])
def test_an_epoch_told_again_is_not_uploaded_again(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train(place, 0, 2, start="new")
    uploads: list[str] = []
    put = ShelfFileSystem.put_file
    monkeypatch.setattr(ShelfFileSystem, "put_file", lambda fs, *a, **k: (uploads.append(a[1]), put(fs, *a, **k)))
    checkpoints = checkpoints_at(place)
    with checkpoints.folder(0) as folder:
        checkpoints.store(0, folder)
        assert uploads == []
        (folder / "newer").write_text("newer")
        (folder / "newer").replace(folder / CHECKPOINT)
        checkpoints.store(0, folder)
        checkpoints.store(0, folder)
    assert len(uploads) == 1


@pytest.mark.parametrize("scheme", ["shelf://"])
def test_an_upload_that_breaks_off_leaves_the_epoch_before(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    train(place, 0, 1, start="new")

    def break_off(fs: Any, source: str, target: str, **options: Any) -> None:
        Path(target).write_text(Path(source).read_text()[:3])
        raise ConnectionResetError("the line is dead")

    with monkeypatch.context() as patch:
        patch.setattr(ShelfFileSystem, "put_file", break_off)
        with pytest.raises(ConnectionResetError):
            train(place, 0, 1, start="new+1")
    train(place, 0, 1, start="new+1")


@pytest.mark.parametrize("scheme", ["shelf://"])
def test_a_place_that_cannot_be_cleaned_does_not_end_a_search(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise PermissionError("no")

    train(place, 7, 1, start="new")
    monkeypatch.setattr(ShelfFileSystem, "rm", refuse)
    checkpoints_at(place).forget(TrialRecord(7, "complete"))
    assert f"{place}/00007 is left behind: no" in caplog.text


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("nonsense://bucket/x", "nonsense"),
        ("memory://x", "seen by one process only"),
        ("gdrive://me@place/x", "gdrive://me@place/x/small.*install"),
        ("ftp://me:secret@place/x", "ftp://me@place/x: holds a password, .* leave it out"),
        ("s3://key:secret/with/slashes@bucket/x", "s3://key@bucket/x: holds a password"),
        ("simplecache::ftp://me:secret@place/x", "simplecache::ftp://me@place/x: holds a password"),
        ("ftp://127.0.0.1:9/a@b", "cannot be written"),
        ("http://127.0.0.1:9/x", "cannot be written"),
        ("/proc/checkpoints", "cannot be written"),
    ],
)
def test_a_place_that_cannot_be_used_is_told(place: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as raised:
        checkpoint_place(place, "small")
    text = str(raised.value)
    assert text.startswith("--checkpoints ")
    assert "\n" not in text
    assert "secret" not in text


def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Path(checkpoint_place("shared", "small")).parent == tmp_path / "shared"
