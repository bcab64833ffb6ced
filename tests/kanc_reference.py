"""Convolutional-KANs' formula, written as loops over single numbers: what its networks must give.

`python -m tests.kanc_reference` writes `kanc.safetensors`: random weights in the published layout and, for two images,
the logits of each network. Everything is computed in Python's own float, 64 bits.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

FILE = Path(__file__).parent / "kanc.safetensors"
GRID_SIZE, ORDER, CLASSES, SIDE = 4, 3, 3, 10
WIDTHS = (1, 1, 2)

NETWORKS: dict[str, dict[str, Any]] = {
    "kkan": {"kan": True, "head": "kan1"},
    "mlp": {"kan": True, "head": "linear"},
    "conv-kan": {"kan": False, "head": "kan1"},
}
"""Two convolutions, KAN or plain, and a KAN head or two linear layers."""


def knots(low: float, high: float) -> list[float]:
    step = (high - low) / GRID_SIZE
    return [low + step * index for index in range(-ORDER, GRID_SIZE + ORDER + 1)]


def spline(x: float, k: int, order: int, grid: list[float]) -> float:
    """The k-th B-spline of an order on a grid, by Cox and de Boor."""
    if order == 0:
        return 1.0 if grid[k] <= x < grid[k + 1] else 0.0
    rising = (x - grid[k]) / (grid[k + order] - grid[k]) * spline(x, k, order - 1, grid)
    falling = (grid[k + order + 1] - x) / (grid[k + order + 1] - grid[k + 1]) * spline(x, k + 1, order - 1, grid)
    return rising + falling


def kan_layer(inputs: list[float], weights: dict[str, Any], grid: list[float]) -> list[float]:
    """y_o = Σ_i base_oi · silu(x_i) + scaler_oi · Σ_k c_oik · B_k(x_i)."""
    outputs = []
    names = ("base_weight", "spline_weight", "spline_scaler")
    for base, splines, scaler in zip(*(weights[name] for name in names), strict=True):
        total = 0.0
        for i, x in enumerate(inputs):
            curve = sum(splines[i][k] * spline(x, k, ORDER, grid) for k in range(GRID_SIZE + ORDER))
            total += base[i] * x / (1 + math.exp(-x)) + scaler[i] * curve
        outputs.append(total)
    return outputs


def patch(image: list[list[float]], row: int, column: int) -> list[float]:
    return [image[row + i][column + j] for i in range(3) for j in range(3)]


def convolve(planes: list[list[list[float]]], kernel: Callable[[int, int, list[float]], float], out: int) -> Any:
    """Σ over the input planes of what `kernel(o, i, patch)` makes of each 3x3 patch."""
    side = range(len(planes[0]) - 2)
    return [
        [[sum(kernel(o, i, patch(plane, r, c)) for i, plane in enumerate(planes)) for c in side] for r in side]
        for o in range(out)
    ]


def pool(plane: list[list[float]]) -> list[list[float]]:
    side = range(len(plane) // 2)
    return [[max(plane[2 * r + i][2 * c + j] for i in (0, 1) for j in (0, 1)) for c in side] for r in side]


def logits(network: dict[str, Any], state: dict[str, Any], image: list[list[float]]) -> list[float]:
    planes, grid = [image], knots(-1, 1)
    for number, (inputs, out) in enumerate(pairwise(WIDTHS), 1):

        def kan(o: int, i: int, x: list[float], name: str = f"conv{number}", inputs: int = inputs) -> float:
            return kan_layer(x, state[f"{name}.convs.{o * inputs + i}.conv"], grid)[0]

        def plain(o: int, i: int, x: list[float], name: str = f"conv{number}") -> float:
            kernel = state[name]["weight"][o][i]
            bias = state[name]["bias"][o] if i == 0 else 0.0
            return bias + sum(kernel[j // 3][j % 3] * x[j] for j in range(9))

        planes = convolve(planes, kan if network["kan"] else plain, out)
        if not network["kan"]:
            planes = [[[max(x, 0.0) for x in row] for row in plane] for plane in planes]
        planes = [pool(plane) for plane in planes]
    vector = [x for plane in planes for row in plane for x in row]
    if network["head"] == "kan1":
        return kan_layer(vector, state["kan1"], knots(0, 1))
    for name in ("linear1", "linear2"):
        layer = state[name]
        rows = zip(layer["weight"], layer["bias"], strict=True)
        vector = [bias + sum(w * x for w, x in zip(row, vector, strict=True)) for row, bias in rows]
    return vector


def random_tensor(draw: random.Random, *sizes: int) -> Tensor:
    return torch.tensor([draw.gauss(0, 0.5) for _ in range(math.prod(sizes))]).view(sizes)


def kan_weights(draw: random.Random, out: int, inputs: int, low: float, high: float) -> dict[str, Tensor]:
    return {
        "grid": torch.tensor(knots(low, high)).expand(inputs, -1).contiguous(),
        "base_weight": random_tensor(draw, out, inputs),
        "spline_weight": random_tensor(draw, out, inputs, GRID_SIZE + ORDER),
        "spline_scaler": random_tensor(draw, out, inputs),
    }


def layers(network: dict[str, Any], draw: random.Random) -> dict[str, dict[str, Tensor]]:
    """Random weights in float32, by the published names of the layers."""
    found: dict[str, dict[str, Tensor]] = {}
    for number, (inputs, out) in enumerate(pairwise(WIDTHS), 1):
        if network["kan"]:
            for index in range(inputs * out):
                found[f"conv{number}.convs.{index}.conv"] = kan_weights(draw, 1, 9, -1, 1)
        else:
            weight, bias = random_tensor(draw, out, inputs, 3, 3), random_tensor(draw, out)
            found[f"conv{number}"] = {"weight": weight, "bias": bias}
    features = WIDTHS[-1]
    if network["head"] == "kan1":
        return {**found, "kan1": kan_weights(draw, CLASSES, features, 0, 1)}
    for name, inputs, out in (("linear1", features, 4), ("linear2", 4, CLASSES)):
        found[name] = {"weight": random_tensor(draw, out, inputs), "bias": random_tensor(draw, out)}
    return found


def fixture() -> dict[str, Tensor]:
    """What the file holds: `images`, and of each network `<network>/state/<name>` and `<network>/logits`."""
    draw = random.Random(0)
    images = torch.tensor([draw.uniform(-1, 1) for _ in range(2 * SIDE**2)]).view(2, 1, SIDE, SIDE)
    held = {"images": images}
    for name, network in NETWORKS.items():
        tensors = layers(network, draw)
        plain = {layer: {key: each.tolist() for key, each in part.items()} for layer, part in tensors.items()}
        outputs = [logits(network, plain, image[0].tolist()) for image in images]
        held[f"{name}/logits"] = torch.tensor(outputs, dtype=torch.float64)
        held |= {f"{name}/state/{layer}.{key}": each for layer, part in tensors.items() for key, each in part.items()}
    return held


if __name__ == "__main__":
    save_file(fixture(), FILE)
