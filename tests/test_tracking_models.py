"""Trained models in MLflow: what is logged gives the model's own probabilities, in another process and over HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from numpy.typing import NDArray

from kansearch.errors import KansearchError
from kansearch.tracking.models import log_model
from tests.helpers import environment, wait_until
from tests.modelfolder import model_config, write_model
from trials import load_model
from trials.saved.prediction import Predictor

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::FutureWarning",
)

PIXELS = {"dataset": "synthetic", "size": [8, 6], "channels": 3, "samples": 20, "dense": True, "batch_size": 8}


class Store:
    """A SQLite store with a run, and its address."""

    def __init__(self, folder: Path) -> None:
        self.uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(tracking_uri=self.uri)
        experiment = self.client.create_experiment("kansearch/retrain", (folder / "artifacts").as_uri())
        self.run_id = self.client.create_run(experiment).info.run_id


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), model_config(basis={"name": "rbf"}))


@pytest.fixture(scope="module")
def registered(store: Store, folder: Path) -> str:
    return log_model(folder, store.run_id, store.uri, "digits")


@pytest.fixture
def process(store: Store) -> Iterator[None]:
    """This process looks models up in the store."""
    mlflow.set_tracking_uri(store.uri)
    yield
    mlflow.set_tracking_uri(None)


def pixels(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def probabilities(folder: Path, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        result: NDArray[np.float32] = load_model(folder)[0](torch.tensor(samples)).softmax(1).numpy()
    return result


def test_a_registered_model_gives_the_probabilities_of_its_classes(registered: str, folder: Path, process: Any) -> None:
    assert registered == "models:/digits/1"
    samples = pixels(5, 1, 8, 8)
    found = mlflow.pyfunc.load_model(registered).predict(samples)
    assert list(found.columns) == list("0123456789")
    np.testing.assert_allclose(found.to_numpy(), probabilities(folder, samples), rtol=1e-5)


def test_signature_and_example_go_together_and_nothing_is_pickled(
    registered: str, store: Store, process: Any, tmp_path: Path
) -> None:
    loaded = mlflow.pyfunc.load_model(registered)
    [given] = loaded.metadata.signature.inputs.to_dict()
    assert given["tensor-spec"] == {"dtype": "float32", "shape": (-1, 1, 8, 8)}
    assert loaded.metadata.signature.outputs.input_names() == list("0123456789")
    assert len(loaded.predict(loaded.input_example)) == 1
    with pytest.raises(mlflow.MlflowException, match="does not match expected"):
        loaded.predict(pixels(1, 1, 9, 9))
    mlflow.artifacts.download_artifacts(registered, dst_path=str(tmp_path))
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {"MLmodel", "data/files/model.json", "data/files/model.safetensors"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".py"))]
    assert "kansearch==" in (tmp_path / "requirements.txt").read_text()


def test_a_model_belongs_to_its_run_and_its_name_has_versions(registered: str, store: Store, folder: Path) -> None:
    assert log_model(folder, store.run_id, store.uri, "digits") == "models:/digits/2"
    unnamed = log_model(folder, store.run_id, store.uri, None)
    outputs = store.client.get_run(store.run_id).outputs.model_outputs
    logged = {f"models:/{each.model_id}": store.client.get_logged_model(each.model_id) for each in outputs}
    assert len(logged) == 3 and unnamed in logged
    assert {(each.status.value, each.source_run_id) for each in logged.values()} == {("READY", store.run_id)}
    named = {uri for uri, each in logged.items() if "mlflow.modelVersions" in each.tags}
    assert named == logged.keys() - {unnamed}
    assert store.client.get_run(store.run_id).info.status == "RUNNING"
    assert store.client.get_model_version("digits", "2").run_id == store.run_id


def test_a_class_for_each_pixel_gives_an_array(store: Store, process: Any, tmp_path: Path) -> None:
    folder = write_model(tmp_path, model_config(PIXELS, family="unet", width=1))
    samples = pixels(3, 3, 8, 6)
    found = mlflow.pyfunc.load_model(log_model(folder, store.run_id, store.uri, None)).predict(samples)
    np.testing.assert_allclose(found, probabilities(folder, samples), rtol=1e-4)


def test_a_prediction_of_many_samples_is_made_in_parts(folder: Path) -> None:
    from kansearch.tracking.serving import ServedModel

    samples = pixels(700, 1, 8, 8)
    found = ServedModel(str(folder)).predict(samples)
    np.testing.assert_array_equal(
        found, np.concatenate([*map(Predictor(folder).probabilities, np.split(samples, [512]))])
    )
    assert ServedModel(str(folder)).predict(samples[:0]).shape == (0, 10)


ELSEWHERE = """
import sys, mlflow, numpy
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(numpy.zeros((1, 1, 8, 8), "float32")).to_json(orient="values"))
"""


def test_it_loads_in_another_process_and_folder(registered: str, store: Store, folder: Path, tmp_path: Path) -> None:
    there = environment(MLFLOW_TRACKING_URI=store.uri)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, registered], cwd=tmp_path, env=there, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    expected = probabilities(folder, np.zeros((1, 1, 8, 8), np.float32))
    np.testing.assert_allclose(json.loads(done.stdout), expected, rtol=1e-5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "reason"), [("a/b", "Invalid model name 'a/b'"), (None, "Run with id=0{32} not found")]
)
def test_what_mlflow_does_not_take_is_told_in_one_line(
    name: str | None, reason: str, store: Store, folder: Path
) -> None:
    run_id = store.run_id if name else "0" * 32
    before = len(store.client.search_logged_models(["1"]))
    with pytest.raises(KansearchError, match=rf"^MLflow did not take the model in {folder}: .*{reason}[^\n]*$"):
        log_model(folder, run_id, store.uri, name)
    assert len(store.client.search_logged_models(["1"])) == before


def test_a_folder_without_a_model_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(KansearchError, match="no trained model there"):
        log_model(tmp_path, store.run_id, store.uri, None)


@pytest.mark.slow
def test_a_registered_model_is_served_over_http(
    registered: str, store: Store, folder: Path, process: Any, tmp_path: Path
) -> None:
    """As the README says it: `mlflow models serve`, asked with the input example, then with images."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-m", registered, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it calls uvicorn by its name
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "models", "serve", *options],
            env=environment(MLFLOW_TRACKING_URI=store.uri, PATH=bin_first),
            cwd=tmp_path, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/ping"))
        example = mlflow.artifacts.download_artifacts(
            f"{registered}/serving_input_example.json", dst_path=str(tmp_path)
        )
        [row] = _post(port, Path(example).read_bytes())
        assert list(row) == list("0123456789") and sum(row.values()) == pytest.approx(1)
        samples = pixels(3, 1, 8, 8)
        rows = _post(port, json.dumps({"inputs": samples.tolist()}).encode())
        np.testing.assert_allclose([[*row.values()] for row in rows], probabilities(folder, samples), rtol=1e-5)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _post(port: int, content: bytes) -> list[dict[str, float]]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", content, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=100) as answer:
        return list(json.load(answer)["predictions"])
