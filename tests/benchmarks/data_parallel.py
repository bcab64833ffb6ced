"""One network trained by two GPUs: `python -m tests.benchmarks.data_parallel`, on a machine with two.

First the arithmetic: gradients of one batch by two processes against one process' gradients of the whole batch, and the
loss of some steps, step by step and from a CUDA graph. In float32 they agree to rounding, 1e-5 or less, unless
something is wrong. Then speed and loss: a ResNet-18 on 50,000 images of 32x32, of a batch of 512 (256 a GPU), bfloat16.
`own` has batch normalisation over each process' part. On a machine without a GPU the processes are on CPUs (gloo).
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import multiprocessing, nn

from trials.config import TrialConfig
from trials.data.splits import Split
from trials.training.distributed import ALONE, Processes, join
from trials.training.epoch import EagerEpoch, build_epoch
from trials.training.optim import build_optimizer, learning_rate
from trials.training.run import build_on, use_threads
from trials.training.step import backward, working_precision

CHECKED = 101
"""Images of a batch that doesn't divide by two."""


def config_of(options: argparse.Namespace, **changes: Any) -> TrialConfig:
    model = {"family": "resnet", "depth": 18, "width": options.width, "basis": {"name": options.basis}}
    model |= {"normalization": changes.pop("normalization", "batch"), "affine": True, "base_activation": "relu"}
    data = {"dataset": "cifar10", "batch_size": changes.pop("batch_size", options.batch)}
    return TrialConfig.model_validate({"data": data, "model": model, "schedule": "one_cycle", **changes})


def learnable_split(count: int, device: torch.device) -> Split:
    """Ten faint patterns under noise, the same in each process: loss falls slowly, and not to 0."""
    generator = torch.Generator(device).manual_seed(0)
    labels = torch.randint(10, (count,), generator=generator, device=device)
    patterns = torch.randn(10, 3, 32, 32, generator=generator, device=device)
    pixels = torch.empty(count, 3, 32, 32, dtype=torch.uint8, device=device)
    for part, here in zip(pixels.split(5000), labels.split(5000), strict=True):
        noise = torch.randn(part.shape, generator=generator, device=device)
        part.copy_((127.5 + 50 * (noise + 0.05 * patterns[here])).clamp(0, 255))
    middle = torch.full((3,), 127.5, device=device)
    return Split(pixels, labels, middle, middle / 2.5)


def prepared(config: TrialConfig, split: Split, processes: Processes, graphs: bool) -> tuple[nn.Module, EagerEpoch]:
    torch.manual_seed(config.seed)
    model = build_on(config, split.device)
    return model, build_epoch(config, model, build_optimizer(config.optimizer, model), split, graphs, processes)


# -- the arithmetic ---------------------------------------------------------------------------------------------------


def gradient_difference(config: TrialConfig, split: Split, processes: Processes) -> float:
    """‖g - g'‖ / ‖g‖ of one process' gradients g and those of all processes."""
    torch.manual_seed(0)
    alone = build_on(config, split.device)
    shared = copy.deepcopy(alone)
    network = processes.wrap(shared)
    precision = working_precision(config.precision, split.device)
    images, labels = split.normalised(split.images[:CHECKED]), split.labels[:CHECKED]
    chosen = processes.part(torch.arange(CHECKED, device=split.device)[None])[0]
    backward(alone, config.regularization, images, labels, precision)
    weight = len(chosen) / CHECKED * processes.size
    backward(network, config.regularization, images[chosen], labels[chosen], precision, weight)
    pairs = [(p.grad, q.grad) for p, q in zip(alone.parameters(), shared.parameters(), strict=True)]
    ours, theirs = (
        torch.cat([each.flatten() for each in side if each is not None]) for side in zip(*pairs, strict=True)
    )
    return float((ours - theirs).norm() / ours.norm())


def losses_of_steps(config: TrialConfig, split: Split, processes: Processes, graphs: bool) -> list[float]:
    """The loss of each step, as epochs of one step."""
    one = Split(split.images[: config.data.batch_size], split.labels[: config.data.batch_size], split.mean, split.std)
    _, epoch = prepared(config, one, processes, graphs)
    return [float(epoch(number, [1e-3])) for number in range(6)]


def check(options: argparse.Namespace, split: Split, processes: Processes) -> None:
    """Print how far several processes are from one."""
    on_cuda = split.device.type == "cuda"
    say = partial(print, flush=True) if processes.rank == 0 else lambda *_: None
    for normalization in ("layer", "batch") if on_cuda else ("layer",):
        for precision in ("float32", "bfloat16"):
            config = config_of(options, normalization=normalization, precision=precision, batch_size=CHECKED)
            say(
                f"{normalization:<6} {precision:<9} gradients differ by",
                f"{gradient_difference(config, split, processes):.1e}",
            )
        config = config_of(options, normalization=normalization, precision="float32", batch_size=CHECKED)
        expected = losses_of_steps(config, split, ALONE, False)
        for name, who, graphs in [
            ("1, graph", ALONE, True),
            ("2, eager", processes, False),
            ("2, graph", processes, True),
        ]:
            if on_cuda or not graphs:
                found = losses_of_steps(config, split, who, graphs)
                differences = [abs(a / b - 1) for a, b in zip(found, expected, strict=True)]
                say(
                    f"{normalization:<6} float32   losses of 6 steps, {name}:", *(f"{each:.1e}" for each in differences)
                )


# -- speed and loss ---------------------------------------------------------------------------------------------------


@contextmanager
def own_statistics() -> Iterator[None]:
    """Leave batch normalisation as it is: over each process' part of the batch."""
    convert = nn.SyncBatchNorm.convert_sync_batchnorm
    nn.SyncBatchNorm.convert_sync_batchnorm = classmethod(lambda cls, model: model)  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.SyncBatchNorm.convert_sync_batchnorm = convert  # type: ignore[method-assign]


def measure(config: TrialConfig, split: Split, processes: Processes, graphs: bool, epochs: int) -> dict[str, Any]:
    """Images a second of the epochs after the first, seconds of the setup, and the loss of the last epoch."""
    start = time.perf_counter()
    _, epoch = prepared(config, split, processes, graphs)
    setup, steps, speeds, loss = time.perf_counter() - start, len(split) // config.data.batch_size, [], float("nan")
    for number in range(epochs):
        rates = [learning_rate("one_cycle", 2e-3, number * steps + step, epochs * steps) for step in range(steps)]
        start = time.perf_counter()
        loss = float(epoch(number, rates))
        speeds.append(steps * config.data.batch_size / (time.perf_counter() - start))
    return {"images_per_second": statistics.median(speeds[1:] or speeds), "setup": setup, "loss": loss}


def work(rank: int, size: int, options: argparse.Namespace, folder: str) -> None:
    """One of `size` processes: check and measure; the first one writes what it found."""
    on_cuda = torch.cuda.is_available()
    device, processes = f"cuda:{rank}" if on_cuda else "cpu", Processes(rank, size)
    use_threads(max(1, (torch.get_num_threads() // size)))
    join(processes, device, f"{folder}/meeting-{size}")
    split, found = learnable_split(options.images, torch.device(device)), {}
    if size > 1:
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False, allow_tf32=False):
            check(options, split, processes)
    modes: list[tuple[str, bool, bool]] = [("eager", False, False)]
    modes += [("graph", True, False)] if on_cuda else []
    modes += [("graph, own", True, True)] if on_cuda and size > 1 else []
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        for name, graphs, own in modes if not options.check else ():
            for seed in range(options.seeds if graphs or not on_cuda else 1):
                config = config_of(options, seed=seed)
                with own_statistics() if own else nullcontext():
                    row = measure(config, split, processes, graphs, options.epochs)
                found.setdefault(name, []).append(row)
    if rank == 0:
        Path(folder, f"{size}.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # NCCL waits for ever for a graph that is still there


def report(found: dict[int, dict[str, list[dict[str, Any]]]]) -> None:
    """Print a row for each way to train, beside the fastest of one GPU."""
    best = max(row["images_per_second"] for rows in found[1].values() for row in rows)
    print(f"{'processes':<24} {'images/s':>10} {'ratio':>6} {'setup s':>8}  loss of each seed")
    for size, modes in found.items():
        for name, rows in modes.items():
            speed, setup = (statistics.median(row[key] for row in rows) for key in ("images_per_second", "setup"))
            losses = " ".join(f"{row['loss']:.4f}" for row in rows)
            print(f"{f'{size}, {name}':<24} {speed:>10,.0f} {speed / best:>6.2f} {setup:>8.2f}  {losses}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=512, help="of all processes together")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2, help="of each captured run")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--basis", default="none", help="none: convolutions; gram and others: KAN convolutions")
    parser.add_argument("--check", action="store_true", help="the arithmetic alone")
    options = parser.parse_args(arguments)
    where = f"2 of {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "CPUs"
    print(f"torch {torch.__version__}, {where}; ResNet-18, basis {options.basis}, batch {options.batch}", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in (2,) if options.check else (2, 1):
            multiprocessing.spawn(work, (size, options, folder), nprocs=size)  # type: ignore[no-untyped-call]
            found[size] = json.loads(Path(folder, f"{size}.json").read_text())
    if not options.check:
        report(dict(sorted(found.items())))


if __name__ == "__main__":
    main()
