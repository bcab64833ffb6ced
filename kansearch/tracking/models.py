"""Trained models in MLflow: logged to a run with signature and input example, and registered under a name.

uri = log_model(Path("model"), run_id, "sqlite:///studies/mlflow.db", "digits")  # "models:/digits/1"
mlflow.pyfunc.load_model(uri).predict(samples)
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kansearch import __version__
from kansearch.errors import KansearchError
from trials.files import first_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from trials.saved import TrainedModel

__all__ = ["log_model"]

_LOADER = "kansearch.tracking.serving"
_NAME = "model"  # of the logged model within its run


def log_model(folder: Path, run_id: str, tracking_uri: str, register: str | None) -> str:
    """Log the model in `folder` to a run, as MLflow's python_function.

    It takes float32 (N, C, *size) with the values that the data set has, or float64 rows (N, F), and gives
    probabilities, or a regression's numbers:
    `kansearch.tracking.serving`. Nothing is pickled; where it is loaded kansearch must be installed.

    Args:
        folder: of `kansearch retrain`, of whose seeds the first is taken, or one seed's.
        run_id: of the run that trained it.
        tracking_uri: of MLflow's store, which has the run.
        register: name in the model registry, of which this becomes the next version; None: not registered.

    Returns:
        models:/NAME/VERSION, or models:/ID where it is not registered: for `mlflow.pyfunc.load_model`.

    Raises:
        KansearchError: there is no model, it is damaged, or MLflow doesn't take it.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    from trials.saved import ModelError, load_model, model_folder

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # importing mlflow sets its level
    try:
        model, _ = load_model(folder)
        client = MlflowClient(tracking_uri=tracking_uri)
        if register is not None:
            _name(client, register)
        model_id = _log(client, run_id, model_folder(folder), model)
        return f"models:/{model_id}" if register is None else _register(client, run_id, model_id, register)
    except ModelError as error:
        raise KansearchError(str(error)) from error
    except (MlflowException, OSError) as error:
        reason = first_line(error)
        raise KansearchError(f"MLflow did not take the model in {folder}: {reason}") from error


def _log(client: MlflowClient, run_id: str, place: Path, model: TrainedModel) -> str:
    """Log the model through the client alone: MLflow's own `log_model` works on the store and run of the process."""
    from mlflow.entities import LoggedModelOutput

    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name=_NAME, source_run_id=run_id)
    model_id = str(logged.model_id)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save(Path(folder), model_id, run_id, place, model)
            client.log_model_artifacts(model_id, str(Path(folder) / "saved"))
    except BaseException:
        client.finalize_logged_model(model_id, "FAILED")
        raise
    client.finalize_logged_model(model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    return model_id


def _save(folder: Path, model_id: str, run_id: str, place: Path, model: TrainedModel) -> None:
    """Write MLflow's folder of the model to `folder`/saved."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*Any type hint", UserWarning)  # of MLflow's own types, at its import
        from mlflow import pyfunc
    from mlflow.models import Model

    from trials.saved import MANIFEST, WEIGHTS

    files = folder / "files"
    files.mkdir()
    for name in (MANIFEST, WEIGHTS):
        shutil.copyfile(place / name, files / name)
    pyfunc.save_model(
        folder / "saved",
        loader_module=_LOADER,
        data_path=str(files),
        mlflow_model=Model(model_uuid=model_id, run_id=run_id, model_id=model_id),
        signature=_signature(model),
        input_example=np.broadcast_to(model.mean.numpy(), (1, model.shape.channels, *model.shape.size)).copy(),
        pip_requirements=[f"kansearch=={__version__}", *(f"{name}=={_version(name)}" for name in ("torch", "numpy"))],
    )


def _signature(model: TrainedModel) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    shape = model.shape
    number = np.dtype(np.float32 if shape.size else np.float64)
    inputs = TensorSpec(number, (-1, shape.channels, *shape.size))
    if shape.dense:
        return ModelSignature(Schema([inputs]), Schema([TensorSpec(number, (-1, shape.classes, *shape.size))]))
    kind = DataType.double if shape.regression else DataType.float
    return ModelSignature(Schema([inputs]), Schema([ColSpec(kind, name) for name in model.classes]))


def _version(package: str) -> str:
    """Without what says how it was built, as +cpu, which a package index doesn't know."""
    return version(package).partition("+")[0]


def _name(client: MlflowClient, name: str) -> None:
    """Have the name in the registry."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _register(client: MlflowClient, run_id: str, model_id: str, name: str) -> str:
    """Make it the next version of a name; its URI."""
    place = client.get_logged_model(model_id).artifact_location  # models:/ID would be looked up in the process's store
    created = client.create_model_version(name, place, run_id, model_id=model_id)
    link = json.dumps([{"name": name, "version": created.version}])
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": link})  # MLflow's pages show it
    return f"models:/{name}/{created.version}"
