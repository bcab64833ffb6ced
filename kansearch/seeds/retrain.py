"""`retrain`: train a configuration to the end, over several seeds, and measure it on the test split.

DIR/
├── README.md               model card: what this is, its figures, how to use it and to train it again
├── config.yaml             what was trained, on which part of the data, and where the configuration comes from
├── metrics.json            the test split's figures: means over the seeds, their deviations, and each seed's own
├── curves.png              loss over the epochs, and validation accuracy where it was measured
├── confusion.png           which classes are taken for which, of all seeds; of a regression predictions.png instead
└── seed-<n>/
    ├── model.safetensors   weights
    ├── model.json          what `trials.load_model` needs beside them
    ├── curve.json          each epoch's measurements
    ├── metrics.json        the test split's figures of this seed
    └── checkpoint.pt       while it trains: the same command goes on from there

The same configuration, seed and device give the same files twice, but for `timing` in metrics.json and the time fields
of curve.json, which are measured.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kansearch.engine.stopping import telling_the_end
from kansearch.errors import KansearchError
from kansearch.seeds.card import write_card
from kansearch.seeds.claim import claim
from kansearch.seeds.pictures import write_pictures
from kansearch.seeds.processes import train_in_processes
from kansearch.seeds.retraining import Observer, Retraining
from kansearch.seeds.seed_runs import after
from kansearch.study.seeds import SeedRecord
from kansearch.study.spread import LEAST_SEEDS
from kansearch.study.statistics import half_width, sampling_half_width
from trials.files import as_json, first_line, write_whole
from trials.metrics import EXACT, is_dense

__all__ = ["retrain"]


def retrain(retraining: Retraining, observers: Sequence[Observer] = ()) -> dict[str, Any]:
    """Train and write the folder `retraining.out`.

    Returns:
        What metrics.json holds: every scalar figure of the test split at its top level.

    Raises:
        InputError: the folder holds another configuration's model, or there are fewer devices than processes.
        KansearchError: the data is missing or damaged, the configuration can't be trained on it, training diverged,
            a file in the folder is damaged, or it can't be written.
    """
    from trials.data.errors import DataError
    from trials.training import TrialDiverged

    _check_data(retraining)
    retraining = claim(retraining)
    out = retraining.out
    try:
        with telling_the_end(observers, KeyboardInterrupt):
            runs = _train(retraining, observers)
            metrics = _summary([run.test for run in runs], retraining.numbers)
            write_whole(out / "metrics.json", as_json(metrics))
            write_pictures(out, runs)
            write_card(out, retraining, metrics)
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error
    except (TrialDiverged, DataError, RuntimeError, ValueError) as error:  # CheckpointError, a damaged JSON file
        raise KansearchError(f"cannot train in {out}: {first_line(error)}") from error
    return metrics


def _check_data(retraining: Retraining) -> None:
    from trials.data.errors import DataError
    from trials.data.files import locate
    from trials.data.functions import check_trusted

    if retraining.address is not None:
        return  # it is the cluster's machines that need the data
    try:
        locate(retraining.config.data.source, retraining.data_dir)
        check_trusted(retraining.config.data)
    except DataError as error:
        raise KansearchError(str(error)) from error


def _train(retraining: Retraining, observers: Sequence[Observer]) -> list[SeedRecord]:
    """The record of each seed, those that are trained already included.

    Several seeds are trained side by side where there are several GPUs, else one after the other.
    """
    from trials.training import gpus

    records = {seed: retraining.record(seed) for seed in retraining.numbers}
    missing = [seed for seed, record in records.items() if record.state == "running"]

    def tell(seed: int, result: Mapping[str, Any]) -> None:
        records[seed] = after(records[seed], [result])
        for observer in observers:
            observer.changed(records[seed])

    for observer in observers:
        observer.started(retraining, list(records.values()))
    for seed in missing:
        retraining.folder(seed).mkdir(exist_ok=True)
    if missing and (retraining.address is not None or retraining.processes > 1 or min(len(missing), gpus()) > 1):
        train_in_processes(retraining, missing, tell)
    else:
        for seed in missing:
            for result in retraining.train(seed, retraining.folder(seed)):
                tell(seed, result)
    return list(records.values())


def _summary(runs: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """The mean of each scalar figure, its standard deviation and half of the mean's 95 % interval over the seeds; the
    rest as each seed has it, under `runs`. Fewer than `LEAST_SEEDS` seeds have no interval.

    `accuracy_sampling` is how far off the accuracy may be (95 %) because the test split is a sample.
    """
    scalars = [name for name in runs[0] if all(isinstance(run[name], (int, float)) for run in runs)]
    mean: dict[str, Any] = {name: statistics.fmean(run[name] for run in runs) for name in scalars}
    for name in (*EXACT, "epochs", "images"):
        if name in runs[0]:  # a seed of an earlier version lacks later metrics
            mean[name] = runs[0][name]
    deviation = {name: statistics.stdev(run[name] for run in runs) for name in scalars} if len(runs) > 1 else None
    told = len(runs) >= LEAST_SEEDS
    interval = {name: half_width([run[name] for run in runs]) for name in scalars} if told else None
    whole = "accuracy" in mean and not is_dense(mean)
    return {
        **mean,
        "split": "test",
        "seeds": list(seeds),
        "standard_deviation": deviation,
        "interval": interval,
        "accuracy_sampling": sampling_half_width(mean["accuracy"], mean["images"]) if whole else None,
        "runs": list(runs),
    }
