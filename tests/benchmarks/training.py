"""Training speed of published networks made of our layers: `python -m tests.benchmarks.training [--device cuda]`.

The data are random bytes that lie on the device: as many images, pixels and classes as Fashion-MNIST (batch 128) and
CIFAR-10 (batch 64) have. A step is shuffling, normalisation, forward and backward pass and AdamW, as a trial does it:
on CUDA in bfloat16, channels last, replayed from one CUDA graph. "setup" is what a trial waits for before its first
step: warm-up and capture, with all kernels loaded. "beyond" is the peak memory less the data, weights, gradients and
optimizer's state.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from tests.benchmarks.networks import DEEP_NETS, SHALLOW_NETS, SMALL_NETS
from trials.config import AdamWConfig, TrialConfig
from trials.data.shape import DataShape
from trials.data.splits import Split, random_split
from trials.training.epoch import EagerEpoch, build_epoch
from trials.training.optim import build_optimizer

GROUPS = {
    "small": (SMALL_NETS, "fashion_mnist", 1, 28, 128, 60_000),
    "deep": (DEEP_NETS, "cifar10", 3, 32, 64, 50_000),
    "shallow": (SHALLOW_NETS, "cifar10", 3, 32, 64, 50_000),
}
"""Networks, what their data are as large as, channels, pixels, batch and images of an epoch."""


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def place(build: Callable[[], nn.Module], device: str) -> nn.Module:
    torch.manual_seed(0)
    layout = torch.channels_last if device == "cuda" else torch.preserve_format
    model: nn.Module = build().to(device, memory_format=layout)
    return model


def measure(
    build: Callable[[], nn.Module], config: TrialConfig, split: Split, graphs: bool | None
) -> tuple[int, float, float, float, EagerEpoch]:
    """Parameters, seconds of a second setup, steps a second (the median of three epochs), peak MiB, and the epoch."""
    device = split.images.device.type
    warm = place(build, device)
    build_epoch(config, warm, build_optimizer(config.optimizer, warm), split, graphs)  # loads what is loaded once
    del warm
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    model = place(build, device)
    optimizer = build_optimizer(config.optimizer, model)
    synchronize(device)
    start = time.perf_counter()
    epoch = build_epoch(config, model, optimizer, split, graphs)
    synchronize(device)
    setup = time.perf_counter() - start
    steps = len(split) // config.data.batch_size
    seconds = []
    for number in range(4):
        start = time.perf_counter()
        loss = epoch(number, [1e-3] * steps).item()
        seconds.append(time.perf_counter() - start)
    assert loss == loss, "the loss is not a number"
    peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else float("nan")
    parameters = sum(p.numel() for p in epoch.model.parameters())
    return parameters, setup, steps / statistics.median(seconds[1:]), peak, epoch


def profile(epoch: EagerEpoch, steps: int, rows: int) -> None:
    """Print the kernels that take most of a step's time on the device."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        epoch(9, [1e-3] * steps)
        torch.cuda.synchronize()
    events = [event for event in profiler.key_averages() if event.device_time_total]
    total = sum(event.device_time_total for event in events)
    print(f"    {total / steps:.1f} us of kernels a step, {sum(e.count for e in events) / steps:.1f} kernels")
    for event in sorted(events, key=lambda event: -event.device_time_total)[:rows]:
        print(f"    {event.device_time_total / steps:8.1f} us {event.count / steps:6.1f} x {event.key[:110]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--group", nargs="*", default=list(GROUPS), choices=list(GROUPS))
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--steps", type=int, help="steps timed at once; default: an epoch")
    parser.add_argument("--precision", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--eager", action="store_true", help="without CUDA graphs")
    parser.add_argument("--profile", type=int, metavar="ROWS", help="print the slowest kernels of each network")
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, {where}, {options.precision} precision")
    for group in options.group:
        networks, dataset, channels, pixels, batch, images = GROUPS[group]
        steps = options.steps or images // batch
        split = random_split(DataShape(channels, (pixels, pixels), 10), steps * batch, torch.device(options.device))
        data_mib = sum(t.nbytes for t in (split.images, split.labels)) / 2**20
        config = TrialConfig.model_validate(
            {"data": {"dataset": "fashion_mnist", "batch_size": batch}, "precision": options.precision}
        ).model_copy(update={"optimizer": AdamWConfig(name="adamw", lr=1e-3)})
        print(f"\n{group}: {channels}x{pixels}x{pixels} as {dataset}, batch {batch}, epochs of {images:,} images")
        print(f"{'network':<26} {'parameters':>11} {'setup s':>8} {'steps/s':>9} {'s/epoch':>8} ", end="")
        print(f"{'peak MiB':>9} {'beyond':>8}")
        for name, build in networks.items():
            if options.only.lower() not in name.lower():
                continue
            with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
                parameters, setup, speed, peak, epoch = measure(build, config, split, False if options.eager else None)
                beyond = peak - data_mib - 16 * parameters / 2**20
                print(
                    f"{name:<26} {parameters:>11,} {setup:>8.2f} {speed:>9.1f} {images // batch / speed:>8.2f} "
                    f"{peak:>9.0f} {beyond:>8.0f}",
                    flush=True,
                )
                if options.profile and options.device == "cuda":
                    profile(epoch, steps, options.profile)
            del epoch


if __name__ == "__main__":
    main()
