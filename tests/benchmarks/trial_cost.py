"""What a trial costs beside its epochs: `python -m tests.benchmarks.trial_cost [--space fashion_mnist] [--trials 40]`.

Configurations drawn from a space are trained one after the other, each for `--epochs`, as a worker trains them, with
checkpoint and weights in a folder, but without Ray. A stopwatch runs around each piece; on CUDA the device is waited
for before it is read. Printed are median and 90th percentile, ms, over the trials of all `--processes`, which train at
once under whatever CUDA MPS there is. "beside" is a trial's time less the seconds of its epochs, validation included.

The pieces are public functions, timed wherever they are called. It runs on older versions of `trials` too, where one
of them may be missing. Data are random images of Fashion-MNIST's size, unless `--data-dir` says where the files are.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from kansearch.space import SearchSpace, find_space, load_space
from tests.benchmarks.draws import Sequence
from tests.benchmarks.packing import write_random_images
from trials.config import LBFGSConfig, TrialConfig
from trials.training import loop, run
from trials.training import measure as sizes_of

Row = dict[str, float]
"""Seconds of each piece of a trial, of the trial, and beside its epochs."""

PIECES: dict[str, tuple[Any, str]] = {
    "share of memory": (run, "use_memory"),
    "data": (run, "load_training"),
    "build": (run, "build_on"),
    "optimizer": (run, "build_optimizer"),
    "pretrained": (run, "load_pretrained"),
    "sizes": (run, "count_sizes"),
    "prepare training": (loop, "build_epoch"),
    "prepare validation": (loop, "build_validation"),
    "weights": (run, "save_weights"),
    "checkpoint": (run, "save_checkpoint"),
}
"""By name, the module that calls it and the function."""
EPOCHS = {"prepare training": "training", "prepare validation": "validation"}
"""What these functions return is timed too, whenever it is called."""
_WARM_UP = 4


class Stopwatch:
    """Seconds spent in each piece since it was last read."""

    def __init__(self, device: str) -> None:
        self.wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, with its time added to the piece `name`."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.wait()
            start = time.perf_counter()
            try:
                result = function(*arguments, **options)
                self.wait()
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            return result

        return call

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Inside, every piece that this version has is timed."""
        there = [(name, module, function) for name, (module, function) in PIECES.items() if hasattr(module, function)]
        originals = [(module, function, getattr(module, function)) for _, module, function in there]
        for (name, module, function), (*_, original) in zip(there, originals, strict=True):
            if name in EPOCHS:
                original = self._with_calls(EPOCHS[name], original)
            setattr(module, function, self.timed(name, original))
        try:
            yield
        finally:
            for module, function, original in originals:
                setattr(module, function, original)

    def _with_calls(self, name: str, build: Callable[..., Any]) -> Callable[..., Any]:
        """`build`, where each call of the object that it returns is timed as `name`."""

        def built(*arguments: Any, **options: Any) -> Any:
            made = build(*arguments, **options)
            kind = type(made)
            timed = self.timed(name, kind.__call__)
            made.__class__ = type(kind.__name__, (kind,), {"__call__": timed})
            return made

        return built


def train(config: TrialConfig, device: str, data_dir: Path, folder: Path, share: float) -> float:
    """One trial as a worker runs it, to its end; the seconds of its epochs."""
    document = config.model_dump(mode="json")
    if device == "cuda":
        run.use_memory(share)
    options: dict[str, Any] = {"checkpoint_seconds": 10.0, "keep_last": False}
    known = inspect.signature(run.run_trial).parameters
    results = run.run_trial(
        TrialConfig.model_validate(document),
        data_dir=data_dir,
        device=device,
        checkpoint=folder / "checkpoint.pt",
        weights=folder / "weights.safetensors",
        **{name: value for name, value in options.items() if name in known},
    )
    return sum(result.seconds for result in results)


def measure(config: TrialConfig, device: str, data_dir: Path, share: float, watch: Stopwatch) -> Row:
    """Train once; what each piece took."""
    with tempfile.TemporaryDirectory(prefix="kansearch-trial-") as folder:
        watch.seconds = {}
        watch.wait()
        start = time.perf_counter()
        epochs = train(config, device, data_dir, Path(folder), share)
        watch.wait()
        whole = time.perf_counter() - start
    return {
        **watch.seconds,
        "else": whole - sum(watch.seconds.values()),
        "whole trial": whole,
        "beside": whole - epochs,
    }


def configurations(space: SearchSpace, epochs: int, lbfgs: bool, seed: int) -> Iterator[TrialConfig]:
    """Feasible ones of the space, without end."""
    sequence = Sequence(space, seed)
    for index in itertools.count():
        config = sequence.at(index).config
        if isinstance(config.optimizer, LBFGSConfig) and not lbfgs:
            continue
        bounds = {name: bound for name, bound in space.constraints.items() if name in ("parameters", "flops")}
        sizes = sizes_of(config, bounds)
        if all(sizes[name] <= bound for name, bound in bounds.items()):
            yield config.model_copy(update={"epochs": epochs})


def work(options: argparse.Namespace, data_dir: Path, number: int, driver: Connection) -> None:
    """In a process of its own: warm up, then measure when told to, and send the rows."""
    torch.set_num_threads(options.threads)
    space = load_space(find_space(options.space), options.set)
    configs = list(
        itertools.islice(configurations(space, options.epochs, options.lbfgs, number), _WARM_UP + options.trials)
    )
    watch, share = Stopwatch(options.device), 1 / options.processes
    with watch.installed():
        for config in configs[:_WARM_UP]:
            measure(config, options.device, data_dir, share, watch)
        driver.send("ready")
        driver.recv()
        driver.send([measure(config, options.device, data_dir, share, watch) for config in configs[_WARM_UP:]])
    if options.device == "cuda":
        driver.send([torch.cuda.memory_reserved() / 2**20, torch.cuda.memory_allocated() / 2**20])
    else:
        driver.send([])


def rows_of_all(options: argparse.Namespace, data_dir: Path) -> tuple[list[Row], list[list[float]]]:
    """What all processes measured, and the memory that they hold at the end: reserved and allocated, MiB."""
    context, workers = multiprocessing.get_context("spawn"), []
    for number in range(options.processes):
        ours, theirs = context.Pipe()
        process = context.Process(target=work, args=(options, data_dir, number, theirs), daemon=True)
        process.start()
        theirs.close()
        workers.append((process, ours))
    for _, pipe in workers:
        assert pipe.recv() == "ready"
    for _, pipe in workers:
        pipe.send("go")
    rows = [row for _, pipe in workers for row in pipe.recv()]
    memory = [pipe.recv() for _, pipe in workers]
    for process, _ in workers:
        process.join()
    return rows, memory


def table(rows: list[Row]) -> str:
    """Markdown: a line for each piece, in ms. A trial without a piece spent nothing on it."""
    names = list(dict.fromkeys([*PIECES, *EPOCHS.values(), *rows[0], "else", "whole trial", "beside"]))
    for name in ("else", "whole trial", "beside"):
        names.append(names.pop(names.index(name)))
    lines = ["| piece | median, ms | p90, ms |", "|---|---|---|"]
    for name in names:
        values = [1e3 * row.get(name, 0.0) for row in rows]
        p90 = statistics.quantiles(values, n=10)[-1] if len(values) > 1 else values[0]
        lines.append(f"| {name} | {statistics.median(values):.1f} | {p90:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="fashion_mnist", help="configurations of this space")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of the space")
    parser.add_argument("--trials", type=int, default=40, help="of each process, after a few to warm up")
    parser.add_argument("--epochs", type=int, default=1, help="of each trial")
    parser.add_argument("--processes", type=int, default=1, help="that train at once")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of each process")
    parser.add_argument("--lbfgs", action="store_true", help="trials with L-BFGS too")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--data-dir", type=Path, help="where the data set's files are")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kansearch-bench-") as folder:
        if options.data_dir is None:
            write_random_images(Path(folder) / "data")
        rows, memory = rows_of_all(options, options.data_dir or Path(folder) / "data")
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{os.cpu_count()} CPU cores"
    print(
        f"{len(rows)} trials of {options.epochs} epoch(s), {options.space}, {options.processes} process(es), {name}, "
        f"torch {torch.__version__}\n\n{table(rows)}"
    )
    if options.device == "cuda":
        most = [max(values) for values in zip(*memory, strict=True)]
        print(f"\nmemory at the end, most of a process: {most[0]:.0f} MiB reserved, {most[1]:.0f} MiB allocated")


if __name__ == "__main__":
    main()
