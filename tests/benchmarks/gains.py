"""How gradients grow through new layers of each basis: `python -m tests.benchmarks.gains [--digits]`.

Eight times a normalisation without weights and a KAN convolution of 32 channels, 10x10 pixels, with SiLU as base
branch. "gain" is that of the basis alone, Σ E[φ'²] / Σ Var φ for normal inputs, "share" the basis' part of the output's
first variance. For each kind of first weights follow the least and the largest variance of an output, and the standard
deviation of the gradient behind the first layer over that behind the eighth.

With --digits each is trained instead: scikit-learn's digits, family plain, depth 5, 8 channels, AdamW of 5e-3, a tenth
of the training images held out, another tenth for each seed. The table has the mean accuracy of the last epoch there.
"""

from __future__ import annotations

import argparse
import platform
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from trials.config import TrialConfig
from trials.kan import BASES, KANConv2d
from trials.kan.layer import balanced_share, base_integrals
from trials.training.run import run_trial

__all__ = ["CASES", "FIRST_WEIGHTS", "gradient_ratio"]

CASES: dict[str, dict[str, Any]] = {
    "gram 1": {"name": "gram", "degree": 1},
    "gram 3": {"name": "gram"},
    "gram 6": {"name": "gram", "degree": 6},
    "bernstein 3": {"name": "bernstein"},
    "legendre 3": {"name": "legendre"},
    "jacobi 3": {"name": "jacobi"},
    "chebyshev 3": {"name": "chebyshev"},
    "chebyshev 5": {"name": "chebyshev", "degree": 5},
    "relu 5": {"name": "relu"},
    "bspline 5": {"name": "bspline"},
    "bspline 10": {"name": "bspline", "grid_size": 10},
    "rbf 4": {"name": "rbf", "grid_size": 4},
    "rbf 8": {"name": "rbf"},
    "rbf 8, tanh2": {"name": "rbf", "kernel": "tanh2"},
    "rbf 8, sech, learnable": {"name": "rbf", "kernel": "sech", "learnable": True},
    "sine 8": {"name": "sine"},
    "fourier 1": {"name": "fourier", "grid_size": 1},
    "fourier 2": {"name": "fourier", "grid_size": 2},
    "fourier 4": {"name": "fourier"},
    **{
        f"{kind} {count}": {"name": "wavelet", "kind": kind, "count": count}
        for kind, count in (("mexican_hat", 4), ("morlet", 3), ("dog", 4), ("meyer", 4), ("shannon", 4))
    },
}
"""Bases with their usual sizes, as documents of their configurations."""
FIRST_WEIGHTS: dict[str, dict[str, Any]] = {
    "share 1/2": {"basis_share": 0.5},
    "default": {},
    "power law": {"init": "power_law"},
}
"""Fields of a layer, and of a model's configuration."""
DEPTH, CHANNELS, SIDE = 8, 32, 10


def gradient_ratio(basis: dict[str, Any], seed: int = 0, **options: Any) -> tuple[list[float], float]:
    """Variance of each layer's output, and the gradient's standard deviation behind layer 1 over layer 8."""
    torch.manual_seed(seed)
    arguments = {key: each for key, each in basis.items() if key != "name"}
    x = torch.randn(32, CHANNELS, SIDE, SIDE)
    outputs = []
    for _ in range(DEPTH):
        layer = KANConv2d(CHANNELS, CHANNELS, 3, padding=1, basis=BASES[basis["name"]](**arguments), **options)
        x = layer(nn.BatchNorm2d(CHANNELS, affine=False)(x))
        x.retain_grad()
        outputs.append(x)
    x.backward(torch.randn_like(x))
    first, last = (outputs[i].grad for i in (0, -1))
    assert first is not None and last is not None
    return [each.var().item() for each in outputs], (first.std() / last.std()).item()


def gains_row(name: str) -> str:
    basis = CASES[name]
    arguments = {key: each for key, each in basis.items() if key != "name"}
    own = BASES[basis["name"]](**arguments).integrals()
    gain = (own.slope.sum() / own.variance.sum()).item()
    share = float(balanced_share(own, base_integrals(F.silu, torch.device("cpu"))))
    cells = []
    for options in FIRST_WEIGHTS.values():
        variances, ratio = gradient_ratio(basis, **options)
        cells.append(f"{min(variances):.2f} to {max(variances):.2f} | {ratio:,.2f}")
    return f"| {name} | {gain:.2f} | {share:.3f} | {' | '.join(cells)} |"


def accuracy(basis: dict[str, Any], epochs: int, seed: int, **fields: Any) -> float:
    """Of the last epoch, on the images held out."""
    config = TrialConfig.model_validate({
        "data": {"dataset": "digits", "batch_size": 64, "split_seed": seed},
        "model": {"depth": 5, "width": 8, "growth": 1, "basis": basis, **fields},
        "optimizer": {"name": "adamw", "lr": 5e-3},
        "epochs": epochs,
        "seed": seed,
    })  # fmt: skip
    *_, last = run_trial(config, device="cpu")
    assert last.accuracy is not None
    return last.accuracy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--digits", action="store_true", help="train instead")
    parser.add_argument("--basis", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--epochs", type=int, default=10, help="of each training")
    parser.add_argument("--seeds", type=int, default=2, help="trainings of each")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {platform.machine()}, CPU, {options.threads} threads\n")
    if not options.digits:
        weights = " | ".join(f"{name}: variance | ratio" for name in FIRST_WEIGHTS)
        print(f"| basis | gain | share | {weights} |\n|{'---|' * 9}")
        for name in options.basis:
            print(gains_row(name), flush=True)
        return
    print(f"{options.epochs} epochs, {options.seeds} seeds\n")
    print(f"| basis | {' | '.join(FIRST_WEIGHTS)} |\n|{'---|' * 4}")
    for name in options.basis:
        means = [
            sum(accuracy(CASES[name], options.epochs, seed, **fields) for seed in range(options.seeds)) / options.seeds
            for fields in FIRST_WEIGHTS.values()
        ]
        print(f"| {name} | {' | '.join(f'{each:.3f}' for each in means)} |", flush=True)


if __name__ == "__main__":
    main()
