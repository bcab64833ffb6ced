"""One seed, trained to the end: from a configuration to a trained model and its figures on the test split.

for result in train_seed(config, Path("seed-0"), keep=True):
    report(result)
result["test"]["accuracy"]
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trials.config import TrialConfig
from trials.data.checksum import data_checksum
from trials.files import as_json, write_whole
from trials.metrics import EXACT, ON_VALIDATION
from trials.results import CHECKPOINT, TEST, WEIGHTS
from trials.saved.trained import describe_model
from trials.training.distributed import ALONE, Processes
from trials.training.run import evaluate, run_trial, time_inference

__all__ = ["train_seed"]


def train_seed(
    config: TrialConfig,
    folder: Path,
    *,
    keep: bool,
    hold_out: bool = False,
    data_dir: Path | None = None,
    device: str | None = None,
    processes: Processes = ALONE,
    checkpoint_seconds: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """Train in `folder`, which exists, going on from its checkpoint; yield each epoch's `EpochResult.row`.

    The last epoch has the test split's figures under `TEST`: those of `trials.training.evaluate`. The first of several
    processes alone measures and yields it.

    Args:
        keep: leave `FILES` in the folder and no checkpoint. `TEST` then holds what metrics.json does: sizes, figures of
            the validation part where there is one, the data's checksum and the speed too. False: leave the checkpoint.

    The other arguments and the errors are those of `trials.training.run_trial`.
    """
    checkpoint = folder / CHECKPOINT
    curve: list[dict[str, Any]] = []
    for result in run_trial(
        config,
        data_dir=data_dir,
        device=device,
        checkpoint=checkpoint,
        weights=folder / WEIGHTS if keep else None,
        hold_out=hold_out,
        processes=processes,
        checkpoint_seconds=checkpoint_seconds,
    ):
        curve.append(result.row())
        if result.epoch < config.epochs:
            yield curve[-1]
    if processes.rank > 0:
        return
    test = evaluate(config, checkpoint, data_dir=data_dir, device=device)  # what training took of the memory is free
    if keep:
        describe_model(config, folder, data_dir, hold_out)
        test |= _sizes(curve[-1]) | (_validation(curve[-1]) if hold_out else {})
        test["data"] = {"sha256": data_checksum(config.data, data_dir)}
        inference = time_inference(config, checkpoint, data_dir=data_dir, device=device)
        test["timing"] = {"inference": inference, **_timing(curve)}
        write_whole(folder / "curve.json", as_json(curve))
        write_whole(folder / "metrics.json", as_json(test))
        checkpoint.unlink()
    yield curve[-1] | {TEST: json.loads(json.dumps(test))}


def _sizes(last: Mapping[str, Any]) -> dict[str, Any]:
    return {"epochs": last["epoch"], **{name: last[name] for name in EXACT}}


def _validation(last: Mapping[str, Any]) -> dict[str, Any]:
    return {on: last[name] for name, on in ON_VALIDATION.items() if last[name] is not None}


def _timing(curve: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "training_images_per_second": statistics.median(each["images_per_second"] for each in curve),
        "training_seconds": sum(each["seconds"] for each in curve),
        "peak_memory_mib": curve[-1]["peak_memory_mib"],
    }
