"""Special functions against KANbeFair's results: `python -m tests.benchmarks.special [--table]`.

Ten functions of two arguments in (0, 1), 1,000 points to learn and 1,000 to test, as in KANbeFair (arXiv 2407.16674,
github.com/yu-rp/KANbeFair). Its `results/results.csv` has the test figure of each training after 500 epochs; it is
called RMSE there and is a mean absolute error. `PUBLISHED` has the best KAN's and the best MLP's: chosen on the test
points, of 239 to 324 KANs and 52 to 58 MLPs for each function.

Here a KAN has five candidates, an MLP two. All but the last two KANs, of two nodes and of none, are filled up to the
published network's parameters, MLPs to 800 at most. Where a function is singular two KANs and one MLP are trained, by
two losses each. 100 of the 1,000 points are held out and choose the candidate; the test points measure it. Training is
L-BFGS in float64 on 900 points, at most 1,200 steps of a line search. `jv`, `yv`, `kv` and `iv` there are the
functions' derivatives. They grow without bound near 0: their mean error is that of a few points, and so depends on the
draw.

Each training appends a line to `--out`; those that are there are not run again. `--table` prints what is there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.side_by_side import parse_lines
from trials.config import TrialConfig
from trials.measure.sizes import count_parameters
from trials.results import TEST
from trials.training import train_seed
from trials.training.loop import TrialDiverged

RECORDS = Path(__file__).parent / "records/special/runs.jsonl"
PUBLISHED: dict[str, dict[str, tuple[float, int]]] = {
    "ellipeinc": {"kan": (5.91e-5, 426), "mlp": (6.91e-4, 20601)},
    "ellipkinc": {"kan": (7.78e-5, 396), "mlp": (7.87e-4, 10501)},
    "lpmv0": {"kan": (1.71e-4, 381), "mlp": (8.82e-4, 7851)},
    "lpmv1": {"kan": (4.82e-4, 396), "mlp": (1.34e-3, 10501)},
    "sph_harm01": {"kan": (1.69e-6, 3591), "mlp": (1.60e-4, 2751)},
    "sph_harm02": {"kan": (3.13e-6, 861), "mlp": (4.05e-4, 7851)},
    "jvp": {"kan": (0.1282, 1461), "mlp": (0.1261, 7851)},
    "ivp": {"kan": (0.1331, 1461), "mlp": (0.1216, 7851)},
    "kvp": {"kan": (1390.6, 2451), "mlp": (1336.0, 30701)},
    "yvp": {"kan": (878.2, 1836), "mlp": (845.1, 30701)},
}
"""Test MAE and parameters of the best network of each arm, by our names."""
_SINGULAR = ("jvp", "ivp", "kvp", "yvp")
_MOST = 800
_SHAPES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "kan": (("bspline", 1, 10), ("bspline", 1, 20), ("bspline", 2, 5), ("bspline", 1, 40, 2), ("bspline", 0, 40, 1)),
    "mlp": (("silu", 2), ("gelu", 2)),
}
"""B-splines with hidden layers, grid size, and the most nodes of a layer; MLPs with hidden layers."""


def candidates(function: str, arm: str) -> Iterator[TrialConfig]:
    """Networks of as many parameters as may be, each with two losses where the function is singular."""
    most = PUBLISHED[function][arm][1] if arm == "kan" else min(PUBLISHED[function][arm][1], _MOST)
    singular = function in _SINGULAR
    shapes = _SHAPES[arm][:: 3 if arm == "kan" else 2] if singular else _SHAPES[arm]
    for shape, loss in product(shapes, ("mse", "mae") if singular else ("mse",)):
        fitting = [
            config
            for width in range(1, shape[3] + 1 if len(shape) > 3 else 101)
            if count_parameters(config := _configuration(function, shape, width, loss)) <= most
        ]
        yield fitting[-1]


def _configuration(function: str, shape: tuple[Any, ...], width: int, loss: str) -> TrialConfig:
    model: dict[str, Any] = {"family": "mlp", "depth": shape[1], "width": width}
    if shape[0] == "bspline":
        model |= {"basis": {"name": "bspline", "grid_size": shape[2]}, "init": "power_law"}
    else:
        model |= {"basis": {"name": "none"}, "base_activation": shape[0]}
    data = {"dataset": "special", "special": function, "samples": 1000, "test_samples": 1000, "make_seed": 0}
    return TrialConfig.model_validate(
        {
            "data": data | {"validation": 0.1, "batch_size": 1000},
            "model": model,
            "loss": {"name": loss},
            "optimizer": {"name": "lbfgs", "max_iter": 20, "history_size": 50},
            "epochs": 60,
            "precision": "float64",
        }
    )


def train(function: str, arm: str, config: TrialConfig) -> dict[str, Any]:
    """Train one candidate; a record with its error on the held-out points and on the test points."""
    start = time.process_time()
    record: dict[str, Any] = {"function": function, "arm": arm, "network": _name(config)}
    try:
        with tempfile.TemporaryDirectory(prefix="kansearch-special-") as folder:
            last = list(train_seed(config, Path(folder), keep=False, hold_out=True, device="cpu"))[-1]
        record |= {"validation_mae": last["mae"], "test_mae": last[TEST]["mae"], "parameters": last["parameters"]}
    except TrialDiverged as error:
        record["failed"] = str(error)
    return record | {"cpu_seconds": round(time.process_time() - start, 1)}


def _name(config: TrialConfig) -> str:
    model = config.model.model_dump()
    basis = model["basis"]
    kind = f"bspline({basis['grid_size']},3)" if basis["name"] == "bspline" else model["base_activation"]
    return f"{kind} {model['depth']}x{model['width']} {config.loss.name}"


def table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Markdown: a line for each function, and on how many each arm is below the published one."""
    yield "| function | KAN | parameters | published | parameters | MLP | parameters | published | parameters |"
    yield "|" + 9 * "---|"
    below = {"kan": 0, "mlp": 0}
    functions = [name for name in PUBLISHED if any(each["function"] == name for each in records)]
    for function in functions:
        cells = [function]
        for arm, (error, size) in PUBLISHED[function].items():
            rows = [
                each for each in records if (each["function"], each["arm"]) == (function, arm) and "test_mae" in each
            ]
            if not rows:
                cells.append(f"- | - | {error:.3g} | {size:,}")
                continue
            chosen = min(rows, key=lambda row: float(row["validation_mae"]))
            below[arm] += chosen["test_mae"] < error
            cells.append(f"{chosen['test_mae']:.2e} | {chosen['parameters']:,} | {error:.2e} | {size:,}")
        yield f"| {' | '.join(cells)} |"
    seconds = sum(each["cpu_seconds"] for each in records)
    yield (
        f"\nBelow the published KAN: {below['kan']} of {len(functions)}; below the published MLP: {below['mlp']} of "
        f"{len(functions)}. {len(records)} trainings, {seconds / 60:.1f} CPU minutes"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--functions", nargs="+", default=list(PUBLISHED), choices=list(PUBLISHED))
    parser.add_argument("--out", type=Path, default=RECORDS, help="file of the records")
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = {(each["function"], each["arm"], each["network"]) for each in parse_lines(options.out)}
    for function, arm in product([] if options.table else options.functions, ("kan", "mlp")):
        for config in candidates(function, arm):
            if (function, arm, _name(config)) not in done:
                record = json.dumps(train(function, arm, config))
                print(record, flush=True)
                with options.out.open("a") as file:
                    file.write(record + "\n")
    print("\n".join(table(parse_lines(options.out))))


if __name__ == "__main__":
    main()
