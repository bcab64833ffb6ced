"""The examples run, one after the other: `front.py` and `predict.py` read what `notebook.py` leaves."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
from sklearn.datasets import load_digits

from kansearch import Study, load_model
from tests.helpers import ROOT, environment


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which `notebook.py` ran, and what it printed."""
    folder = tmp_path_factory.mktemp("notebook")
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/notebook.py"), str(folder)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import an example by its name, as a script that lies beside the others finds it."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    before = set(sys.modules)
    yield importlib.import_module
    for name in {path.stem for path in (ROOT / "examples").glob("*.py")} - before:
        sys.modules.pop(name, None)


def test_a_notebook_searches_looks_exports_retrains_and_predicts(notebook: tuple[Path, str]) -> None:
    folder, printed = notebook
    assert (ROOT / "examples/notebook.py").read_text() in (ROOT / "docs/python.md").read_text()
    study = Study("notebook", folder / "studies")
    trials, front = study.trials(), study.front()
    assert list(trials["state"]) == ["complete"] * study.space.search.trials
    assert set(front.index) <= set(trials.index)
    assert (study.folder / "report.html").is_file()
    best = int(trials["accuracy"].idxmax())
    assert f"trial {best}, trained again: test accuracy 0." in printed
    digits = load_digits()
    labels = load_model(folder / "model").predict(digits.images * (255 / 16))
    assert (labels == digits.target).mean() > 0.6
    assert f"predicted: {[str(label) for label in labels[:8]]}" in printed


def test_a_front_is_a_frame_and_a_picture(notebook: tuple[Path, str], example: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    example("front").main(notebook[0])
    front = Study("notebook", notebook[0] / "studies").front()
    assert list(pandas.read_csv(notebook[0] / "front.csv")["accuracy"]) == pytest.approx(list(front["accuracy"]))
    assert (notebook[0] / "front.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_is_a_function_and_a_module(notebook: tuple[Path, str], example: Any, capsys: Any) -> None:
    example("predict").main(notebook[0])
    printed = capsys.readouterr().out
    assert float(printed.rpartition("odd or even: ")[2]) > 0.8
    assert sum(int(each) for line in printed.splitlines()[2:12] for each in line.split()[1:]) == 1797


def test_layers_stand_in_a_model_of_ones_own(example: Any, capsys: Any) -> None:
    example("layer").main()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("5,874 parameters") and second.startswith("6,162 parameters"), "the grid was refined"
    assert min(float(line.rpartition(" ")[2]) for line in (first, second)) > 0.85


def test_a_basis_of_ones_own_trains(example: Any, capsys: Any) -> None:
    example("basis").main()
    assert float(capsys.readouterr().out.rpartition(" ")[2]) > 0.85
