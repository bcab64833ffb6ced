"""Feynman functions against published figures: `python -m tests.benchmarks.feynman [--seeds 0 1 2] [--out FILE]`.

Twenty functions of the Feynman lectures in dimensionless form, 4,000 points of [-1, 1]^n, as in "Initialization Schemes
for Kolmogorov-Arnold Networks" (arXiv 2509.03417, github.com/srigas/KAN_Initialization_Schemes, feynman_results). There
five seeds train by 2,000 full-batch epochs of Adam, in float32; the points are the same for each seed. The medians of
its power-law initialisation are in `FUNCTIONS`. Its small networks, [n, 8, 8, 1] with grid 5, have 10 numbers an edge
and a bias for each node: 897 parameters, 977 for three variables. Its big ones, [n, 32, 32, 32, 1] with grid 20, have
53,697 and 54,497.

Here the network is [n, 8, 8, 1] with grid 5 too, 9 numbers an edge: 809 or 881. L-BFGS in float64 takes at most 800
steps, a line search each. Points are drawn anew from the same distribution, once for all seeds. Where a function is
singular in the square, f1, f2, f4, f6 and f8, its mean square depends on the draw: so do both sides' figures.

Each training appends a line to `--out`; those that are there are not run again. `--table` prints what is there:
medians over seeds of the training MSE, in the function's own units and before the last step as in the source, of the
test MSE on 4,000 other points, and of the relative L2 error there; the source's L2 error is on a grid.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.side_by_side import parse_lines
from trials.config import TrialConfig
from trials.data.splits import load_targets, load_test
from trials.results import TEST
from trials.training import train_seed

RECORDS = Path(__file__).parent / "records/feynman/runs.jsonl"


@dataclass(frozen=True)
class Published:
    """A function, and the source's medians for power-law initialisation: training MSE and relative L2 error."""

    formula: str
    small: float
    small_l2: float
    big: float
    big_l2: float

    @property
    def variables(self) -> list[str]:
        return [name for name in ("x", "y", "z") if name in self.formula.replace("exp", "")]


FUNCTIONS: dict[str, Published] = {
    "f1": Published("exp(-x**2 / (2*y**2)) / sqrt(2*pi*y**2)", 1.18e-3, 0.414, 5.20e-6, 0.385),
    "f2": Published("exp(-(x - y)**2 / (2*z**2)) / sqrt(2*pi*z**2)", 1.97e-3, 0.437, 2.18e-6, 0.459),
    "f3": Published("1 + x*sin(y)", 1.12e-6, 1.07e-3, 2.17e-8, 1.66e-4),
    "f4": Published("x * (1/y - 1)", 1.75e3, 2.36, 2.53e-1, 5.49),
    "f5": Published("(x + y) / (1 + x*y)", 1.19e-4, 2.92e-2, 1.09e-6, 1.47e-2),
    "f6": Published("(1 + x*y) / (1 + x)", 1.04e3, 1.0, 4.15e-2, 1.0),
    "f7": Published("arcsin(x*sin(y))", 9.99e-7, 3.13e-3, 1.72e-7, 1.25e-3),
    "f8": Published("1 / (1 + x*y)", 1.79e-1, 1.0, 8.93e-5, 1.0),
    "f9": Published("sqrt(1 + x**2 - 2*x*cos(y - z))", 3.14e-5, 6.83e-3, 2.06e-7, 2.58e-3),
    "f10": Published("sin(x*y/2)**2 / sin(y/2)**2", 4.88e-7, 1.72e-3, 2.17e-8, 4.17e-4),
    "f11": Published("x * exp(-y)", 1.74e-6, 1.81e-3, 1.41e-7, 6.17e-4),
    "f12": Published("cos(x) + y*cos(x)**2", 1.17e-6, 1.19e-3, 3.70e-8, 2.25e-4),
    "f13": Published("(x - 1) * y", 8.49e-7, 1.44e-3, 8.54e-8, 4.98e-4),
    "f14": Published("z * sqrt(x**2 + y**2) / (4*pi)", 4.97e-7, 1.89e-2, 8.13e-9, 4.40e-3),
    "f15": Published("x * (1 + y*cos(z))", 3.58e-6, 4.08e-3, 1.80e-7, 3.00e-3),
    "f16": Published("x*y / (1 - x*y/3)", 7.17e-7, 2.72e-3, 1.54e-7, 1.94e-3),
    "f17": Published("x / (exp(y) + exp(-y))", 1.84e-7, 1.48e-3, 2.95e-8, 7.77e-4),
    "f18": Published("x + y*z", 2.71e-6, 3.43e-3, 3.05e-7, 4.92e-3),
    "f19": Published("sqrt(1 + x**2 + y**2)", 8.26e-6, 2.24e-3, 9.87e-9, 8.75e-5),
    "f20": Published("y * (1 + x*cos(z))", 4.35e-6, 4.37e-3, 6.45e-6, 5.13e-3),
}
"""By the source's names. Medians of five seeds, of its files `feynman_small.txt` and `feynman_big.txt`."""


def configuration(name: str, seed: int, epochs: int) -> TrialConfig:
    """The network for a function, trained by L-BFGS of 20 steps an epoch."""
    function = FUNCTIONS[name]
    return TrialConfig.model_validate(
        {
            "data": {
                "dataset": "formula",
                "formula": function.formula,
                "variables": [f"{variable} in [-1, 1]" for variable in function.variables],
                "samples": 4000,
                "test_samples": 4000,
                "make_seed": 42,
                "batch_size": 4000,
            },
            "model": {"family": "mlp", "widths": [8, 8], "basis": {"name": "bspline", "grid_size": 5}},
            "optimizer": {"name": "lbfgs", "max_iter": 20, "history_size": 100},
            "epochs": epochs,
            "precision": "float64",
            "seed": seed,
        }
    )


def train(name: str, seed: int, epochs: int) -> dict[str, Any]:
    """Train one seed on all 4,000 points, and measure it on the test points; a record."""
    config = configuration(name, seed, epochs)
    start = time.process_time()
    with tempfile.TemporaryDirectory(prefix="kansearch-feynman-") as folder:
        last = list(train_seed(config, Path(folder), keep=False, device="cpu"))[-1]
    targets = load_targets(config.data)
    assert targets is not None
    test = load_test(config.data, torch.device("cpu"))
    values = test.labels * targets.std + targets.mean
    mse = last[TEST]["rmse"] ** 2
    return {
        "function": name,
        "seed": seed,
        "epochs": epochs,
        "parameters": last["parameters"],
        "train_mse": last["train_loss"] * float(targets.std) ** 2,
        "test_mse": mse,
        "relative_l2": (mse / float(values.square().mean())) ** 0.5,
        "cpu_seconds": round(time.process_time() - start, 1),
    }


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: a line for each function, and how many are below the source."""
    yield "| | function | seeds | parameters | train MSE | small | big | test MSE | relative L2 | small | big |"
    yield "|" + 11 * "---|"
    below = {"small": 0, "big": 0}
    for name, function in FUNCTIONS.items():
        rows = [each for each in records if each["function"] == name]
        if not rows:
            continue
        mse, test, l2 = (
            statistics.median(row[key] for row in rows) for key in ("train_mse", "test_mse", "relative_l2")
        )
        below["small"] += mse < function.small
        below["big"] += mse < function.big
        ours = f"{len(rows)} | {rows[0]['parameters']} | {mse:.2e} | {function.small:.2e} | {function.big:.2e}"
        errors = f"{l2:.1e} | {function.small_l2:.1e} | {function.big_l2:.1e}"
        yield f"| {name} | `{function.formula}` | {ours} | {test:.2e} | {errors} |"
    functions = len({each["function"] for each in records})
    yield (
        f"\nMedian training MSE below power law, small: {below['small']} of {functions}; "
        f"big: {below['big']} of {functions}. {sum(each['cpu_seconds'] for each in records) / 60:.0f} CPU minutes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", nargs="+", default=list(FUNCTIONS), choices=list(FUNCTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="trained one after the other")
    parser.add_argument("--epochs", type=int, default=40, help="of 20 steps each")
    parser.add_argument("--out", type=Path, default=RECORDS, help="file of the records")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {(each["function"], each["seed"]) for each in parse_lines(options.out)}
    for seed, name in itertools.product([] if options.table else options.seeds, options.functions):
        if (name, seed) not in done:
            record = json.dumps(train(name, seed, options.epochs))
            print(record, flush=True)
            with options.out.open("a") as file:
                file.write(record + "\n")
    print("\n".join(table(parse_lines(options.out))))


if __name__ == "__main__":
    main()
