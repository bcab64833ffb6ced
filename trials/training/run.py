"""One trial from its configuration: `run_trial`, and what can be asked of it before and afterwards.

for result in run_trial(config, checkpoint=Path("checkpoint.pt")):
    report(result)
evaluate(config, Path("checkpoint.pt"))["accuracy"]  # on the test split
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn
from torch.optim import Optimizer

from trials.config import TrialConfig
from trials.data.loader import seed_generators
from trials.data.splits import Split, load_test, load_training
from trials.measure.memory import CONTEXT_MIB
from trials.measure.sizes import check_batch, count_sizes
from trials.measure.timing import inference_rate
from trials.models import build_network
from trials.results import EpochResult
from trials.saved.pretrained import load_pretrained
from trials.saved.weights import save_weights
from trials.training.capture import drop_pools
from trials.training.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from trials.training.distributed import ALONE, Processes
from trials.training.evaluation import measure_split
from trials.training.grids import staged
from trials.training.loop import train
from trials.training.optim import build_optimizer, load_optimizer, optimizer_record
from trials.training.phases import phase_of
from trials.training.step import EVALUATION_BATCH, working_precision

__all__ = [
    "accelerators",
    "build_on",
    "evaluate",
    "gpus",
    "run_trial",
    "start_gpu",
    "time_inference",
    "use_memory",
    "use_threads",
]

_log = logging.getLogger(__name__)


def run_trial(
    config: TrialConfig,
    *,
    data_dir: Path | None = None,
    device: str | None = None,
    checkpoint: Path | None = None,
    weights: Path | None = None,
    hold_out: bool = True,
    graphs: bool | None = None,
    streamed: bool | None = None,
    processes: Processes = ALONE,
    sizes: Mapping[str, int] | None = None,
    checkpoint_seconds: float = 0.0,
    keep_last: bool = True,
) -> Iterator[EpochResult]:
    """Train what `config` describes and yield an `EpochResult` after each epoch.

    Where the file `checkpoint` exists, training goes on after the epochs in it, with the numbers of an uninterrupted
    trial. Their results are yielded again first, for a caller that was lost before it noted them. A damaged file is
    logged and the trial starts anew. The test split is never touched. Seeds torch's global generators.

    Args:
        device: "cpu", "cuda", "cuda:1"; None: the GPU where there is one.
        checkpoint: the file for the trial's state, written at the end of an epoch before its result is yielded.
        weights: the file for the trained network's weights, written after the last epoch, before its checkpoint.
        hold_out: False trains on the whole training split; the validation fields are None then.
        graphs: whether the steps are replayed from a CUDA graph; None: on CUDA, wherever they can be.
        streamed: whether samples are read batch by batch, not kept on the device, with the same numbers; None: where
            they would take too much of its memory.
        processes: this one among those that train together. Each calls this with the same arguments but for its
            device, and with a copy of the same checkpoint; the first one alone writes.
        sizes: `count_sizes` of the configuration, where the caller knows them.
        checkpoint_seconds: an epoch that ends sooner than this after the last checkpoint, or after the start, writes
            none. A crash costs so much training and an epoch at most.
        keep_last: whether the last epoch writes a checkpoint, however soon it is.

    Raises DataError and TrialDiverged; CheckpointError where the checkpoint is another configuration's. Raises
    WeightsError where the weights to start from are not there or are others, and ValueError where the configuration
    cannot be trained on these data.
    """
    target = _device(device)
    training, held_out = load_training(config.data, target, data_dir, hold_out, streamed)
    check_batch(config, len(training), processes)
    state = _checkpoint(config, checkpoint, target) if checkpoint else None
    results = [EpochResult.of_row(each) for each in state["results"]] if state else []
    seed_generators(config.seed, target)
    model = build_on(staged(config, max(len(results) - 1, 0)), target)
    if state:
        model.load_state_dict(state["model"])
    first = build_optimizer(phase_of(config, max(len(results) - 1, 0)).config.optimizer, model)
    if state:
        load_optimizer(first, state["optimizer"])
    else:
        load_pretrained(config, model)
    yield from results
    written = time.monotonic()

    def save(result: EpochResult, optimizer: Optimizer) -> None:
        nonlocal written
        results.append(result)
        if processes.rank > 0:
            return
        last = result.epoch == config.epochs
        if weights and last:
            save_weights(model, weights)
        if checkpoint and (keep_last if last else time.monotonic() - written >= checkpoint_seconds):
            now: dict[str, Any] = {
                "config": config.model_dump(mode="json"),
                "results": [each.row() for each in results],
            }
            save_checkpoint(checkpoint, {**now, "model": model.state_dict(), "optimizer": optimizer.state_dict()})
            written = time.monotonic()

    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        yield from train(
            config,
            model,
            first,
            training,
            held_out,
            sizes=count_sizes(config, model) if sizes is None else sizes,
            epochs_done=len(results),
            graphs=graphs,
            save=save,
            processes=processes,
        )


def evaluate(
    config: TrialConfig, checkpoint: Path, *, data_dir: Path | None = None, device: str | None = None
) -> dict[str, Any]:
    """`measure_split` of the test split, by the weights in a checkpoint. Raises CheckpointError, and ValueError where
    the outputs are not finite."""
    model, split = _trained(config, checkpoint, data_dir, device)
    return measure_split(model, split, working_precision(config.numbers, split.device), config.loss)


def time_inference(
    config: TrialConfig, checkpoint: Path, *, data_dir: Path | None = None, device: str | None = None
) -> dict[str, Any]:
    """How fast the weights in a checkpoint classify the test split: images a second, of batches of so many images, on
    which device and in which precision. A measurement, and so another one each time. Raises CheckpointError."""
    model, split = _trained(config, checkpoint, data_dir, device)
    precision = working_precision(config.numbers, split.device)
    return {
        "images_per_second": inference_rate(model, split, precision),
        "batch": EVALUATION_BATCH,
        "device": torch.cuda.get_device_name(split.device) if split.device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": str(precision).removeprefix("torch."),
    }


def _trained(
    config: TrialConfig, checkpoint: Path, data_dir: Path | None, device: str | None
) -> tuple[nn.Module, Split]:
    """The model in a checkpoint, and the test split, on the device."""
    target = _device(device)
    state = load_checkpoint(checkpoint, target)
    _check(checkpoint, state, config)
    model = build_on(staged(config, max(len(state["results"]) - 1, 0)), target)
    model.load_state_dict(state["model"])
    held_out = bool(state["results"]) and state["results"][-1]["validation_loss"] is not None
    return model, load_test(config.data, target, data_dir, hold_out=held_out)


def use_threads(count: int) -> None:
    """Let this process compute with `count` CPU threads: what a trial was given, not all there are."""
    torch.set_num_threads(count)


def start_gpu() -> None:
    """Make the GPU's context, and load the libraries that every network needs, before the first trial wants them."""
    images, weight = torch.ones(8, 8, 8, 8, device="cuda"), torch.ones(8, 8, 3, 3, device="cuda")
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        maps = torch.conv2d(images, weight).flatten(1)
    (maps @ maps.T).sum().item()


def use_memory(share: float) -> None:
    """Let this process take no more than its share of a GPU's memory: what does is torch's `OutOfMemoryError`.

    A process has a CUDA context beside torch's memory, which is counted in. What an earlier trial of this process left
    cached is given back first, where it is more than half of the share. Does nothing where there is no GPU.
    """
    if not torch.cuda.is_available():
        return
    total = torch.cuda.get_device_properties().total_memory
    if torch.cuda.memory_reserved() > share / 2 * total:
        drop_pools()
        torch.cuda.empty_cache()
        if torch.cuda.memory_reserved() > share / 2 * total:
            gc.collect()  # takes a tenth of a second in a large process, and a trial that ended leaves no cycle
            torch.cuda.empty_cache()
    context = CONTEXT_MIB * 2**20 / total
    torch.cuda.set_per_process_memory_fraction(1.0 if share >= 1 else max(share - context, share / 2))


def gpus() -> int:
    """How many CUDA devices there are. Makes no context on any."""
    return torch.cuda.device_count()


def accelerators() -> list[str]:
    """Name and memory of each CUDA device."""
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [f"{device.name} ({device.total_memory / 2**30:.0f} GiB)" for device in devices]


def _device(name: str | None) -> torch.device:
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def build_on(config: TrialConfig, device: torch.device) -> nn.Module:
    """A configuration's model on the device; on CUDA with the channels last in memory, as its convolutions want them,
    unless its optimizer wants each parameter in one piece."""
    last = device.type == "cuda" and optimizer_record(config.optimizer).channels_last
    layout = torch.channels_last if last else torch.preserve_format
    model: nn.Module = build_network(config).to(device, memory_format=layout)  # type: ignore[call-overload]
    return model


def _checkpoint(config: TrialConfig, checkpoint: Path, device: torch.device) -> dict[str, Any] | None:
    """Load the checkpoint; None where there is none, or it is damaged. Raises CheckpointError where it is another
    configuration's."""
    try:
        state = load_checkpoint(checkpoint, device)
    except FileNotFoundError:
        return None
    except CheckpointError as error:
        _log.warning("%s; the trial starts anew", error)
        return None
    _check(checkpoint, state, config)
    if state["config"]["optimizer"]["name"] != config.optimizer.name:
        raise CheckpointError(f"{checkpoint}: was written by optimizer {state['config']['optimizer']['name']}")
    return state


def _check(checkpoint: Path, state: dict[str, Any], config: TrialConfig) -> None:
    """Raises CheckpointError where a state is none of a trial, or one with other weights. Fields that a configuration
    of an earlier version lacks have their defaults."""
    if {"config", "results", "model", "optimizer"} - state.keys():
        raise CheckpointError(f"{checkpoint}: not a checkpoint of a trial")
    try:
        other = TrialConfig.model_validate(state["config"])
    except ValidationError as error:
        raise CheckpointError(f"{checkpoint}: was written by a trial of another model configuration") from error
    if other.model != config.model:
        raise CheckpointError(f"{checkpoint}: was written by a trial of another model configuration")
    if _grids(other) != _grids(config):
        raise CheckpointError(f"{checkpoint}: was written by a trial whose grids change otherwise")


def _grids(config: TrialConfig) -> list[object]:
    """Settings that decide the grids of each epoch; the number of epochs too, where they change."""
    schedule, adapt = config.grid_schedule, config.adapt_grid
    extended, moved = bool(schedule.extensions), bool(adapt.times)
    return [extended and schedule, moved and adapt, (extended or moved) and config.epochs]
