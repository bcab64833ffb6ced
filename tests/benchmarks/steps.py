"""What a training step of a small network costs on a CPU: `python -m tests.benchmarks.steps [--epochs 40]`.

Networks of the family `mlp` with one hidden layer of five nodes learn 480 rows of two columns, as a search trains them,
on one thread. Processor time is counted, so that others on the machine matter little; the least of five trials is
printed, in microseconds a step, validation of 120 rows once an epoch included, and epochs a second of processor time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch

from trials.config import TrialConfig
from trials.training import run_trial

BASES: dict[str, dict[str, Any]] = {
    "bspline(5,3)": {"name": "bspline", "grid_size": 5},
    "rbf(8)": {"name": "rbf"},
    "gram(4)": {"name": "gram", "degree": 4},
    "spline_activation(5)": {"name": "spline_activation", "grid_size": 5},
    "plain": {"name": "none"},
}


def configuration(basis: dict[str, Any], batch_size: int | str, epochs: int) -> TrialConfig:
    """A network with this basis."""
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "special", "special": "ellipeinc", "samples": 600, "validation": 0.2}
            | {"batch_size": batch_size},
            "model": {"family": "mlp", "depth": 1, "width": 5, "basis": basis},
            "optimizer": {"name": "adamw", "lr": 1e-2, "weight_decay": 0.0},
            "epochs": epochs,
        }
    )


def seconds_an_epoch(config: TrialConfig, rounds: int) -> float:
    """Processor time of an epoch, the least over trials; what comes before the first epoch's end is not counted."""
    least = float("inf")
    for _ in range(rounds):
        results = run_trial(config, device="cpu")
        next(results)
        start = time.process_time()
        epochs = sum(1 for _ in results)
        least = min(least, (time.process_time() - start) / epochs)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| network | µs a step of 32 rows | epochs/s | µs a step of all rows | epochs/s |\n|---|---|---|---|---|")
    for name, basis in BASES.items():
        cells = []
        for batch_size, steps, epochs in ((32, 15, options.epochs), ("all", 1, 5 * options.epochs)):
            seconds = seconds_an_epoch(configuration(basis, batch_size, epochs), options.rounds)
            cells.append(f"{1e6 * seconds / steps:.0f} | {1 / seconds:.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
