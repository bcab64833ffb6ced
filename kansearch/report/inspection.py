"""`kansearch inspect`: from a folder that `retrain` wrote, or a trial of the front, to pictures of its functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.errors import InputError, KansearchError
from kansearch.report.functions import draw_layers
from kansearch.report.graph import draw_graph, fits_graph
from kansearch.space import load_config
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from trials.config import TrialConfig

__all__ = ["inspect", "inspect_trial"]


def inspect(folder: Path, out: Path, data_dir: Path | None = None) -> list[dict[str, Any]]:
    """Draw what the model in `folder` has learned into the folder `out`; `layer_summary` of each of its layers.

    Args:
        folder: of `kansearch retrain`, or one seed's in it, or of `grow`. Of several seeds the first is drawn.
        out: made if missing.
        data_dir: where to look first for the data set, whose training images the model is shown.

    Raises:
        InputError: `folder` holds no trained model, or one without a KAN layer. SpaceError: its config.yaml is wrong.
        KansearchError: weights or data are missing or damaged, or `out` can't be written.
    """
    weights = _weights(folder)
    beside = weights.with_name("config.yaml")  # in a folder of `compress` or `grow`
    config = load_config(beside if beside.exists() else weights.parent.parent / "config.yaml")
    seed = weights.parent.name.removeprefix("seed-")
    if seed.isdecimal():
        config = config.model_copy(update={"seed": int(seed)})
    return _draw(str(folder), config, weights, out, data_dir)


def inspect_trial(study: Study, record: TrialRecord, out: Path, data_dir: Path | None = None) -> list[dict[str, Any]]:
    """The same of a trial of the front, whose weights the study keeps.

    Raises:
        InputError: none are kept of this trial, or its network has no KAN layer. KansearchError: as `inspect`.
    """
    with checkpoints_at(study.checkpoints).weights_of(record.number) as weights:
        if not weights.exists():
            raise InputError(f"no weights are kept of trial {record.number}: they are of the front's trials alone")
        config = record.config
        return _draw(f"trial {record.number} of {study.name}", config, weights, out, data_dir)


def _draw(name: str, config: TrialConfig, weights: Path, out: Path, data_dir: Path | None) -> list[dict[str, Any]]:
    from trials.data.errors import DataError
    from trials.data.names import class_names, feature_names
    from trials.saved import inspect_weights

    try:
        layers = inspect_weights(config, weights, data_dir)
    except (DataError, ValueError) as error:  # WeightsError is one
        raise KansearchError(str(error)) from error
    if not layers:
        raise InputError(
            f"{name}: a network without a KAN layer or learnable activation whose functions could be drawn"
        )
    try:
        summaries = draw_layers(layers, out)
        outputs = class_names(config.data)
        if config.model.family == "mlp" and fits_graph(layers, len(outputs)):
            inputs = feature_names(config.data) or [f"input {i}" for i in range(layers[0].importance.shape[1])]
            draw_graph(layers, inputs, outputs, out / "graph.png")
        return summaries
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error


def _weights(folder: Path) -> Path:
    found = sorted(folder.glob("model.safetensors")) or sorted(folder.glob("seed-*/model.safetensors"), key=_seed)
    if not found:
        raise InputError(f"{folder}: no trained model there; `kansearch retrain CONFIG -o {folder}` writes one")
    return found[0]


def _seed(path: Path) -> tuple[int, str]:
    return len(path.parent.name), path.parent.name
