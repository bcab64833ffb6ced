"""Learning curves of many configurations of a space: `python -m tests.benchmarks.record OUT --epochs E`.

Configurations are quasi-random (`tests/benchmarks/draws.py`), each trained for all E epochs; the first `--repeated` of
them with several seeds, those runs spread among the others. Some worker processes share the GPU, under CUDA MPS where
that is installed. Each finished run is a line of JSON in OUT/runs-<time>.jsonl; so is a configuration that breaks the
space's constraint or has fewer than `--least` parameters, which takes no run. A run that fails is a line with its
reason. The first line says what was recorded, and on what.

After `--seconds` no run is started any more, and `--grace` seconds later those that are not done are given up. To go
on, name the earlier files, their folders, or the .parquet or .json of a benchmark that was made of them, with
`--earlier`; what is in OUT already counts too.

`python -m kansearch.bench.write NAME kansearch/bench/data/NAME.parquet OUT` adds them to the shipped benchmark.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from kansearch.bench.counting import BLOCKS
from kansearch.space import SearchSpace, find_space, load_space
from tests.benchmarks.draws import Draw, Sequence, order
from tests.benchmarks.side_by_side import Order, SideBySide, machine, parse_lines, started, write
from trials.measure.sizes import count_parameters


@dataclass(frozen=True)
class Run:
    """One configuration with one seed; `number` counts the configurations that are trained."""

    number: int
    draw: Draw
    seed: int


@dataclass
class Earlier:
    """What is known already: the draws that take no run, those that do, and the runs that are done."""

    infeasible: set[int] = field(default_factory=set)
    feasible: set[int] = field(default_factory=set)
    done: set[tuple[int, int]] = field(default_factory=set)


def read_earlier(paths: Iterable[Path], header: Mapping[str, Any]) -> Earlier:
    """All lines of the files, and of the files in the folders. SystemExit where one is another recording's."""
    earlier = Earlier()
    files = [file for path in paths for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    for file in files:
        rows = _benchmark(file) if file.suffix in (".parquet", ".json") else parse_lines(file)
        if not rows:
            continue
        different = [key for key in ("space", "overrides", "sequence_seed") if rows[0].get(key) != header[key]]
        if different:
            raise SystemExit(f"{file}: was recorded with another {' and '.join(different)}")
        for row in rows[1:]:
            if row["state"] == "infeasible":
                earlier.infeasible.add(row["index"])
            else:
                earlier.feasible.add(row["index"])
                earlier.done.add((row["index"], row["seed"]))
    return earlier


def _benchmark(file: Path) -> list[dict[str, Any]]:
    """The same of a shipped benchmark, from its .json alone."""
    about = json.loads(file.with_suffix(".json").read_text())
    infeasible = [{"index": index, "state": "infeasible"} for index in about["infeasible"]]
    return [about, *infeasible, *({"index": index, "seed": seed, "state": "done"} for index, seed in about["done"])]


class Plan:
    """The runs that are left, in order; notes infeasible draws as it comes by them."""

    def __init__(self, space: SearchSpace, arguments: argparse.Namespace, earlier: Earlier, output: TextIO) -> None:
        self._sequence = Sequence(space, arguments.sequence_seed)
        self._most, self._least = space.constraints.get("parameters", float("inf")), arguments.least
        self._arguments, self._earlier, self._output = arguments, earlier, output
        self._feasible: list[Draw] = []
        self.looked_at = 0

    @property
    def infeasible(self) -> int:
        """Draws so far that take no run."""
        return self.looked_at - len(self._feasible)

    def runs(self) -> Iterator[Run]:
        given = self._arguments
        for number, seed in order(given.configurations, given.repeated, given.seeds):
            draw = self._configuration(number)
            if (draw.index, seed) not in self._earlier.done:
                yield Run(number, draw, seed)

    def _configuration(self, number: int) -> Draw:
        while len(self._feasible) <= number:
            draw = self._sequence.at(self.looked_at)
            self.looked_at += 1
            if self._takes_a_run(draw):
                self._feasible.append(draw)
        return self._feasible[number]

    def _takes_a_run(self, draw: Draw) -> bool:
        if draw.index in self._earlier.feasible or draw.index in self._earlier.infeasible:
            return draw.index in self._earlier.feasible
        parameters = count_parameters(draw.config)
        if self._least <= parameters <= self._most:
            return True
        write(self._output, {"index": draw.index, "state": "infeasible", "parameters": parameters})
        return False


class Recorder:
    """Hands out the runs of a plan, and writes what comes back."""

    def __init__(self, arguments: argparse.Namespace, plan: Plan, output: TextIO, pipes: str | None) -> None:
        self._arguments, self._plan, self._output, self._pipes = arguments, plan, output, pipes
        self._orders = map(_order, plan.runs())
        self.counts: Counter[str] = Counter()
        self.began = time.monotonic()

    def record(self) -> None:
        """Until there are no more runs, or no more time."""
        SideBySide(
            self._arguments, lambda: next(self._orders, None), self._write, lambda seconds: self.line(), self._pipes
        ).run()

    def _write(self, order: Order, row: Mapping[str, Any]) -> None:
        self.counts[row["state"]] += 1
        self.counts["epochs"] += len(row["curve"].get("accuracy", ()))
        write(self._output, {**order.labels, "config": dict(order.config), **row})

    def line(self) -> str:
        """How far it is."""
        given, seconds = self._arguments, time.monotonic() - self.began
        all_runs = given.configurations + given.repeated * (given.seeds - 1)
        here = self.counts["complete"] + self.counts["fail"]
        earlier = len(self._plan._earlier.done)
        left = (all_runs - earlier - here) * seconds / here if here else float("nan")
        return (
            f"{seconds:5.0f} s: {earlier + here} of {all_runs} runs done, {self.counts['fail']} failed here, "
            f"{self._plan.infeasible} of {self._plan.looked_at} draws infeasible, "
            f"{self.counts['epochs'] / seconds:.1f} epochs/s, {here / seconds:.2f} runs/s, {left:.0f} s to go"
        )


def _order(run: Run) -> Order:
    config = run.draw.config.model_dump(mode="json") | {"seed": run.seed}
    own = {"index": run.draw.index, "number": run.number, "seed": run.seed}
    return Order({**own, "hyperparameters": dict(run.draw.hyperparameters)}, config)


def describe(space: SearchSpace, arguments: argparse.Namespace, mps: bool) -> dict[str, Any]:
    """The first line of a file."""
    return {
        "recording": 1,
        "space": space.source,
        "overrides": list(space.overrides),
        "sequence_seed": arguments.sequence_seed,
        "least_parameters": arguments.least,
        "blocks": BLOCKS,
        **machine(arguments, mps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--space", default="fashion_mnist_front")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the space")
    parser.add_argument("--configurations", type=int, default=1000)
    parser.add_argument("--repeated", type=int, default=100, help="configurations, the first, with all seeds")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--least", type=int, default=500, help="parameters")
    parser.add_argument("--sequence-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--data-dir")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--grace", type=float, default=15.0)
    parser.add_argument("--run-limit", type=float, default=300.0, metavar="SECONDS", help="of one run")
    parser.add_argument("--earlier", nargs="+", type=Path, default=[], metavar="FILE|FOLDER")
    arguments = parser.parse_args()
    space = load_space(find_space(arguments.space), [*arguments.set, f"epochs={arguments.epochs}"])
    with started(arguments) as mps:
        header = describe(space, arguments, mps.pipes is not None)
        earlier = read_earlier([arguments.out, *arguments.earlier], header)
        print(f"{header['hardware']}; CUDA MPS: {mps.pipes is not None} {mps.problem or ''}", flush=True)
        with (arguments.out / f"runs-{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl").open("w") as output:
            write(output, header)
            recorder = Recorder(arguments, Plan(space, arguments, earlier, output), output, mps.pipes)
            recorder.record()
            print(recorder.line(), flush=True)


if __name__ == "__main__":
    main()
