"""Data sets of one's own on the command line: what is wrong ends a command before anything is searched."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.commandline import Command, kansearch_fixture, one_line
from tests.datafiles import write_folder
from trials.config import TrialConfig
from trials.data import functions, splits
from trials.measure.timing import time_step

__all__ = ["kansearch_fixture"]

DATA = "{dataset: function, function: 'my_signals:make', size: [24], classes: 2, samples: 60, batch_size: 16}"
TRUST = ("--trust-data", "my_signals:make")


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KANSEARCH_DATA", raising=False)
    monkeypatch.setattr(splits, "_READ", {})
    monkeypatch.setattr(functions, "_TRUSTED", set())


def write_space(data: str) -> str:
    text = "study: own\nmodel: {depth: 1, width: {int: [2, 4]}, basis: rbf}\nepochs: 1\nsearch: {trials: 1}\n"
    Path("own.yaml").write_text(f"{text}data: {data}\n")
    return "own.yaml"


def config() -> TrialConfig:
    return TrialConfig.model_validate(
        {"data": yaml.safe_load(DATA), "model": {"depth": 1, "width": 2, "basis": {"name": "rbf"}}, "epochs": 1}
    )


def my_signals(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The module that the configuration names; what its function was called with."""
    calls: list[object] = []

    def make(folder: Path | None) -> object:
        calls.append(folder)
        labels = np.arange(60) % 2
        signals = (np.sin(np.linspace(0, 9, 24)) * (labels[:, None] + 1)).astype(np.float32)
        return (signals, labels), (signals[:20], labels[:20])

    module = types.ModuleType("my_signals")
    module.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_signals", module)
    return calls


def test_a_search_space_alone_never_runs_code(kansearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = my_signals(monkeypatch)
    space = write_space(DATA)
    assert "--trust-data my_signals:make" in one_line(kansearch("launch", space), 1)
    assert "--trust-data my_signals:make" in one_line(kansearch("launch", space, "--trust-data", "my_signals:other"), 1)
    assert time_step(config(), device="cpu").synthetic, "a plan can do with random signals"
    assert calls == [] and not Path("studies").exists()
    functions.trust_data(TRUST[1])
    assert not time_step(config(), device="cpu").synthetic and len(calls) == 1


def test_a_trusted_function_is_retrained_on(kansearch: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = my_signals(monkeypatch)
    Path("best.yaml").write_text(yaml.safe_dump({"config": config().model_dump(mode="json")}))
    assert "--trust-data my_signals:make" in one_line(kansearch("retrain", "best.yaml", "-o", "model"), 1)
    done = kansearch("retrain", "best.yaml", "-o", "model", "--json", "--data-dir", "here", *TRUST)
    assert done.code == 0, done.err
    assert json.loads(done.out)["images"] == 20 and calls == [Path("here")]


def test_a_folder_that_is_not_what_is_said_ends_a_launch(kansearch: Command) -> None:
    write_folder(Path("pets"))
    space = write_space("{dataset: imagefolder, image_size: 8, classes: 3}")
    message = one_line(kansearch("launch", space, "--data-dir", "pets"), 1)
    assert "pets/train: 2 folders where data.classes=3" in message
    assert "data set imagefolder not found" in one_line(kansearch("launch", space), 1)
    assert not Path("studies").exists()
    truncated = Path("pets/train/cat/1.png")
    truncated.write_bytes(truncated.read_bytes()[:30])
    space = write_space("{dataset: imagefolder, image_size: 8, classes: 2}")
    outcome = kansearch("launch", space, "--data-dir", "pets")
    assert outcome.code == 1 and "pets/train/cat/1.png: not a readable image" in outcome.err
