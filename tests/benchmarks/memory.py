"""Estimated against measured peak memory of training: `python -m tests.benchmarks.memory [--device cuda]`.

Each configuration is trained for an epoch on random images. On a CPU the allocations that torch's profiler sees are
added up, on a GPU `torch.cuda.max_memory_allocated` is read; neither is the process' resident set.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from trials.config import TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import random_split
from trials.measure.memory import estimate_memory
from trials.models import build_network
from trials.training.loop import train
from trials.training.optim import build_optimizer

LBFGS = {"name": "lbfgs", "history_size": 5}
PIXELS = {"dataset": "synthetic", "dense": True, "size": (24, 24), "classes": 5}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"model": {"basis": {"name": "none"}, "width": 24}},
    "plain, bottleneck": {"model": {"basis": {"name": "none"}, "width": 32, "bottleneck": 2}},
    "bspline": {"model": {"basis": {"name": "bspline"}}},
    "bspline, one large batch": {"model": {"basis": {"name": "bspline"}, "width": 8}, "batch_size": 256},
    "rbf, bottleneck, lion": {
        "model": {"basis": {"name": "rbf"}, "width": 32, "bottleneck": 4},
        "optimizer": {"name": "lion"},
    },
    "gram, layer norm": {"model": {"basis": {"name": "gram"}, "normalization": "layer", "depth": 5}},
    "gram, instance norm, strides": {
        "model": {"basis": {"name": "gram"}, "normalization": "instance", "downsampling": "stride"}
    },
    "wavelet, kan head, lbfgs": {
        "model": {"basis": {"name": "wavelet"}, "classifier": "kan", "width": 12},
        "optimizer": LBFGS,
    },
    "fourier, flatten, lbfgs": {
        "model": {"basis": {"name": "fourier"}, "head": "flatten", "width": 12},
        "optimizer": LBFGS,
    },
    "chebyshev, dropout of features": {
        "model": {"basis": {"name": "chebyshev"}, "dropout": 0.2, "perturbation": "degree"}
    },
    "bernstein, penalties": {
        "model": {"basis": {"name": "bernstein"}, "normalization": "none"},
        "regularization": {"l1_activation": 1e-4, "l2_activation": 1e-4},
    },
    "gram, mixture": {"model": {"basis": {"name": "gram"}, "experts": 3, "width": 8}},
    "relu, mixture, bottleneck": {"model": {"basis": {"name": "relu"}, "experts": 2, "bottleneck": 2}},
    "rational": {"model": {"basis": {"name": "rational"}, "width": 24}},
    "spline activation": {"model": {"basis": {"name": "spline_activation"}, "width": 24}},
    "power mlp, kan head": {"model": {"basis": {"name": "power_mlp"}, "width": 16, "classifier": "kan"}},
    "sine": {"model": {"basis": {"name": "sine"}}},
    "weights above all": {
        "model": {"basis": {"name": "bspline"}, "head": "flatten", "classifier": "kan", "width": 48, "depth": 2},
        "batch_size": 8,
    },
    "unet, plain": {"model": {"family": "unet", "width": 8, "depth": 3, "basis": {"name": "none"}}, "data": PIXELS},
    "unet, bspline, dice": {
        "model": {"family": "unet", "width": 8, "depth": 2, "size": "small"},
        "data": PIXELS,
        "regularization": {"dice": 1.0},
        "batch_size": 8,
    },
}


def config_of(case: dict[str, Any]) -> TrialConfig:
    """A case as a trial of one epoch of eight batches."""
    batch = case.get("batch_size", 32)
    images = 8 * batch + 64
    data = {"batch_size": batch, "limit": images, "validation": 64 / images}
    data |= case.get("data", {"dataset": "fashion_mnist"})
    rest = {key: value for key, value in case.items() if key not in ("batch_size", "data")}
    return TrialConfig.model_validate({"data": data, "epochs": 1, **rest})


def measured(config: TrialConfig, device: str = "cpu") -> float:
    """Most MiB of tensors at once while the configuration is trained on random images."""
    if device == "cuda":
        torch._C._cuda_clearCublasWorkspaces()  # those of the streams that earlier cases used
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        _train(config, device)
        return torch.cuda.max_memory_allocated() / 2**20
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _train(config, device)
    now = most = 0
    for event in profiler.profiler.kineto_results.events():  # type: ignore[union-attr]
        now += event.nbytes() if event.name() == "[memory]" else 0
        most = max(most, now)
    return most / 2**20


def _train(config: TrialConfig, device: str) -> None:
    held_out = round(config.data.limit * config.data.validation) if config.data.limit else 0
    counts = ((config.data.limit or 0) - held_out, held_out)
    splits = [random_split(data_shape(config.data), count, torch.device(device)) for count in counts]
    torch.manual_seed(config.seed)
    model = build_network(config).to(device)
    optimizer = build_optimizer(config.optimizer, model)
    for _ in train(config, model, optimizer, splits[0], splits[1], sizes={}):
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    device = parser.parse_args().device
    torch.set_num_threads(1)
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU, 1 thread"
    print(f"torch {torch.__version__}, {where}\n{'case':<32} {'estimate':>9} {'measured':>9} {'ratio':>6}  MiB")
    for name, case in CASES.items():
        config = config_of(case)
        estimate, real = estimate_memory(config, device), measured(config, device)
        print(f"{name:<32} {estimate:>9.1f} {real:>9.1f} {estimate / real:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
