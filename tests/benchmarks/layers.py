"""Time and memory of each basis against plain convolutions: `python -m tests.benchmarks.layers [--device cuda]`.

On a CPU every layer maps N=64 images of 16 channels and 28x28 pixels to 32 channels with a 3x3 kernel, in float32; on
CUDA 128 images of 64 channels and 32x32 pixels to 64 channels, in bfloat16, channels last, from a CUDA graph; forward
and backward. "same" is the plain convolution of the same channels, "equal" the one of as many channels as the layer's
planes, whose input is there already: what the expansion costs beyond the multiplications that F functions an edge need
anyway. The three are timed in turn, round after round, and the medians are compared. "saved" is what autograd keeps for
the backward pass.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan import BASES, KANConv2d
from trials.training.capture import capture

SHAPES = {"cpu": ((64, 16, 28, 28), 32), "cuda": ((128, 64, 32, 32), 64)}
"""Input, and channels of the output."""
REPLAYS = 20


def step_of(layer: nn.Module, channels: int, device: str) -> Callable[[], None]:
    """One forward and backward pass, gradients of input and weights; on CUDA `REPLAYS` of them."""
    shape, out = SHAPES[device]
    half = torch.bfloat16 if device == "cuda" else torch.float32
    layout = torch.channels_last if device == "cuda" else torch.preserve_format
    x, grad = (
        torch.randn(shape[0], size, *shape[2:], device=device).to(half, memory_format=layout)
        for size in (channels, out)
    )
    x.requires_grad_()

    def step() -> None:
        x.grad = None
        layer.zero_grad()
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            y = layer(x)
        y.backward(grad)

    if device == "cpu":
        return step
    graph = capture(step, step, x.device)

    def replay() -> None:
        assert x.grad is not None and grad is not None, "the graph reads and writes both"
        for _ in range(REPLAYS):
            graph.replay()

    return replay


def seconds(step: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / (REPLAYS if device == "cuda" else 1)


def saved_mib(layer: nn.Module, channels: int, device: str) -> float:
    """Memory that the graph of one forward pass keeps, without the parameters."""
    kept: dict[int, int] = {}
    parameters = {p.data_ptr() for p in layer.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    shape, _ = SHAPES[device]
    half = torch.bfloat16 if device == "cuda" else torch.float32
    x = torch.randn(shape[0], channels, *shape[2:], device=device, dtype=half, requires_grad=True)
    with (
        torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        layer(x)
    return sum(kept.values()) / 2**20


def row(name: str, rounds: int, device: str) -> str:
    shape, out = SHAPES[device]
    layout = torch.channels_last if device == "cuda" else torch.preserve_format
    layer = KANConv2d(shape[1], out, 3, padding=1, basis=name).to(device, memory_format=layout)
    widths = (shape[1], shape[1], shape[1] * layer.planes)
    plain = (nn.Conv2d(width, out, 3, padding=1).to(device, memory_format=layout) for width in widths[1:])
    layers = (layer, *plain)
    steps = [step_of(layer, width, device) for layer, width in zip(layers, widths, strict=True)]
    for step in steps:
        step()
    times = [[seconds(step, device) for step in steps] for _ in range(rounds)]
    ours, same, equal = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    saved = saved_mib(layer, shape[1], device)
    expanded = saved_mib(layers[2], widths[2], device)
    return (
        f"{name:<10} {layer.planes:>6} {ours:>8.2f} {same:>8.2f} {equal:>8.2f} {ours / same:>7.2f} "
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
    shape, out = SHAPES[options.device]
    precision = "bfloat16" if options.device == "cuda" else "float32"
    print(f"torch {torch.__version__}, {where}, {precision}, {shape} -> {out} channels, 3x3, {options.rounds} rounds")
    print(f"{'basis':<10} {'planes':>6} {'ms':>8} {'same':>8} {'equal':>8} {'x same':>7} {'x equal':>7} ", end="")
    print(f"{'saved MiB':>10} {'equal MiB':>10}")
    for name in options.basis:
        print(row(name, options.rounds, options.device), flush=True)


if __name__ == "__main__":
    main()
