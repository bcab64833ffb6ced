"""`retrain`: train a configuration on the whole training split, over several seeds, and measure it on the test split.

DIR/
├── config.yaml             what was trained
├── metrics.json            the test split's figures: means over the seeds, their deviations, and each seed's own
└── seed-<n>/
    ├── model.safetensors   weights
    ├── model.json          what `trials.load_model` needs beside them
    ├── curve.json          each epoch's measurements
    ├── metrics.json        the test split's figures of this seed
    └── checkpoint.pt       while it trains: the same command goes on from there
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from kansearch.errors import InputError, KansearchError
from trials.config import TrialConfig

__all__ = ["retrain"]


def retrain(
    config: TrialConfig,
    out: Path,
    seeds: int,
    data_dir: Path | None,
    progress: Callable[[int, dict[str, Any]], None],
) -> dict[str, Any]:
    """Train `config` with seeds `config.seed`, `config.seed + 1`, ... and write the folder `out`.

    Args:
        config: what to train, its number of epochs included.
        out: made if missing. A run that was interrupted there goes on.
        seeds: how many, at least 1.
        data_dir: where to look for the data set first.
        progress: called after each epoch with the seed and the epoch's measurements.

    Returns:
        What metrics.json holds: every scalar figure of the test split at its top level.

    Raises:
        InputError: `out` holds another configuration's model.
        KansearchError: the data is missing or damaged, the configuration can't be trained on it, training diverged,
            a file in `out` is damaged, or `out` can't be written.
    """
    from trials.data.errors import DataError
    from trials.data.files import locate
    from trials.data.functions import check_trusted
    from trials.run import TrialDiverged

    try:
        locate(config.data.source, data_dir)
        check_trusted(config.data)
    except DataError as error:
        raise KansearchError(str(error)) from error
    _claim(out, config)
    try:
        runs = [
            _train_seed(config.model_copy(update={"seed": seed}), out / f"seed-{seed}", data_dir, progress)
            for seed in range(config.seed, config.seed + seeds)
        ]
        metrics = _summary(runs, range(config.seed, config.seed + seeds))
        _write(out / "metrics.json", _json(metrics))
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error
    except (TrialDiverged, DataError, RuntimeError, ValueError) as error:  # CheckpointError, a damaged JSON file
        raise KansearchError(
            f"cannot train in {out}: {(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    return metrics


def _claim(out: Path, config: TrialConfig) -> None:
    text = yaml.safe_dump({"config": config.model_dump(mode="json")}, sort_keys=False)
    path = out / "config.yaml"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if path.exists() and path.read_text(errors="replace") != text:
            raise InputError(f"{out} holds a model of another configuration; give an empty folder")
        _write(path, text)
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all: a run that is killed here goes on later."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.write_text(text, encoding="utf-8")
    os.replace(unfinished, path)


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def _train_seed(
    config: TrialConfig, folder: Path, data_dir: Path | None, progress: Callable[[int, dict[str, Any]], None]
) -> dict[str, Any]:
    from trials.run import describe_model, evaluate, run_trial

    if (folder / "metrics.json").exists():
        return dict(json.loads((folder / "metrics.json").read_text()))
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    curve = []
    weights = folder / "model.safetensors"
    for result in run_trial(config, data_dir=data_dir, checkpoint=checkpoint, weights=weights, hold_out=False):
        curve.append(dataclasses.asdict(result))
        progress(config.seed, curve[-1])
    metrics = evaluate(config, checkpoint, data_dir=data_dir)
    describe_model(config, folder, data_dir)
    metrics |= {"epochs": config.epochs, "parameters": curve[-1]["parameters"], "flops": curve[-1]["flops"]}
    _write(folder / "curve.json", _json(curve))
    _write(folder / "metrics.json", _json(metrics))
    checkpoint.unlink()
    return metrics


def _summary(runs: Sequence[dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Means and sample standard deviations of each scalar figure; the rest as each seed has it, under `runs`."""
    scalars = [name for name in runs[0] if all(isinstance(run[name], (int, float)) for run in runs)]
    mean: dict[str, Any] = {name: statistics.fmean(run[name] for run in runs) for name in scalars}
    for name in ("parameters", "flops", "epochs", "images"):
        mean[name] = runs[0][name]
    deviation = {name: statistics.stdev(run[name] for run in runs) for name in scalars} if len(runs) > 1 else None
    return {**mean, "split": "test", "seeds": list(seeds), "standard_deviation": deviation, "runs": list(runs)}
