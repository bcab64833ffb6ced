"""A process that trains what it is told to, one run after the other: `tests.benchmarks.side_by_side` starts some.

It is sent {"config", "data_dir", "test"} and answers with a row: {"state": "complete" or "fail", "reason", "curve",
sizes}. `lost` in a row: the process lost its GPU, which need not be the run's fault, and ends. Where `test` is true it
trains on the whole training split, and the row has `test_accuracy`, of each epoch.
"""

from __future__ import annotations

import gc
import os
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.cluster.mps import PIPES

if TYPE_CHECKING:
    from trials.config import TrialConfig
    from trials.results import EpochResult

__all__ = ["CURVE", "work"]

CURVE = ("train_loss", "validation_loss", "accuracy", "seconds", "images_per_second", "learning_rate")
"""Of each epoch."""
_SIZES = ("parameters", "flops", "peak_memory_mib")
_OF_THE_GPU = ("AcceleratorError", "OutOfMemoryError")
"""Errors that another process' run may have caused."""
_MOST_HOST_MIB = 6 * 1024
"""A process that grew so large is done, and another one takes its place."""


def work(orders: Connection, device: str, pipes: str | None) -> None:
    """Run until told to stop by None, or until this process has grown too large; then it closes the connection."""
    if pipes is not None:
        os.environ[PIPES] = pipes
    import torch

    torch.set_num_threads(1)
    torch.zeros(1, device=device)  # the context, before the first run's time is taken
    orders.send("ready")
    while (order := orders.recv()) is not None:
        row = _row(order["config"], order["data_dir"], device, order["test"])
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()
        orders.send(row)
        if row["lost"] or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 1024 * _MOST_HOST_MIB:
            break
    orders.close()


def _row(document: Mapping[str, Any], data_dir: str | None, device: str, test: bool) -> dict[str, Any]:
    from trials.config import TrialConfig
    from trials.files import one_line

    start = time.perf_counter()
    config = TrialConfig.model_validate(document)
    results, tested = list[dict[str, Any]](), list[float]()
    row: dict[str, Any] = {"state": "complete", "reason": None, "lost": False}
    try:
        for result, accuracy in _epochs(config, Path(data_dir) if data_dir else None, device, test):
            results.append(result.row())
            tested += [] if accuracy is None else [accuracy]
    except Exception as error:
        row = {"state": "fail", "reason": one_line(error), "lost": type(error).__name__ in _OF_THE_GPU}
    row |= {"test_accuracy": tested} if test else {}
    row["curve"] = {name: [result[name] for result in results] for name in CURVE}
    row |= {name: results[-1][name] if results else None for name in _SIZES}
    return {**row, "wall_seconds": time.perf_counter() - start}


def _epochs(
    config: TrialConfig, data_dir: Path | None, device: str, test: bool
) -> Iterator[tuple[EpochResult, float | None]]:
    """Each epoch's result, and its accuracy on the test split."""
    import torch

    from trials.data.splits import load_test
    from trials.measure.scores import sample_accuracy
    from trials.training.checkpoint import load_checkpoint
    from trials.training.run import build_on, run_trial
    from trials.training.step import predict, working_precision

    if not test:
        yield from ((result, None) for result in run_trial(config, data_dir=data_dir, device=device))
        return
    target = torch.device(device)
    split, model = load_test(config.data, target, data_dir), build_on(config, target)
    precision = working_precision(config.precision, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pt")
        for result in run_trial(config, data_dir=data_dir, device=device, checkpoint=path, hold_out=False):
            model.load_state_dict(load_checkpoint(path, target)["model"])
            yield result, sample_accuracy(predict(model, split, precision), split.labels).item()
