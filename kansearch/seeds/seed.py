"""One seed of a retraining: from a configuration to a folder with a trained model and its figures on the test split."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trials.config import TrialConfig
from trials.files import as_json, write_whole
from trials.metrics import EXACT, ON_VALIDATION

if TYPE_CHECKING:
    from trials.training import Processes

__all__ = ["CHECKPOINT", "FILES", "train_seed"]

CHECKPOINT = "checkpoint.pt"
FILES = ("model.safetensors", "model.json", "curve.json", "metrics.json")
"""Files that `train_seed` leaves, in the order in which to copy them: the last one says that the others are whole."""


def train_seed(
    config: TrialConfig,
    folder: Path,
    *,
    hold_out: bool,
    data_dir: Path | None,
    device: str | None = None,
    processes: Processes | None = None,
) -> Iterator[dict[str, Any]]:
    """Train into `folder`, which exists, going on from its checkpoint; yield each epoch's measurements.

    At the end the folder holds `FILES` and no checkpoint, where this is the first of the processes. Arguments and
    errors are those of `trials.training.run_trial`.
    """
    from trials.data.checksum import data_checksum
    from trials.saved import describe_model
    from trials.training import ALONE, evaluate, run_trial, time_inference

    processes = processes or ALONE
    checkpoint = folder / CHECKPOINT
    curve: list[dict[str, Any]] = []
    for result in run_trial(
        config,
        data_dir=data_dir,
        device=device,
        checkpoint=checkpoint,
        weights=folder / FILES[0],
        hold_out=hold_out,
        processes=processes,
    ):
        curve.append(result.row())
        yield curve[-1]
    if processes.rank > 0:
        return
    metrics = evaluate(config, checkpoint, data_dir=data_dir, device=device)
    describe_model(config, folder, data_dir, hold_out)
    last = curve[-1]
    metrics |= {"epochs": config.epochs, **{name: last[name] for name in EXACT}}
    if hold_out:
        metrics |= {on: last[name] for name, on in ON_VALIDATION.items() if last[name] is not None}
    metrics["data"] = {"sha256": data_checksum(config.data, data_dir)}
    metrics["timing"] = {
        "inference": time_inference(config, checkpoint, data_dir=data_dir, device=device),
        "training_images_per_second": statistics.median(each["images_per_second"] for each in curve),
        "training_seconds": sum(each["seconds"] for each in curve),
        "peak_memory_mib": last["peak_memory_mib"],
    }
    write_whole(folder / "curve.json", as_json(curve))
    write_whole(folder / "metrics.json", as_json(metrics))
    checkpoint.unlink()
