"""The public Python face: light until it is used, the spaces and errors of the command line, and a whole search."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_digits

import kansearch
from kansearch import Model, Study, launch, load_model, load_space, retrain
from kansearch.errors import InputError, KansearchError, SpaceError, UnknownStudyError
from kansearch.space import find_space, shipped_spaces
from tests.commandline import home_fixture, made_fixture
from tests.helpers import ROOT, SMALL_SPACE, environment
from tests.modelfolder import model_config, write_model

__all__ = ["home_fixture", "made_fixture"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

SMALL: dict[str, Any] = yaml.safe_load(SMALL_SPACE.replace("1e-3, 1e-2", "0.001, 0.01"))
HEAVY = "{'torch', 'torchvision', 'ray', 'optuna', 'mlflow', 'matplotlib', 'sklearn', 'pandas'}"


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import kansearch; assert set(kansearch.__all__) <= set(dir(kansearch))",
        "from kansearch import load_space; load_space('quickstart')",
        "from kansearch import *; Study, launch, load_model, retrain",
    ],
)
def test_importing_loads_no_heavy_package(code: str, tmp_path: Path) -> None:
    program = f"{code}\nimport sys\nprint(sorted({HEAVY} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_every_public_name_is_there_described_and_typed() -> None:
    tree = ast.parse((ROOT / "kansearch/__init__.py").read_text())
    typed = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for name in node.names}
    assert typed - {"TYPE_CHECKING", "import_module"} == set(kansearch.__all__) - {"__version__"}
    for name in kansearch.__all__:
        assert getattr(kansearch, name).__doc__
    with pytest.raises(AttributeError, match=r"module 'kansearch' has no attribute 'lunch'"):
        kansearch.lunch  # type: ignore[attr-defined]  # noqa: B018


# -- spaces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, _, _ in shipped_spaces()])
def test_a_mapping_is_the_same_space_as_its_file(name: str) -> None:
    file = load_space(name)
    loaded = yaml.load(find_space(name).read_text(), _Numbers)
    mapping = load_space(loaded)
    for field in ("study", "tree", "objectives", "constraints", "search", "enqueued"):
        assert getattr(mapping, field) == getattr(file, field)
    assert list(mapping.objectives) == list(file.objectives)


class _Numbers(yaml.SafeLoader):
    """Reads 1e-3 as a number, as kansearch does."""


_Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def test_a_space_may_share_its_parts_and_hold_tuples() -> None:
    width = {"int": (2, 6)}
    space = load_space({**SMALL, "model": {"depth": width, "width": width}})
    assert space.hyperparameters()["model.depth"] == space.hyperparameters()["model.width"]


def test_overrides_replace_what_any_source_says(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    path = tmp_path / "small.yaml"
    overrides = {"study": "2024", "search.trials": 3, "model.width": {"int": [3, 4]}}
    for source in (SMALL, path, str(path), load_space(SMALL)):
        space = load_space(source, overrides)
        assert (space.study, space.search.trials) == ("2024", 3)
        assert (
            space.hyperparameters()["model.width"]
            == load_space({**SMALL, "model": {**SMALL["model"], "width": {"int": [3, 4]}}}).hyperparameters()[
                "model.width"
            ]
        )


def test_everything_wrong_in_a_mapping_is_told_as_of_a_file(tmp_path: Path) -> None:
    wrong = {**SMALL, "epochs": 0, "optimizer": {"name": "adam"}}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong, sort_keys=False))
    with pytest.raises(SpaceError) as of_file:
        load_space(tmp_path / "wrong.yaml")
    with pytest.raises(SpaceError) as of_mapping:
        load_space(wrong)
    told = [[(issue.path, issue.reason) for issue in each.value.issues] for each in (of_file, of_mapping)]
    assert told[0] == told[1]
    assert len(told[0]) >= 2


RECURSIVE: dict[str, Any] = {}
RECURSIVE["model"] = RECURSIVE


@pytest.mark.parametrize(
    ("source", "overrides", "message"),
    [
        ({**SMALL, "epochs": np.int64(3)}, None, "cannot be written as YAML"),
        (RECURSIVE, None, "contains itself"),
        ("quickstrat", None, "did you mean 'quickstart'"),
        (SMALL, {"epochs": object()}, "overrides: "),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(source: Any, overrides: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        load_space(source, overrides)
    assert "\n" not in str(refused.value)


# -- studies ---------------------------------------------------------------------------------------------------------


def test_tables_have_a_row_for_each_trial_and_a_column_for_each_figure(home: Path) -> None:
    study = Study("small", home)
    trials, front = study.trials(), study.front()
    assert list(trials.index) == [0, 1, 2]
    assert list(trials["state"]) == ["complete", "complete", "fail"]
    assert list(trials.columns[:5]) == ["state", "reason", "epochs", "accuracy", "parameters"]
    for record in study._study.records()[:2]:
        row = trials.loc[record.number]
        assert (row["accuracy"], row["parameters"]) == (record.values["accuracy"], record.values["parameters"])
        assert row["model.width"] == record.config.model.width
        assert row["optimizer.lr"] == record.config.optimizer.lr
    assert trials.loc[2, "reason"].startswith("TrialDiverged")
    assert front["parameters"].is_monotonic_increasing
    assert front["accuracy"].is_monotonic_increasing
    assert trials.loc[front.index, "accuracy"].max() == trials["accuracy"].max()


def test_a_study_is_exported_by_a_pick_or_a_number(home: Path, tmp_path: Path) -> None:
    study = Study("small", home)
    assert study.export(tmp_path / "one.yaml", 1) == 1
    assert study.export(tmp_path / "best.yaml", "best") == study.trials()["accuracy"].idxmax()
    with pytest.raises(InputError, match="give knee, best, smallest or a trial number"):
        study.export(tmp_path / "one.yaml", "bset")


def test_a_study_that_is_not_there_or_there_already_is_told(home: Path) -> None:
    with pytest.raises(UnknownStudyError, match="studies there: small"):
        Study("smal", home)
    with pytest.raises(InputError, match="study 'small' exists"):
        launch(SMALL, home=home, progress=False)


def test_resuming_a_study_whose_budget_is_used_up_writes_its_report(home: Path) -> None:
    study = Study("small", home)
    assert study.resume({"search.trials": 3}, progress=False) is study
    assert study.space.search.trials == 3
    assert len(study.trials()) == 3
    assert (study.folder / "report.html").is_file()
    with pytest.raises(InputError, match="keeps its name"):
        study.resume({"study": "other"}, progress=False)


def test_a_search_is_refused_on_another_thread(tmp_path: Path) -> None:
    errors = list[KansearchError]()

    def search() -> None:
        with pytest.raises(KansearchError, match="on the main thread") as refused:
            launch(SMALL, home=tmp_path / "studies")
        errors.append(refused.value)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert errors
    assert not (tmp_path / "studies").exists()


# -- models ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="model")
def model_fixture(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load_model(write_model(tmp_path_factory.mktemp("model"), model_config()), "cpu")


def test_a_model_gives_the_softmax_of_its_module_in_any_batches(model: Model) -> None:
    import torch

    images = load_digits().images[:7] * (255 / 16)
    with torch.no_grad():
        expected = model.module(torch.from_numpy(images).float()[:, None]).softmax(1).numpy()
    for batch in (1, 3, 256):
        np.testing.assert_allclose(model.probabilities(images, batch), expected, atol=1e-6)
    np.testing.assert_array_equal(model.predict(images[:, None].tolist()), expected.argmax(1))
    assert model.predict(images[:0]).shape == (0,)
    assert model.classes == tuple("0123456789")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 9, 8)), r"shape \(2, 9, 8\), but the model takes \(N, 1, 8, 8\)"),
        (np.zeros((8, 8)), r"shape \(8, 8\)"),
        (3.0, r"shape \(\)"),
        ([["a"]], "not an array of real numbers"),
    ],
)
def test_samples_that_a_model_does_not_take_are_refused(model: Model, samples: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.predict(samples)


def test_errors_of_models_and_retrainings_are_kansearch_errors(model: Model, tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match="no trained model there"):
        load_model(tmp_path)
    with pytest.raises(InputError, match="batch=0"):
        model.predict(np.zeros((1, 8, 8)), batch=0)
    with pytest.raises(InputError, match="no such file"):
        retrain(tmp_path / "none.yaml", tmp_path / "model")
    with pytest.raises(InputError, match="epochs=0"):
        retrain(tmp_path / "none.yaml", tmp_path / "model", epochs=0)


def test_a_retraining_that_starts_from_no_model_is_refused(home: Path, tmp_path: Path) -> None:
    Study("small", home).export(tmp_path / "one.yaml", 1)
    exported = yaml.safe_load((tmp_path / "one.yaml").read_text())
    exported["config"]["start"] = {"weights": f"{tmp_path}/nowhere.safetensors@sha256:{'0' * 64}"}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(exported))
    with pytest.raises(KansearchError, match=r"nowhere\.safetensors"):
        retrain(tmp_path / "one.yaml", tmp_path / "model")
    assert not (tmp_path / "model").exists()


# -- all of it -------------------------------------------------------------------------------------------------------


def test_the_example_searches_looks_exports_retrains_and_predicts(tmp_path: Path) -> None:
    script = (ROOT / "examples/notebook.py").read_text()
    assert script in (ROOT / "docs/python.md").read_text()
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/notebook.py"), str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    study = Study("notebook", tmp_path / "studies")
    trials, front = study.trials(), study.front()
    assert list(trials["state"]) == ["complete"] * study.space.search.trials
    assert set(front.index) <= set(trials.index)
    assert (study.folder / "report.html").is_file()
    best = int(trials["accuracy"].idxmax())
    assert f"trial {best}, trained again: test accuracy 0." in done.stdout
    digits = load_digits()
    labels = load_model(tmp_path / "model").predict(digits.images * (255 / 16))
    assert (labels == digits.target).mean() > 0.6
    assert f"predicted: {[str(label) for label in labels[:8]]}" in done.stdout
