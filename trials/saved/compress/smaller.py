"""A model made smaller, step by step, each of them measured: `shrink`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.loader import evaluation_batches
from trials.data.names import feature_names
from trials.data.splits import load_test, load_training
from trials.saved.compress.channels import prune_channels
from trials.saved.compress.choose import Kind, LayerTiming, choose_fast
from trials.saved.compress.finetune import finetune
from trials.saved.compress.prune import network_edges, prune_edges
from trials.saved.compress.quantize import dequantize, quantize
from trials.saved.compress.rounds import SHOWN, prune_and_train
from trials.saved.compress.steps import Progress, Steps, final_metrics, machine
from trials.saved.compress.stored import COMPRESSED, Fast, accelerate, describe
from trials.saved.compress.within import unread_inputs
from trials.saved.trained import WEIGHTS, TrainedModel, as_trained, model_folder, open_model, write_model

__all__ = ["CompressionOptions", "shrink"]

_COMPUTED = {"int8": "int8 products", "table": "tables"}
"""Names of steps, by the way that layers are computed."""


@dataclass(frozen=True)
class CompressionOptions:
    """The changes to make to a model."""

    prune: float = 0.0
    """Share of the edges to set to zero, in [0, 1)."""
    tolerance: float | None = None
    """Share by which the validation error may grow while edges are taken out; None: take out none this way."""
    channels: float = 0.0
    """Share of each layer's channels to take out, in [0, 1)."""
    int8: bool = False
    """Round the weights to 8 bits, and compute with integers where that is faster here."""
    tables: bool = False
    """Read bases from tables where that is faster here."""
    epochs: int = 0
    """Epochs of fine-tuning, after edges and channels are gone."""
    rate: float = 0.5
    """Learning rate of fine-tuning over the configuration's."""


def shrink(
    source: Path, out: Path, options: CompressionOptions, data_dir: Path | None, progress: Progress
) -> tuple[TrialConfig, dict[str, Any], dict[str, Any]]:
    """Write the smaller model into the folder `out`, which exists; its configuration, its metrics on the test split,
    and the report of all steps.

    Raises ModelError, DataError, ValueError where the model is no chain and channels are to go, TrialDiverged.
    """
    model, config, manifest = open_model(source)
    if model.shape.regression and (options.int8 or options.tables):
        raise ValueError("--quantize and --tables are for classes: numbers need the digits that both take away")
    old = manifest.get(COMPRESSED, {})
    widths: dict[str, int] = dict(old.get("widths", {}))
    if widths and options.channels:
        raise ValueError("channels have been taken out of this model before; start from the model that it was made of")
    network, test = model.network, as_trained(model, load_test(config.data, torch.device("cpu"), data_dir))
    images = _shown(model, config, data_dir)
    steps = Steps(test, progress)
    steps.note("before", network, model_folder(source) / WEIGHTS)
    if options.channels:
        widths = prune_channels(network, network_edges(network, images), options.channels)
        steps.note(f"{options.channels:.0%} of channels removed", network)
    if options.prune:
        prune_edges(network_edges(network, images), options.prune)
        steps.note(f"{options.prune:.0%} of edges removed", network)
    if options.tolerance is not None:
        retraining = (options.tolerance, options.epochs, options.rate, data_dir)
        prune_and_train(model, config, *retraining, steps.note, lambda _: None)
    elif options.epochs:
        finetune(model, config, options.epochs, options.rate, data_dir, progress.epoch)
        steps.note(f"fine-tuned, {options.epochs} epochs", network)
    state = {name: each.clone() for name, each in network.state_dict().items()}
    if options.int8:
        state = quantize(network)
        network.load_state_dict(dequantize(state, WEIGHTS))
        steps.note("int8 weights", network, state)
    fast, timings = _faster(network, images, options)
    compressed = describe(widths, fast) if widths or fast or options.int8 else None
    if fast:
        accelerate(network, describe(widths, fast))
        kinds = sorted({_COMPUTED[each.kind] for each in fast.values()})
        steps.note(" and ".join(kinds), network, state)
    write_model(out, state, manifest, config, compressed)
    report = {
        "options": asdict(options),
        "steps": steps.report(),
        "widths": widths,
        "unread_inputs": _unread(network, config),
        "layers": [asdict(each) for each in timings],
        **machine(),
    }
    return config, final_metrics(config, network, test), report


def _unread(network: nn.Module, config: TrialConfig) -> list[str]:
    """The names of inputs that nothing depends on."""
    names = feature_names(config.data)
    return [names[each] for each in unread_inputs(network)] if names else []


def _shown(model: TrainedModel, config: TrialConfig, data_dir: Path | None) -> Tensor:
    split, _ = load_training(config.data, torch.device("cpu"), data_dir, hold_out=False)
    images, _ = next(iter(evaluation_batches(as_trained(model, split), SHOWN)))
    return images


def _faster(
    network: nn.Module, images: Tensor, options: CompressionOptions
) -> tuple[dict[str, Fast], list[LayerTiming]]:
    asked: dict[Kind, bool] = {"table": options.tables, "int8": options.int8}
    kinds = [kind for kind, is_wanted in asked.items() if is_wanted]
    return choose_fast(network, images, kinds) if kinds else ({}, [])
