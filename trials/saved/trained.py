"""A trained model in a folder, complete: what it needs to classify samples that are given as they are.

<folder>/
├── model.safetensors   weights
└── model.json          configuration, normalisation, names of the classes, and the weights' SHA-256

model, config = load_model("model/")
logits = model(torch.zeros(1, 1, 28, 28))  # pixels from 0 to 255

Neither file can run code, and both are checked before anything is built from them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.datasets import data_shape
from trials.data.names import class_names
from trials.data.shape import DataShape
from trials.data.splits import Split, Targets, load_statistics, load_targets
from trials.files import as_json, write_whole
from trials.models import build_network
from trials.results import MANIFEST, WEIGHTS
from trials.saved.compress.quantize import dequantize
from trials.saved.compress.stored import COMPRESSED, accelerate, restore_widths
from trials.saved.weights import WeightsError, check_shapes, parse_weights

__all__ = [
    "FORMAT",
    "MANIFEST",
    "WEIGHTS",
    "ModelError",
    "TrainedModel",
    "as_trained",
    "describe_model",
    "load_model",
    "model_folder",
    "open_model",
    "read_config",
    "write_model",
]

PLAIN, FORMAT = 3, 4
"""Format of the manifest: of a network as its configuration says, and of a compressed one, the newest that is read
here. A reader refuses newer ones, and 1 and 2: a configuration meant a network of other blocks then."""
_PUZZLING = "not a model that kansearch wrote"


class ModelError(ValueError):
    """A folder holds no model that can be used; the message names the file and says why."""


class TrainedModel(nn.Module):
    """Samples as a data set has them, (N, C, *size), bytes or floats -> logits (N, classes), float32.

    Where there is a class for each pixel the logits are (N, classes, *size). Images are pixels from 0 to 255; they are
    normalised here, by the mean and standard deviation of the training split. Rows of numbers (N, F) are standardised
    in float64, by what was trained on. A regression gives numbers (N, outputs), float64, in the targets' units, by
    `targets`: the mean and the deviation of each.
    """

    mean: Tensor
    std: Tensor
    target_mean: Tensor
    target_std: Tensor

    def __init__(
        self,
        network: nn.Module,
        shape: DataShape,
        mean: Sequence[float],
        std: Sequence[float],
        classes: Sequence[str],
        targets: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.shape, self.classes = network, shape, tuple(classes)
        number = torch.float32 if shape.size else torch.float64
        for name, values in (("mean", mean), ("std", std)):
            channels = torch.tensor(list(values), dtype=number)
            self.register_buffer(name, channels.view(1, -1, *(1 for _ in shape.size)), persistent=False)
        for name in ("mean", "std") if shape.regression else ():
            each = torch.tensor(list((targets or {})[name]), dtype=torch.float64)
            self.register_buffer(f"target_{name}", each, persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        outputs: Tensor = self.network((samples.to(self.mean.dtype) - self.mean) / self.std)
        if self.shape.regression:
            return outputs.double() * self.target_std + self.target_mean
        return outputs.float()


def as_trained(model: TrainedModel, split: Split) -> Split:
    """A split whose rows, and the targets of a regression, are standardised by what the model was trained on."""
    if model.shape.size:
        return split
    split = replace(split, mean=model.mean[0].to(split.device), std=model.std[0].to(split.device))
    if split.targets is None:
        return split
    own = Targets(model.target_mean.to(split.device), model.target_std.to(split.device), split.targets.names)
    numbers = split.labels * split.targets.std + split.targets.mean
    return replace(split, labels=(numbers - own.mean) / own.std, targets=own)


def describe_model(config: TrialConfig, folder: Path, data_dir: Path | None = None, hold_out: bool = False) -> None:
    """Write the manifest of the weights that training left in `folder`; `hold_out` is `run_trial`'s. Raises DataError
    and OSError."""
    mean, std = load_statistics(config.data, data_dir, hold_out)
    targets = load_targets(config.data, data_dir, hold_out)
    manifest: dict[str, Any] = {
        "format": PLAIN,
        "config": config.model_dump(mode="json"),
        "mean": mean.tolist(),
        "std": std.tolist(),
        "classes": class_names(config.data, data_dir),
        "sha256": hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest(),
    }
    if targets is not None:
        manifest["targets"] = {"mean": targets.mean.tolist(), "std": targets.std.tolist()}
    write_whole(folder / MANIFEST, as_json(manifest))


def write_model(
    folder: Path,
    state: Mapping[str, Tensor],
    source: Mapping[str, Any],
    config: TrialConfig,
    compressed: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, as they are given, and a manifest: that of the model it was made from, with another configuration.

    compressed: what `trials.saved.compress.stored` says of a network that is not as its configuration. Raises OSError.
    """
    save_file({name: each.detach().cpu().contiguous().clone() for name, each in state.items()}, folder / WEIGHTS)
    manifest = {**source, "format": FORMAT if compressed else PLAIN, "config": config.model_dump(mode="json")}
    manifest.pop(COMPRESSED, None)
    manifest |= {COMPRESSED: dict(compressed)} if compressed else {}
    manifest["sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    write_whole(folder / MANIFEST, as_json(manifest))


def load_model(
    folder: str | Path, device: torch.device | str = "cpu", *, exact: bool = False
) -> tuple[TrainedModel, TrialConfig]:
    """The model in a folder of `kansearch retrain` or `kansearch compress`, in eval mode, and its configuration.

    Args:
        folder: the whole folder, of whose seeds the first is taken, or one seed's.
        device: where the model is to be.
        exact: leave a compressed model's tables and products of integers away. A CPU is faster with them, and they are
            not to be trained; other devices and exports never use them.

    Raises:
        ModelError: there is no model, or its manifest is damaged, of a newer version, or of an earlier one with other
            networks. Or the weights are damaged, other ones than the manifest says, or of another network.
    """
    model, config, manifest = open_model(folder)
    if COMPRESSED in manifest and not exact:
        try:
            accelerate(model.network, manifest[COMPRESSED])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(f"{model_folder(Path(folder)) / MANIFEST}: {_PUZZLING}: {error}") from error
    return model.to(device).eval(), config


def open_model(folder: str | Path) -> tuple[TrainedModel, TrialConfig, dict[str, Any]]:
    """The model on the CPU, every layer exact, its configuration and its manifest. Errors are those of `load_model`."""
    place = model_folder(Path(folder))
    manifest = _manifest(place / MANIFEST)
    config = _config(place / MANIFEST, manifest)
    shape = data_shape(config.data)
    try:
        network = build_network(config)
        restore_widths(network, manifest.get(COMPRESSED))
        targets = manifest.get("targets") or {}
        model = TrainedModel(network, shape, manifest["mean"], manifest["std"], manifest["classes"], targets)
        if not len(manifest["mean"]) == len(manifest["std"]) == shape.channels:
            raise ValueError(f"mean and std are not of {shape.channels} channels")
        if shape.regression and not len(targets["mean"]) == len(targets["std"]) == shape.classes:
            raise ValueError(f"mean and std of the targets are not of {shape.classes}")
        if len(model.classes) != shape.classes:
            raise ValueError(f"{len(model.classes)} names of {shape.classes} classes")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{place / MANIFEST}: {_PUZZLING}: {error}") from error
    _load(place / WEIGHTS, str(manifest.get("sha256")), network)
    return model.eval(), config, manifest


def read_config(folder: str | Path) -> TrialConfig:
    """The configuration of the model in a folder; its weights are not read. Raises ModelError."""
    path = model_folder(Path(folder)) / MANIFEST
    return _config(path, _manifest(path))


def model_folder(folder: Path) -> Path:
    """Where in a folder of `kansearch retrain` a model lies: there, or in its first seed's. Raises ModelError."""
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such folder")
    seeds = sorted(folder.glob(f"seed-*/{MANIFEST}"), key=lambda path: (len(path.parent.name), path.parent.name))
    found = [folder / MANIFEST] if (folder / MANIFEST).exists() else seeds
    if not found:
        raise ModelError(f"{folder}: no trained model there; `kansearch retrain CONFIG -o {folder}` writes one")
    return found[0].parent


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # of JSON, or of UTF-8
        raise ModelError(f"{path}: not a readable file: {error}") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("format"), int):
        raise ModelError(f"{path}: {_PUZZLING}")
    if manifest["format"] > FORMAT:
        raise ModelError(
            f"{path}: written by a newer kansearch, in format {manifest['format']}; this one reads format {FORMAT}"
        )
    if manifest["format"] < PLAIN:
        raise ModelError(
            f"{path}: written by an earlier kansearch, in format {manifest['format']}, whose networks had other "
            "blocks; train the configuration again, or use the version that wrote it"
        )
    return manifest


def _config(path: Path, manifest: Mapping[str, Any]) -> TrialConfig:
    try:
        return TrialConfig.model_validate(manifest.get("config"))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, ("config", *first["loc"])))
        raise ModelError(f"{path}: {place}: {first['msg']}; was it written by another version?") from error


def _load(path: Path, digest: str, network: nn.Module) -> None:
    """Load the weights in a file, if they are those of the digest."""
    try:
        data = path.read_bytes()
        tensors = dequantize(parse_weights(data, str(path)), str(path))
        check_shapes(tensors, network.state_dict(), f"{path}: weights of another network than the configuration's")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except WeightsError as error:
        raise ModelError(str(error)) from error
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise ModelError(
            f"{path}: not the weights that {MANIFEST} describes: SHA-256 {found[:12]}..., not {digest[:12]}..."
        )
    network.load_state_dict(tensors)
