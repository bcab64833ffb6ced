"""The networks of published measurements, made of our layers: `SMALL_NETS`, `DEEP_NETS` and `SHALLOW_NETS` by name.

The small ones are those of Convolutional-KANs for 28x28 pixels, with the same parameters. torch-conv-kan's layers are
timed in the deep ones, of eight convolutions, and in the shallow ones, of four.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from trials.kan import BASES, BottleneckKANConv2d, KANConv2d, KANLinear
from trials.models.layers import GlobalAverage

__all__ = ["DEEP_NETS", "SHALLOW_NETS", "SMALL_NETS"]


def efficient(grid_size: int) -> dict[str, Any]:
    """Efficient-KAN's layer: cubic B-splines on [-1, 1], base branch, a scaler for each edge, no bias."""
    return {
        "basis": BASES["bspline"](grid_size=grid_size, grid_range=1.0),
        "spline_scaler": True,
        "bias": False,
    }


def small(widths: tuple[int, int], *, kan: int | None, head: Callable[[int], list[nn.Module]]) -> nn.Module:
    """conv 3x3 -> pool -> conv 3x3 -> pool -> head; KAN convolutions of grid size `kan`, or plain ones with ReLU."""
    layers: list[nn.Module] = []
    for channels, out in zip((1, widths[0]), widths, strict=True):
        layers.append(KANConv2d(channels, out, 3, **efficient(kan)) if kan else nn.Conv2d(channels, out, 3))
        layers += [nn.MaxPool2d(2)] if kan else [nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), *head(25 * widths[1]))


def linear(*sizes: int) -> Callable[[int], list[nn.Module]]:
    def head(features: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for size in sizes:
            layers += [nn.Linear(features, size), nn.ReLU()]
            features = size
        return layers[:-1]

    return head


def kan(grid_size: int) -> Callable[[int], list[nn.Module]]:
    return lambda features: [KANLinear(features, 10, **efficient(grid_size))]


NARROW, WIDE = (5, 5), (5, 10)

SMALL_NETS: dict[str, Callable[[], nn.Module]] = {
    "CNN (Small)": lambda: small(NARROW, kan=None, head=linear(10)),
    "CNN (Medium)": lambda: small(WIDE, kan=None, head=linear(10)),
    "Conv & KAN (Small), gs 10": lambda: small(NARROW, kan=None, head=kan(10)),
    "KANC MLP (Small), gs 10": lambda: small(NARROW, kan=10, head=linear(10)),
    "KANC MLP (Medium), gs 10": lambda: small(WIDE, kan=10, head=linear(10)),
    "KANC MLP (Big), gs 10": lambda: small(WIDE, kan=10, head=linear(100, 10)),
    "KANC MLP (Big), gs 20": lambda: small(WIDE, kan=20, head=linear(100, 10)),
    "KKAN (Small), gs 10": lambda: small(NARROW, kan=10, head=kan(10)),
    "KKAN (Medium), gs 10": lambda: small(WIDE, kan=10, head=kan(10)),
}

EIGHT = ((16, 32, 64, 128, 256, 256, 512, 512), (1, 2, 2, 1, 1, 2, 1, 1))
FOUR = ((32, 64, 128, 256), (1, 2, 2, 1))
"""Widths and strides."""


def stacked(shape: tuple[tuple[int, ...], tuple[int, ...]], basis: str | None, **options: Any) -> nn.Module:
    """Normalisation and KAN convolution (with a bottleneck where `reduction` is given) again and again, or convolution,
    normalisation and ReLU; then the mean and a linear classifier."""
    layers: list[nn.Module] = []
    widths, strides = shape
    for channels, out, stride in zip((3, *widths), widths, strides, strict=False):
        if basis is None:
            convolution = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
            layers += [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
        else:
            build: Any = BottleneckKANConv2d if options else KANConv2d
            convolution = build(channels, out, 3, stride, 1, basis=BASES[basis](), **options)
            layers += [nn.BatchNorm2d(channels, affine=False), convolution]
    return nn.Sequential(*layers, GlobalAverage(), nn.Linear(widths[-1], 10))


def nets(shape: tuple[tuple[int, ...], tuple[int, ...]]) -> dict[str, Callable[[], nn.Module]]:
    return {
        "conv-BN-ReLU": lambda: stacked(shape, None),
        **{name: (lambda name=name: stacked(shape, name)) for name in BASES},
        "gram, bottleneck": lambda: stacked(shape, "gram", reduction=4),
    }


DEEP_NETS, SHALLOW_NETS = nets(EIGHT), nets(FOUR)
