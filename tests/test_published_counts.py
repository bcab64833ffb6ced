"""The parameter counts of Convolutional-KANs' published models, through our layers."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from trials.kan import BASES, KANConv2d, KANLinear


def published(grid_size: int) -> dict[str, Any]:
    """Efficient-KAN's layer: cubic B-splines, base branch, a scaler for each edge, no bias."""
    return {"basis": BASES["bspline"](grid_size=grid_size), "spline_scaler": True, "bias": False}


def kan_convolutions(grid_size: int, widths: tuple[int, int]) -> list[nn.Module]:
    return [
        KANConv2d(1, widths[0], 3, **published(grid_size)),
        KANConv2d(widths[0], widths[1], 3, **published(grid_size)),
    ]


def plain_convolutions(widths: tuple[int, int]) -> list[nn.Module]:
    return [nn.Conv2d(1, widths[0], 3), nn.Conv2d(widths[0], widths[1], 3)]


def kan_head(features: int, grid_size: int) -> list[nn.Module]:
    return [KANLinear(features, 10, **published(grid_size))]


SMALL, MEDIUM = (5, 5), (5, 10)  # 28x28 -> 5x5 pixels


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (lambda: [*kan_convolutions(10, SMALL), nn.Linear(125, 10)], 5_310),
        (lambda: [*kan_convolutions(20, SMALL), nn.Linear(125, 10)], 8_010),
        (lambda: [*kan_convolutions(10, MEDIUM), nn.Linear(250, 10)], 9_935),
        (lambda: [*kan_convolutions(20, MEDIUM), nn.Linear(250, 10)], 14_885),
        (lambda: [*kan_convolutions(10, MEDIUM), nn.Linear(250, 100), nn.Linear(100, 10)], 33_535),
        (lambda: [*kan_convolutions(20, MEDIUM), nn.Linear(250, 100), nn.Linear(100, 10)], 38_485),
        (lambda: [*kan_convolutions(10, SMALL), *kan_head(125, 10)], 22_800),
        (lambda: [*kan_convolutions(20, SMALL), *kan_head(125, 20)], 38_000),
        (lambda: [*kan_convolutions(10, MEDIUM), *kan_head(250, 10)], 44_925),
        (lambda: [*kan_convolutions(20, MEDIUM), *kan_head(250, 20)], 74_875),
        (lambda: [*plain_convolutions(SMALL), *kan_head(125, 10)], 19_030),
        (lambda: [*plain_convolutions(SMALL), *kan_head(125, 20)], 31_530),
        (lambda: [*plain_convolutions(MEDIUM), *kan_head(250, 10)], 38_010),
        (lambda: [*plain_convolutions(MEDIUM), *kan_head(250, 20)], 63_010),
        (lambda: [*plain_convolutions(SMALL), nn.Linear(125, 10)], 1_540),
        (lambda: [*plain_convolutions(MEDIUM), nn.Linear(250, 10)], 3_020),
    ],
    ids=[
        f"{name} gs {grid_size}"
        for name in ("KANC MLP small", "KANC MLP medium", "KANC MLP big", "KKAN small", "KKAN medium")
        for grid_size in (10, 20)
    ]
    + [f"Conv & KAN {size} gs {grid_size}" for size in ("small", "medium") for grid_size in (10, 20)]
    + ["CNN small", "CNN medium"],
)
def test_parameter_counts_are_those_published(layers: Any, expected: int) -> None:
    assert sum(p.numel() for layer in layers() for p in layer.parameters()) == expected
