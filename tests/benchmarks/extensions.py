"""Do extended grids ever give NaN? `python -m tests.benchmarks.extensions [--extensions 1000]`.

Trials with a grid schedule, of random networks, learning rates and functions, train until so many grids of networks
were extended. After an extension a trial trains one more epoch at least. Printed are the extensions, the trials whose
loss was not finite, and by how much the validation loss changed over the epochs that begin with an extension: the 99th
percentile of its ratio to that of the epoch before.
"""

from __future__ import annotations

import argparse
import random
import time
from typing import Any

import numpy as np
import torch

from trials.config import TrialConfig
from trials.training import run_trial
from trials.training.grids import changes_grids
from trials.training.loop import TrialDiverged


def configuration(draw: random.Random) -> TrialConfig:
    """A network at random, whose grid is extended one to four times in as many epochs and two."""
    factor, extensions = draw.choice([(2, 4), (2, 3), (3, 2), (2, 2), (5, 1)])
    grid = draw.randint(1, 3) * int(factor**extensions)
    model: dict[str, Any] = {"family": "mlp", "depth": draw.randint(0, 2), "width": draw.randint(1, 6)}
    basis = {"name": "bspline", "grid_size": grid, "spline_order": draw.randint(1, 5)}
    adamw = {"name": "adamw", "lr": 10 ** draw.uniform(-3, -1), "weight_decay": 0.0}
    lbfgs = {"name": "lbfgs", "max_iter": 5}
    special = draw.choice(["ellipeinc", "jv", "lpmv1", "sph_harm02", "kvp"])
    return TrialConfig.model_validate(
        {
            "data": {"dataset": "special", "special": special, "samples": 100, "test_samples": 2, "validation": 0.2}
            | {"batch_size": "all", "make_seed": draw.randint(0, 99)},
            "model": model | {"basis": basis, "init": draw.choice(["variance", "power_law"])},
            "optimizer": draw.choice([adamw, adamw, lbfgs]),
            "grid_schedule": {"extensions": extensions, "factor": factor, "until": 0.8},
            "precision": draw.choice(["float32", "float64"]),
            "epochs": 2 * extensions + 2,
            "seed": draw.randint(0, 999),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extensions", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    draw, start, done, trials, diverged = random.Random(0), time.process_time(), 0, 0, 0
    ratios: list[float] = []
    while done < options.extensions:
        config, before = configuration(draw), None
        trials += 1
        try:
            for epoch, result in enumerate(run_trial(config, device="cpu")):
                if changes_grids(config, epoch):
                    done += 1
                    if before:
                        ratios.append(float(result.validation_loss) / before)
                before = result.validation_loss
        except TrialDiverged as error:
            diverged += 1
            print(f"{error}: {config.model_dump_json()}", flush=True)
    print(
        f"{done:,} extensions in {trials:,} trials; {diverged} with a loss that is not finite; the validation loss of "
        f"an epoch with one is at most {np.quantile(ratios, 0.99):.3g} times that before (99th percentile), "
        f"{np.median(ratios):.3g} in the median; {time.process_time() - start:.0f} s of processor time"
    )


if __name__ == "__main__":
    main()
