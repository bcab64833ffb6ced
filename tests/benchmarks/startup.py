"""From the command to the first epoch: `python -m tests.benchmarks.startup [SPACE] [--runs 5]`.

Starts `kansearch launch SPACE` in a folder of its own, waits for the first epoch of any trial in the study, and stops
it. When each stage was reached is seen from outside: by the study's files, the processes, and what is printed.

    study    the study is in its database
    raylet   Ray's own process on this machine runs
    torch    a worker has loaded torch
    search   the driver says on what it searches: `gpus_per_trial: auto` is decided
    asked    the first trial has its configuration
    epoch    the first epoch of some trial is committed
    CPU      seconds that all processes of the search have computed by then, on whatever cores

For data sets that are downloaded random images of Fashion-MNIST's kind are searched. Each run has a cache of
measurements of its own (XDG_CACHE_HOME), unless `--remember`: then all but the first run find its measurement.

With `--probe` only the measurement of `gpus_per_trial: auto` runs, here and without Ray, on a machine with a GPU:
seconds of each of its stages. `--compile` lets it begin with an empty cache of kernels.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kansearch.errors import KansearchError
from kansearch.space import find_space, load_space
from kansearch.study.study import Study
from tests.benchmarks.packing import write_random_images

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("study", "raylet", "torch", "search", "asked", "epoch", "CPU")
POLL_SECONDS = 0.1
TICKS = os.sysconf("SC_CLK_TCK")


# -- the command ------------------------------------------------------------------------------------------------------


class Launched:
    """`kansearch launch`, and when it reached each stage, in seconds after its start."""

    def __init__(self, space: str, folder: Path, cache: Path, options: Sequence[str]) -> None:
        self.home, self.name = folder / "studies", load_space(find_space(space), []).study
        self.seconds: dict[str, float] = {}
        self.notes: list[str] = []
        self._study: Study | None = None
        words = [sys.executable, "-m", "kansearch", "launch", space, "--home", str(self.home), *options]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "XDG_CACHE_HOME": str(cache),
        }
        self._errors = (folder / "errors").open("wb")
        self._start = time.perf_counter()
        self._process = subprocess.Popen(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def wait(self, limit: float) -> None:
        """Until the first epoch. Raises RuntimeError if it takes longer, or the command ends before."""
        while "epoch" not in self.seconds:
            time.sleep(POLL_SECONDS)
            self._look()
            if self._process.poll() is not None or time.perf_counter() - self._start > limit:
                errors = Path(self._errors.name).read_text(errors="replace")
                raise RuntimeError(f"no epoch; reached {self.seconds}\n{errors[-2000:]}")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)
        self._process.wait()
        self._errors.close()

    def _reached(self, stage: str) -> None:
        self.seconds.setdefault(stage, time.perf_counter() - self._start)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(f"study {self.name}"):
                self._reached("search")
            if line.startswith("gpus_per_trial"):
                self.notes.append(line.strip())

    def _look(self) -> None:
        if {"raylet", "torch"} - self.seconds.keys():
            below = descendants(self._process.pid)
            if "raylet" in below:
                self._reached("raylet")
            if any(loads_torch(pid) for name, pids in below.items() for pid in pids if name.startswith("ray::")):
                self._reached("torch")
        try:
            self._study = self._study or Study.open(self.home, self.name)
        except KansearchError:
            return
        self._reached("study")
        records = self._study.records()
        if records:
            self._reached("asked")
        if any(record.curve for record in records):
            self._reached("epoch")
            self.seconds["CPU"] = cpu_seconds(self._process.pid)


def descendants(root: int) -> dict[str, list[int]]:
    """The processes below one by their names."""
    children: dict[int, list[tuple[int, str]]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:
            continue  # it ended while we looked
        pid, _, name = head.partition(" (")
        children.setdefault(int(tail.split()[1]), []).append((int(pid), name))
    found: dict[str, list[int]] = {}
    below = [root]
    while below:
        for pid, name in children.get(below.pop(), []):
            found.setdefault(name, []).append(pid)
            below.append(pid)
    return found


def cpu_seconds(root: int) -> float:
    """Of a process and all below it that are alive, with those whose end was waited for."""
    total = 0
    for pid in [root, *(pid for pids in descendants(root).values() for pid in pids)]:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        total += sum(map(int, fields[11:15]))
    return total / TICKS


def loads_torch(pid: int) -> bool:
    """Whether it has mapped torch's library."""
    try:
        return "libtorch_cpu" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def run_once(space: str, cache: Path | None, options: Sequence[str], limit: float) -> tuple[dict[str, float], str]:
    """The seconds of each stage, and what was said of `auto`."""
    with tempfile.TemporaryDirectory(prefix="kansearch-startup-") as name:
        folder, more = Path(name), list(options)
        if load_space(find_space(space), []).dataset not in ("digits", "synthetic"):
            write_random_images(folder / "data")
            more += ["--data-dir", str(folder / "data")]
        launched = Launched(space, folder, cache or folder / "cache", more)
        try:
            launched.wait(limit)
        finally:
            launched.stop()
        return launched.seconds, " ".join(launched.notes)


def print_runs(space: str, runs: int, remember: bool, options: Sequence[str], limit: float) -> None:
    print(f"{space}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; seconds after the command")
    print("run   " + "".join(f"{stage:>9}" for stage in STAGES), flush=True)
    found = []
    with tempfile.TemporaryDirectory(prefix="kansearch-cache-") as cache:
        for number in range(1, runs + 1):
            seconds, note = run_once(space, Path(cache) if remember else None, options, limit)
            found.append(seconds)
            print_row(str(number), [seconds], note)
    print_row("median", found)
    print_row("least", [min(found, key=lambda seconds: seconds["epoch"])])
    print(f"first epoch after {min(seconds['epoch'] for seconds in found):.1f} s (the least of {runs})")


def print_row(name: str, found: Sequence[dict[str, float]], note: str = "") -> None:
    known = [[seconds[stage] for seconds in found if stage in seconds] for stage in STAGES]
    cells = "".join(f"{statistics.median(each):9.2f}" if each else f"{'-':>9}" for each in known)
    print(f"{name:6}{cells}   {note}", flush=True)


# -- the measurement of `auto` -----------------------------------------------------------------------------------------


class Stopwatch:
    """Called with a stage's name as it begins; prints the seconds of the one before."""

    def __init__(self) -> None:
        self._begun = self._first = time.perf_counter()
        self._stage: str | None = None

    def __call__(self, stage: str | None) -> None:
        now = time.perf_counter()
        if self._stage is not None:
            print(f"{self._stage:24}{now - self._begun:8.2f} s", flush=True)
        self._begun, self._stage = now, stage

    def end(self) -> None:
        self(None)
        print(f"{'together':24}{time.perf_counter() - self._first:8.2f} s")


@contextmanager
def kernels(empty: bool) -> Iterator[None]:
    """Triton's cache: the user's, or an empty one."""
    with tempfile.TemporaryDirectory(prefix="kansearch-triton-") as folder:
        if empty:
            os.environ["TRITON_CACHE_DIR"] = folder
        yield


def print_probe(space_name: str, most: int, empty: bool) -> None:
    """What the driver does, and then what the actor does: in a search both begin at the same time."""
    watch, space = Stopwatch(), load_space(find_space(space_name), [])
    watch("driver: import torch")
    import torch  # noqa: F401

    from kansearch.cluster import gpu_sharing as sharing
    from kansearch.engine.plan import draw

    watch(f"driver: draw {sharing._DRAWN}")
    configs, trial_mib = sharing._trainable(draw(space, sharing._DRAWN, device="cuda").drawn)
    watch("actor: import trials")
    from trials.config import TrialConfig
    from trials.measure.sharing import measure_sharing

    os.environ["CUDA_DEVICE_MAX_CONNECTIONS"] = "32"
    with kernels(empty):
        checked = [TrialConfig.model_validate(config) for config in configs]
        measured = measure_sharing(checked, trial_mib, most, lambda stage: watch(f"actor: {stage}"))
    watch.end()
    print(measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("space", nargs="?", default="quickstart")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--remember", action="store_true", help="one cache of measurements for all runs")
    parser.add_argument("--limit", type=float, default=180.0, help="seconds to wait for an epoch")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of each search")
    parser.add_argument("--probe", action="store_true", help="only what `gpus_per_trial: auto` measures, here")
    parser.add_argument("--most", type=int, default=16, help="trials at once that --probe tries")
    parser.add_argument("--compile", action="store_true", help="let --probe begin without compiled kernels")
    arguments = parser.parse_args()
    if arguments.probe:
        print_probe(arguments.space, arguments.most, arguments.compile)
    else:
        options = [word for each in arguments.set for word in ("--set", each)]
        print_runs(arguments.space, arguments.runs, arguments.remember, options, arguments.limit)


if __name__ == "__main__":
    main()
