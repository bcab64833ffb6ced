"""How many of the Feynman formulas does `kansearch symbolic` find again?

    python -m tests.benchmarks.symbolic [--noise 0.01] [--variables 3] [--seconds 30] [--out FILE]

All formulas of `trials.data.tables.feynman` with at most so many variables, those with the fewest first. 1,000 points
of which 200 are held out, and 1,000 test points without noise. Each network is trained in this process: float64, AdamW,
then L-BFGS, on a grid that is refined once, with penalties on weights and on the entropy of edges; pruned, and trained
again without penalties. The shapes of SHAPES are tried in their order, then again with another seed. It ends with a
formula that is no worse on the held-out points than its network and has no constant that is not a simple number, or
once --seconds of processor time are spent. A run that ended early goes on with the same command.

The formula with the best score on the held-out points (see `score`) is the answer. It is recovered if its nRMSE is
below 1e-4 on the test points, and below 1e-3 on points of ranges wider by half: from low / 1.5 to 1.5 high, where the
true formula is finite. A formula of another structure that is near by chance inside the ranges leaves the truth there.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trials.config import LBFGSConfig, TrialConfig
from trials.data.splits import load_training
from trials.data.tables.feynman import EQUATIONS
from trials.data.tables.generated import drawn_of
from trials.saved.compress.rounds import prune_and_train
from trials.saved.compress.within import validation_error
from trials.saved.symbolic.front import WrittenFormula, formulas_of
from trials.saved.trained import describe_model, open_model, write_model
from trials.training.run import run_trial

SHAPES: list[tuple[list[int], int]] = [([1], 0), ([1], 1), ([2, 1], 0), ([2, 1], 1)]
"""Hidden nodes of each layer, and how many of them are products."""
ADAM, LBFGS, AGAIN = 60, 25, 8
"""Epochs of AdamW, of L-BFGS, and of L-BFGS after pruning; an epoch of L-BFGS has 20 iterations."""
HOPELESS = 0.2, 0.05
"""nRMSE on the held-out points above which a network is not pruned, and not searched."""
TEST_LIMIT, WIDE_LIMIT = 1e-4, 1e-3


def config_of(equation: str, widths: list[int], multiply: int, seed: int, noise: float) -> TrialConfig:
    epochs = ADAM + LBFGS
    return TrialConfig.model_validate(
        {
            "data": {
                "dataset": "feynman",
                "equation": equation,
                "samples": 1000,
                "noise": noise,
                "validation": 0.2,
                "batch_size": "all",
            },
            "model": {
                "family": "mlp",
                "widths": widths,
                "multiply": multiply,
                "basis": {"name": "bspline", "grid_size": 8},
            },
            "optimizer": {"name": "adamw_lbfgs", "lr": 0.05, "switch": ADAM / epochs},
            "regularization": {"l1_weight": 1e-4, "edge_entropy": 3e-3},
            "grid_schedule": {"extensions": 1, "until": (ADAM + LBFGS / 2) / epochs},
            "adapt_grid": {"times": 3, "until": ADAM / epochs},
            "precision": "float64",
            "epochs": epochs,
            "seed": seed,
        }
    )


def train(config: TrialConfig, folder: Path) -> float:
    """Leave a trained and pruned model in a folder; its nRMSE on the held-out points."""
    *_, last = run_trial(config, device="cpu", weights=folder / "model.safetensors")
    if last.nrmse > HOPELESS[0]:
        return float(last.nrmse)
    describe_model(config, folder, hold_out=True)
    model, _, manifest = open_model(folder)
    again = config.model_copy(update={"optimizer": LBFGSConfig(name="lbfgs", history_size=20, max_iter=20)})
    prune_and_train(model, again, 0.5, AGAIN, 1.0, None, lambda *_: None, lambda _: None)
    write_model(folder, model.network.state_dict(), manifest, config)
    _, held_out = load_training(config.data, torch.device("cpu"))
    assert held_out is not None
    return validation_error(held_out)(model.network)


def score(found: WrittenFormula, held_out: int = 200) -> float:
    """n log(error² + 1e-18) + log(n) complexity, n points held out: the Bayesian information criterion."""
    return held_out * math.log(found.error**2 + 1e-18) + math.log(held_out) * found.complexity


def wide_error(equation: str, text: str) -> float:
    """nRMSE on wider ranges, where the true formula is finite."""
    import sympy

    config = config_of(equation, [1], 0, 0, 0.0).data
    drawn = drawn_of(config)  # type: ignore[arg-type]
    rng = np.random.default_rng(1)
    at = {name: rng.uniform(low / 1.5, 1.5 * high, 2000) for name, (low, high) in drawn.ranges.items()}
    truth = np.asarray(drawn.compute(at))
    symbols = {name: sympy.Symbol(name) for name in drawn.ranges}
    formula = sympy.lambdify([*symbols.values()], sympy.sympify(text, locals=symbols), "numpy")
    with np.errstate(all="ignore"):
        found = np.broadcast_to(formula(*at.values()), truth.shape)
    kept = np.isfinite(truth)
    error = float(np.sqrt(np.square(found - truth)[kept].mean()) / truth[kept].std())
    return error if math.isfinite(error) else math.inf


def run(equation: str, noise: float, seconds: float) -> dict[str, Any]:
    """Find a formula, and compare it with the true one."""
    begun, cpu = time.monotonic(), time.process_time()
    found: list[WrittenFormula] = []
    networks: list[dict[str, Any]] = []
    for seed, (widths, multiply) in ((seed, shape) for seed in range(3) for shape in SHAPES):
        if time.process_time() - cpu > seconds:
            break
        with tempfile.TemporaryDirectory() as name:
            error = train(config_of(equation, widths, multiply, seed, noise), Path(name))
            own = formulas_of([Path(name)], seconds=5.0) if error < HOPELESS[1] else []
        found += own
        best = min(own, key=score, default=None)
        networks.append({"widths": widths, "multiply": multiply, "seed": seed,
                         "error": error, "formula": best and best.text})  # fmt: skip
        if best and best.error <= 1.02 * best.network_error and "." not in best.sympy:
            break
    chosen = min(found, key=score, default=None)
    wide = wide_error(equation, chosen.sympy) if chosen else math.inf
    test = chosen.test_error if chosen and chosen.test_error is not None else math.inf
    return {
        "equation": equation,
        "true": EQUATIONS[equation][0],
        "found": chosen and chosen.text,
        "recovered": test < TEST_LIMIT and wide < WIDE_LIMIT,
        "test_error": test if math.isfinite(test) else None,
        "wide_error": wide if math.isfinite(wide) else None,
        "network_test_error": chosen and chosen.network_test_error,
        "complexity": chosen and chosen.complexity,
        "networks": networks,
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--variables", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [
        equation
        for equation in EQUATIONS
        if len(drawn_of(config_of(equation, [1], 0, 0, 0.0).data).ranges) <= options.variables  # type: ignore[arg-type]
    ]
    chosen.sort(key=lambda equation: len(drawn_of(config_of(equation, [1], 0, 0, 0.0).data).ranges))  # type: ignore[arg-type]
    record = {"noise": options.noise, "rule": f"at most {options.variables} variables", "seconds": options.seconds}
    rows: list[dict[str, Any]] = []
    if options.out and options.out.exists():
        before = json.loads(options.out.read_text())
        rows = before.pop("rows")
        assert before == record, "another run's file"
    done = {row["equation"] for row in rows}
    for equation in [each for each in options.only or chosen if each not in done]:
        row = run(equation, options.noise, options.seconds)
        rows.append(row)
        print(
            f"{equation:9} {'found' if row['recovered'] else '-':6} {row['seconds']:5.0f} s  {row['found']}", flush=True
        )
        if options.out:
            options.out.write_text(json.dumps({**record, "rows": rows}, indent=1) + "\n")
    found = sum(row["recovered"] for row in rows)
    print(f"{found} of {len(rows)} recovered ({found / len(rows):.0%}), noise {options.noise:g}")


if __name__ == "__main__":
    main()
