"""Checkpoints are whole or absent, hold no code, and damage is told."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from trials.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint

STATE: dict[str, Any] = {
    "epoch": 3,
    "model": {"weight": torch.arange(1000.0)},
    "optimizer": {"state": {0: {"step": 4}}},
}


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "checkpoint.pt"
    save_checkpoint(path, STATE)
    state = load_checkpoint(path)
    assert torch.equal(state["model"].pop("weight"), STATE["model"]["weight"])
    assert {**state, "model": {}} == {**STATE, "model": {}}
    assert os.listdir(path.parent) == ["checkpoint.pt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failure_while_saving_keeps_the_old_checkpoint(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)

    def fail(*args: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="disk full"):
            save_checkpoint(path, {**STATE, "epoch": 4})
    assert load_checkpoint(path)["epoch"] == 3
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_file_and_folder_are_flushed_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b))[1])
    save_checkpoint(tmp_path / "checkpoint.pt", STATE)
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"hello", lambda c: c[100:]])
def test_a_damaged_checkpoint_is_named(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, STATE)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt: not a readable checkpoint") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


class Intruder:
    def __reduce__(self) -> Any:
        return print, ("code ran",)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, write in (
        ("torch.pt", torch.save),
        ("pickle.pt", lambda o, f: f.write_bytes(pickle.dumps(o, protocol=2))),
    ):
        write({"model": Intruder()}, tmp_path / name)
        with pytest.raises(CheckpointError, match=name):
            load_checkpoint(tmp_path / name)
    assert "code ran" not in capsys.readouterr().out


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load_checkpoint(tmp_path / "list.pt")


def test_no_file_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.pt")
