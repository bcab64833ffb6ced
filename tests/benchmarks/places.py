"""How many places train: `python -m tests.benchmarks.places [--places 6] [--trials 0.05 0.5 2] [--seconds 20]`.

Trials of one epoch that sleep, without torch, through everything a search has: Ray Tune, the sampler, the study in
SQLite. Beside them bare Ray actors that sleep as long, asked again as soon as one is done: what Ray itself allows.

    busy       places at work on average in the second half: trials ended there, times a trial's seconds, over its time
    trials/s   trials ended there, over its time
    workers    processes that ran a trial
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kansearch.bench.problems import simulated_space
from kansearch.cluster.trainable import Request, Training
from kansearch.space import parse_space
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.study import Study
from trials.results import EpochResult

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Busy:
    """One row of the table."""

    busy: float
    rate: float
    workers: int


def sleeping(seconds: float, pids: str | None = None) -> Training:
    """Trials of one epoch that sleep, in place of `kansearch.cluster.trainable.TRAINING`."""

    def prepare(mps: str | None, gpus: float, threads: int) -> str:
        return ""

    def train(request: Request) -> Iterator[dict[str, Any]]:
        if pids is not None:
            Path(pids, str(os.getpid())).touch()
        time.sleep(seconds)
        accuracy = (request.number * 7919 % 10007) / 10007
        size = 10 + request.number * 104729 % 99991
        measured = {"train_loss": 1.0, "validation_loss": 1.0, "accuracy": accuracy, "seconds": seconds}
        yield EpochResult(1, 0.1, {**measured, "parameters": size}).row()

    return Training(prepare, train)


class Ends:
    """Observes a search: when each trial ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None: ...

    def running(self, cluster: Any) -> None: ...

    def changed(self, record: TrialRecord) -> None:
        if record.state in FINISHED:
            self.times.append(time.perf_counter())

    def tick(self) -> None: ...

    def ended(self, outcome: str) -> None: ...


def second_half(times: Sequence[float], seconds: float, workers: int) -> Busy:
    """What the ends of trials, s, tell of the second half of the time between the first and the last."""
    middle = (times[0] + times[-1]) / 2
    ended = sum(end > middle for end in times)
    rate = ended / (times[-1] - middle)
    return Busy(rate * seconds, rate, workers)


def search(home: Path, places: int, trial: float, seconds: float, sampler: str) -> Busy:
    """One search of trials that sleep `trial` seconds, for about `seconds`."""
    from kansearch.cluster import execution
    from kansearch.cluster import launch as launcher

    pids = home / "pids"
    pids.mkdir()
    execution.TRAINING = sleeping(trial, str(pids))
    space, ends = simulated_space(True), Ends()
    keys = [
        f"search.sampler={sampler}",
        f"search.trials={max(2 * places, round(seconds * places / trial))}",
        "epochs=1",
    ]
    keys += [f"search.cpus_per_trial={os.cpu_count() / places}", f"search.time_budget={seconds + 300}s"]
    launcher.launch(parse_space(space.source, space.file, keys), launcher.SearchOptions(home), [ends])
    return second_half(ends.times, trial, len(list(pids.iterdir())))


def bare(places: int, trial: float, seconds: float) -> Busy:
    """Ray actors without a search."""
    import ray

    class Sleeper:
        def work(self) -> None:
            time.sleep(trial)

    ray.init("local", include_dashboard=False, log_to_driver=False, num_cpus=places)
    actors = [ray.remote(num_cpus=1)(Sleeper).remote() for _ in range(places)]
    ray.get([actor.work.remote() for actor in actors])
    running = {actor.work.remote(): actor for actor in actors}
    times, end = [time.perf_counter()], time.perf_counter() + seconds
    while time.perf_counter() < end:
        (done,), _ = ray.wait(list(running), num_returns=1)
        times.append(time.perf_counter())
        actor = running.pop(done)
        running[actor.work.remote()] = actor
    ray.shutdown()
    return second_half(times, trial, places)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--places", type=int, default=6)
    parser.add_argument("--trials", nargs="+", type=float, default=[0.05, 0.5, 2.0], help="seconds of a trial")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each search")
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--one", choices=["search", "bare"], help="one row, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        trial = arguments.trials[0]
        with tempfile.TemporaryDirectory(prefix="kansearch-places-") as folder:
            row = (
                search(Path(folder), arguments.places, trial, arguments.seconds, arguments.sampler)
                if arguments.one == "search"
                else bare(arguments.places, trial, arguments.seconds)
            )
        print(json.dumps(asdict(row)))
        return
    print(f"{arguments.places} places, {os.cpu_count()} CPUs, sampler {arguments.sampler}")
    print("trial s   engine     busy   trials/s   workers", flush=True)
    for trial in arguments.trials:
        for kind in ("search", "bare"):
            words = [sys.executable, "-m", "tests.benchmarks.places", "--one", kind, "--trials", str(trial)]
            words += ["--places", str(arguments.places), "--seconds", str(arguments.seconds)]
            words += ["--sampler", arguments.sampler]
            done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            row = Busy(**json.loads(done.stdout.splitlines()[-1]))
            print(f"{trial:7g}   {kind:8}{row.busy:7.2f}{row.rate:11.1f}{row.workers:10}", flush=True)


if __name__ == "__main__":
    main()
