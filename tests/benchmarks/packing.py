"""What trials gain by sharing a GPU: `python -m tests.benchmarks.packing`, on a machine with one.

Steps a second of all trials together, so many at once: processes that take turns, processes under CUDA MPS, and
streams of one process, by which `gpus_per_trial: auto` decides. A trial is a network of `tests/benchmarks/networks.py`
(`--network`) on random images as many as Fashion-MNIST's, batch 128, each step a CUDA graph.

With `--search SPACE` real searches run instead, Ray and all, one for each of `--gpus-per-trial`, over random images
of that kind; printed are the trials that they complete an hour, between the first and the last, and the GPU's idle
share.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kansearch.cluster.cluster import Cluster
from kansearch.cluster.mps import PIPES, Mps
from kansearch.space import find_space, load_space
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from tests.benchmarks.networks import SMALL_NETS
from tests.benchmarks.training import place
from trials.config import AdamWConfig, TrialConfig
from trials.data.shape import DataShape
from trials.data.splits import random_split
from trials.measure.sharing import _Job, _seconds
from trials.training.epoch import GraphedEpoch, build_epoch
from trials.training.optim import build_optimizer

ROOT = Path(__file__).resolve().parents[2]
IMAGES, BATCH = 60_000, 128
PUBLISHED_EPOCH_SECONDS = 41.4
"""Of KANC MLP (Medium), grid size 10, as its authors train it, float32, on one H100."""


# -- steps ------------------------------------------------------------------------------------------------------------


def graphed_epoch(network: str) -> GraphedEpoch:
    config = TrialConfig.model_validate({"data": {"dataset": "fashion_mnist", "batch_size": BATCH}})
    config = config.model_copy(update={"optimizer": AdamWConfig(name="adamw", lr=1e-3)})
    model = place(SMALL_NETS[network], "cuda")
    steps = IMAGES // BATCH
    split = random_split(DataShape(1, (28, 28), 10), steps * BATCH, torch.device("cuda"))
    epoch = build_epoch(config, model, build_optimizer(config.optimizer, model), split, True)
    assert isinstance(epoch, GraphedEpoch)
    return epoch


def trial(network: str, pipes: str | None, orders: Connection) -> None:
    """In a process of its own: train for so many seconds each time it is told to; answer with the steps."""
    if pipes is not None:
        os.environ[PIPES] = pipes
    epoch = graphed_epoch(network)
    rates = [1e-3] * (IMAGES // BATCH)
    epoch(0, rates).item()
    torch.cuda.synchronize()
    orders.send("ready")
    while (seconds := orders.recv()) is not None:
        start, done = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            epoch(done, rates).item()
            done += 1
        orders.send(done * len(rates) / (time.perf_counter() - start))


def processes(network: str, at_once: Sequence[int], seconds: float, pipes: str | None) -> dict[int, float]:
    """Steps a second of all, for each number of processes."""
    context, trials = multiprocessing.get_context("spawn"), []
    for _ in range(max(at_once)):
        ours, theirs = context.Pipe()
        process = context.Process(target=trial, args=(network, pipes, theirs), daemon=True)
        process.start()
        trials.append((process, ours))
    for _, orders in trials:
        assert orders.recv() == "ready"
    totals = {}
    for count in at_once:
        for _, orders in trials[:count]:
            orders.send(seconds)
        totals[count] = sum(orders.recv() for _, orders in trials[:count])
    for process, orders in trials:
        orders.send(None)
        process.join()
    return totals


def streams(network: str, at_once: Sequence[int]) -> dict[int, float]:
    """The same of one process with a stream for each."""
    jobs = [_Job(graphed_epoch(network)) for _ in range(max(at_once))]
    for job in jobs:
        job.steps *= 10
    totals = {}
    for count in at_once:
        steps = sum(job.steps for job in jobs[:count])
        _seconds(jobs[:count], count, torch.device("cuda"))
        totals[count] = steps / _seconds(jobs[:count], count, torch.device("cuda"))
    return totals


def print_steps(network: str, at_once: Sequence[int], seconds: float) -> None:
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}, {os.cpu_count()} CPUs; {network}, batch {BATCH}")
    columns = {"processes": processes(network, at_once, seconds, None)}
    with tempfile.TemporaryDirectory() as folder, Mps(Path(folder)) as mps:
        mps.start()
        if mps.pipes is None:
            print(f"without CUDA MPS: {mps.problem or 'there is none here'}")
        else:
            columns["under MPS"] = processes(network, at_once, seconds, mps.pipes)
    columns["streams"] = streams(network, at_once)
    print("trials at once   " + "   ".join(f"{name + ', steps/s':>20}" for name in columns))
    for count in at_once:
        print(f"{count:14}   " + "   ".join(f"{totals[count]:20,.0f}" for totals in columns.values()), flush=True)
    most = max(max(totals.values()) for name, totals in columns.items() if name != "streams")
    epochs = 3600 * most / (IMAGES // BATCH)
    print(f"at most {epochs:,.0f} epochs an hour, {epochs * PUBLISHED_EPOCH_SECONDS / 3600:,.0f} times 3600 s / 41.4 s")


# -- searches ---------------------------------------------------------------------------------------------------------


class Stopwatch:
    """Observes a search: when each trial completed."""

    def __init__(self) -> None:
        self.finished: list[float] = []
        self.notes: Sequence[str] = ()
        self.began = time.perf_counter()
        self.seconds_before = 0.0
        self.at_once = 0

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None: ...

    def running(self, cluster: Cluster) -> None:
        self.notes, self.at_once = cluster.notes, cluster.max_concurrent
        self.seconds_before = time.perf_counter() - self.began

    def changed(self, record: TrialRecord) -> None:
        if record.state == "complete":
            self.finished.append(time.perf_counter())

    def tick(self) -> None: ...

    def ended(self, outcome: str) -> None: ...


def write_random_images(folder: Path) -> None:
    """Fashion-MNIST's four files, with random bytes in them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for split, count in (("train", IMAGES), ("t10k", 10_000)):
        for kind, magic, shape, most in (("images-idx3", 2051, (28, 28), 256), ("labels-idx1", 2049, (), 10)):
            values = rng.integers(most, size=(count, *shape), dtype=np.uint8)
            head = np.array([magic, count, *shape], dtype=">u4").tobytes()
            (folder / f"{split}-{kind}-ubyte").write_bytes(head + values.tobytes())


def search(home: Path, space: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Run one search here; its figures."""
    from kansearch.cluster.launch import SearchOptions, launch

    watch = Stopwatch()
    study = launch(load_space(find_space(space), overrides), SearchOptions(home, data_dir=home / "data"), [watch])
    hours = (watch.finished[-1] - watch.finished[0]) / 3600
    failed = [record.reason for record in study.records() if record.state == "fail"]
    return {
        "notes": list(watch.notes),
        "at_once": watch.at_once,
        "seconds_before": round(watch.seconds_before, 1),
        "complete": len(watch.finished),
        "failed": failed[:3],
        "trials_an_hour": (len(watch.finished) - 1) / hours,
        "usage": study.usage.line,
    }


def print_searches(space: str, shares: Sequence[str], settings: Sequence[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="kansearch-bench-") as folder:
        write_random_images(Path(folder) / "data")
        for share in shares:
            name = f"study=gpus-{share.replace('.', '-')}"
            overrides = [name, f"search.gpus_per_trial={share}", *settings]
            words = [sys.executable, "-m", "tests.benchmarks.packing", "--one", folder, space, *overrides]
            done = subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
            print(f"gpus_per_trial {share}: {done.stdout.splitlines()[-1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="KANC MLP (Medium), gs 10", choices=list(SMALL_NETS))
    parser.add_argument("--at-once", nargs="+", type=int, default=[1, 4, 8, 12, 16])
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measurement")
    parser.add_argument("--search", metavar="SPACE", help="run searches of this space instead")
    parser.add_argument("--gpus-per-trial", nargs="+", default=["1", "auto"], help="of each search")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of each search")
    parser.add_argument("--one", nargs="+", metavar="ARGUMENT", help="HOME SPACE KEY=VALUE...: one search, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        home, space, *overrides = arguments.one
        print(json.dumps(search(Path(home), space, overrides)))
    elif arguments.search:
        print_searches(arguments.search, arguments.gpus_per_trial, arguments.set)
    else:
        print_steps(arguments.network, arguments.at_once, arguments.seconds)


if __name__ == "__main__":
    main()
