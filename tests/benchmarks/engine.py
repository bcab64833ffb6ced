"""What the engine costs: `python -m tests.benchmarks.engine [--trials 100 1000 10000] [--samplers random tpe]`.

Trivial trials, one epoch each that reports at once, go through everything a real search has: Ray Tune, the searcher,
the study in SQLite, its observers; with `--mlflow` the MLflow writer too. Each search runs in a process of its own.

    ms a trial      wall time between the first and the last finished trial, over their number; and over the last tenth
    CPU ms a trial  processor time of the driver alone, start-up included, over all trials
    driver MiB      peak resident set of the driver
    front, trials   wall time of `kansearch front` and `kansearch trials --json` on the study, start-up included
    resume          what a resumed search does before it runs anything: reads the study, rebuilds budget, rungs, sampler
    first epoch     wall time from the start of `kansearch launch quickstart` to the first epoch result in its study
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kansearch.bench.problems import simulated_space
from kansearch.engine.ask_tell import AskTell
from kansearch.space import SearchSpace, parse_space
from kansearch.study.study import Study
from tests.benchmarks.places import Ends, sleeping

ROOT = Path(__file__).resolve().parents[2]


def space_of(sampler: str, trials: int) -> SearchSpace:
    """Nine hyperparameters with branches; halving has a rung at no epoch, but keeps its books."""
    space = simulated_space(True)
    keys = [f"search.sampler={sampler}", f"search.trials={trials}", "search.scheduler=halving", "epochs=1"]
    return parse_space(space.source, space.file, keys)


def search(home: Path, sampler: str, trials: int, mlflow: bool) -> dict[str, float]:
    """Run one search here; its figures."""
    from kansearch.cluster import execution
    from kansearch.cluster import launch as launcher
    from kansearch.tracking.writer import MlflowWriter

    execution.TRAINING = sleeping(0.0)
    watch = Ends()
    observers: list[Any] = [watch, MlflowWriter()] if mlflow else [watch]
    launcher.launch(space_of(sampler, trials), launcher.SearchOptions(home), observers)
    times, tenth = watch.times, max(1, trials // 10)
    return {
        "cpu_ms": 1000 * time.process_time() / trials,
        "ms": 1000 * (times[-1] - times[0]) / (len(times) - 1),
        "last_ms": 1000 * (times[-1] - times[-1 - tenth]) / tenth,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
    }


def on_a_study(home: Path) -> dict[str, float]:
    """Seconds of what is done with a finished study."""

    def command(*arguments: str) -> float:
        start = time.perf_counter()
        words = [sys.executable, "-m", "kansearch", *arguments, "simulated", "--home", str(home)]
        subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    seconds = {"front": command("front"), "trials": command("trials", "--json")}
    start = time.perf_counter()
    study = Study.open(home, "simulated")
    more = replace(study.space, search=study.space.search.model_copy(update={"trials": 10**9}))
    study.__dict__["space"] = more
    AskTell(study, 2, lambda: False, lambda record: None)
    return {**seconds, "resume": time.perf_counter() - start}


def first_epoch(home: Path) -> float:
    """Seconds from the start of the command to the first epoch in its study."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "kansearch", "launch", "quickstart", "--trials", "2", "--home", str(home)]
    driver = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        while not ((home / "quickstart/study.json").exists() and _epochs(Study.open(home, "quickstart"))):
            time.sleep(0.05)
        return time.perf_counter() - start
    finally:
        driver.wait()


def _epochs(study: Study) -> int:
    return sum(record.epochs for record in study.records())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", nargs="+", type=int, default=[100, 1000, 10000])
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--one", nargs=3, metavar=("HOME", "SAMPLER", "TRIALS"), help="run one search, print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        home, sampler, trials = arguments.one
        print(json.dumps(search(Path(home), sampler, int(trials), arguments.mlflow)))
        return
    print(f"{os.cpu_count()} CPUs, Python {sys.version.split()[0]}, MLflow {'on' if arguments.mlflow else 'off'}")
    print(
        "sampler   trials   ms a trial   last tenth   CPU ms a trial   driver MiB   front s   trials s   resume s",
        flush=True,
    )
    for sampler in arguments.samplers:
        for trials in arguments.trials:
            with tempfile.TemporaryDirectory(prefix="kansearch-bench-") as folder:
                words = [sys.executable, "-m", "tests.benchmarks.engine", "--one", folder, sampler, str(trials)]
                words += ["--mlflow"] if arguments.mlflow else []
                done = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True)
                cost, study = json.loads(done.stdout.splitlines()[-1]), on_a_study(Path(folder))
                print(
                    f"{sampler:8}{trials:8,}{cost['ms']:13.1f}{cost['last_ms']:13.1f}{cost['cpu_ms']:17.1f}{cost['mib']:13.0f}"
                    f"{study['front']:10.2f}{study['trials']:11.2f}{study['resume']:11.2f}",
                    flush=True,
                )
    with tempfile.TemporaryDirectory(prefix="kansearch-bench-") as folder:
        print(f"first epoch of quickstart after {first_epoch(Path(folder)):.1f} s")


if __name__ == "__main__":
    main()
