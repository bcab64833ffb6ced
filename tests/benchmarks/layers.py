"""Time and memory of each basis against plain convolutions: `python -m tests.benchmarks.layers [--device cuda]`.

Every layer maps N=64 images of 16 channels and 28x28 pixels to 32 channels with a 3x3 kernel, forward and backward.
"same" is the plain convolution of the same 16 channels, "equal" the one of as many channels as the layer's planes,
whose input is there already: what the expansion costs beyond the multiplications that F functions an edge need anyway.
The three are timed in turn, round after round, and the medians are compared. "saved" is what autograd keeps for the
backward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan import BASES, KANConv2d

SHAPE, OUT = (64, 16, 28, 28), 32


def step_of(layer: nn.Module, channels: int, device: str) -> Callable[[], None]:
    """One forward and backward pass, gradients of input and weights."""
    x = torch.randn(SHAPE[0], channels, *SHAPE[2:], device=device, requires_grad=True)
    grad = torch.randn(SHAPE[0], OUT, *SHAPE[2:], device=device)

    def step() -> None:
        x.grad = None
        layer.zero_grad()
        layer(x).backward(grad)

    return step


def seconds(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def saved_mib(layer: nn.Module, channels: int, device: str) -> float:
    """Memory that the graph of one forward pass keeps, without the parameters."""
    kept: dict[int, int] = {}
    parameters = {p.data_ptr() for p in layer.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    x = torch.randn(SHAPE[0], channels, *SHAPE[2:], device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(kept.values()) / 2**20


def row(name: str, rounds: int, device: str) -> str:
    layer = KANConv2d(SHAPE[1], OUT, 3, padding=1, basis=name).to(device)
    widths = (SHAPE[1], SHAPE[1], SHAPE[1] * layer.planes)
    layers = (layer, *(nn.Conv2d(width, OUT, 3, padding=1).to(device) for width in widths[1:]))
    steps = [step_of(layer, width, device) for layer, width in zip(layers, widths, strict=True)]
    for step in steps:
        step()
    times = [[seconds(step, device) for step in steps] for _ in range(rounds)]
    ours, same, equal = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    saved = saved_mib(layer, SHAPE[1], device)
    expanded = saved_mib(layers[2], widths[2], device)
    return (
        f"{name:<10} {layer.planes:>6} {ours:>8.1f} {same:>8.1f} {equal:>8.1f} {ours / same:>7.2f} "
        f"{ours / equal:>7.2f} {saved:>10.1f} {expanded:>10.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's")
    parser.add_argument("--basis", nargs="*", default=sorted(BASES), choices=sorted(BASES))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"torch {torch.__version__}, {where}, float32, {SHAPE} -> {OUT} channels, 3x3, {options.rounds} rounds")
    print(f"{'basis':<10} {'planes':>6} {'ms':>8} {'same':>8} {'equal':>8} {'x same':>7} {'x equal':>7} ", end="")
    print(f"{'saved MiB':>10} {'equal MiB':>10}")
    for name in options.basis:
        print(row(name, options.rounds, options.device), flush=True)


if __name__ == "__main__":
    main()
