"""torch-conv-kan's networks: four and eight convolutions of eight kinds, and sixteen of Gram polynomials.

They were published with pixels in [-1, 1] and `data.augment` affine20_colour on MNIST, flip_policies on CIFAR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trials.presets.preset import Preset

__all__ = ["PRESETS"]

SOURCE = "arXiv 2407.01092; github.com/IvanDrokin/torch-conv-kan"
SHAPES = {"mnist": (1, 28, 28, 10), "cifar10": (3, 32, 32, 10), "cifar100": (3, 32, 32, 100)}
WIDTHS = {4: 32, 8: 16, 16: 8}
KAN = {"bias": False, "normalize": "output", "dropout": 0.25, "classifier_dropout": 0.5}
INSTANCE: dict[str, Any] = {"normalization": "instance", "affine": False}
BATCH: dict[str, Any] = {"normalization": "batch", "affine": True}

KINDS: dict[str, dict[str, Any]] = {
    "conv": {
        "basis": {"name": "none"}, "base_activation": "relu", "normalize": "output", "groups": 4,
        "classifier_dropout": 0.25,
    },
    "kan": {
        **KAN, "basis": {"name": "bspline", "grid_range": 1.0}, "base_activation": "gelu",
        "output_activation": "prelu",
    },
    "fastkan": {**KAN, "basis": {"name": "rbf"}, "normalize": "input", "output_activation": "identity"},
    "kaln": {**KAN, "basis": {"name": "legendre", "constant": True}, "output_activation": "silu"},
    "kacn": {
        **KAN, "basis": {"name": "chebyshev", "constant": True}, "base_branch": False, "output_activation": "identity",
    },
    "kagn": {**KAN, "basis": {"name": "gram", "constant": True}, "output_activation": "silu"},
    "bottleneck-kagn": {
        **KAN, "basis": {"name": "gram", "constant": True}, "output_activation": "silu", "bottleneck": 4,
        "bottleneck_minimum": 16, "bottleneck_base": "full",
    },
    "wavkan": {**KAN, "basis": {"name": "wavelet", "count": 1}, "output_activation": "identity"},
}  # fmt: skip
"""The eight layers, by the suffix that the publication names them with."""

RANGE = "published: polynomials of the input scaled by the batch's own least and greatest value; here of its tanh"
BETAS = (
    "the published coefficients of the Gram recurrence are learned, four for each layer, and start a thousand times "
    "too small; here they are the exact ones, and no parameters"
)
DIFFERENCES = {
    "fastkan": "published: the base branch sees the input as it is; here normalised. With its centres, which are no "
    "parameters, the published layer counts 8 more",
    "kaln": RANGE,
    "kagn": BETAS,
    "bottleneck-kagn": f"{BETAS}; here the first layer has no bottleneck, and the inner channels are normalised",
    "wavkan": "published: a scale and a translation for each edge, one wavelet each, and a 1x1 convolution after the "
    "sum; here one pair for a layer, and no 1x1 convolution",
}

FIGURES: dict[tuple[str, int, str], tuple[float | None, int | None, Mapping[str, Any], str]] = {
    ("conv", 4, "mnist"): (0.9942, 101_066, BATCH, ""),
    ("kan", 4, "mnist"): (0.9680, 3_488_814, INSTANCE, ""),
    ("fastkan", 4, "mnist"): (0.9926, 3_488_810, INSTANCE, ""),
    ("kaln", 4, "mnist"): (0.9850, 1_939_370, INSTANCE, ""),
    ("kacn", 4, "mnist"): (0.9762, 391_754, {**BATCH, "groups": 4}, ""),
    ("kagn", 4, "mnist"): (0.9821, 487_866, {**INSTANCE, "groups": 4}, ""),
    ("bottleneck-kagn", 4, "mnist"): (None, None, BATCH, "no figure is published"),
    ("wavkan", 4, "mnist"): (0.9923, 951_370, BATCH, ""),
    ("conv", 8, "mnist"): (0.9963, 1_140_714, BATCH, ""),
    ("kan", 8, "mnist"): (0.9952, 40_690_466, INSTANCE, ""),
    ("fastkan", 8, "mnist"): (0.9945, 40_690_458, INSTANCE, ""),
    ("kaln", 8, "mnist"): (0.9952, 22_608_090, INSTANCE, ""),
    ("kacn", 8, "mnist"): (0.9932, 18_091_050, BATCH, ""),
    ("kagn", 8, "mnist"): (0.9960, 22_608_122, INSTANCE, ""),
    ("bottleneck-kagn", 8, "mnist"): (None, None, BATCH, "no figure is published"),
    ("wavkan", 8, "mnist"): (0.9957, 10_731_562, BATCH, ""),
    ("conv", 4, "cifar10"): (0.7318, 101_642, BATCH, ""),
    ("kan", 4, "cifar10"): (0.5208, 3_494_958, BATCH, ""),
    ("fastkan", 4, "cifar10"): (0.6495, 3_494_448, BATCH, ""),
    ("kaln", 4, "cifar10"): (0.1028, 1_943_210, BATCH, ""),
    ("kacn", 4, "cifar10"): (
        None, 1_555_274, BATCH,
        "the parameters are those of the published code; accuracies are published for 4 groups and for degree 5 alone",
    ),
    ("kagn", 4, "cifar10"): (0.7807, 1_943_226, BATCH, "published with an L1 penalty of 1e-5 on the weights"),
    ("bottleneck-kagn", 4, "cifar10"): (None, 617_703, BATCH, "the parameters are those of the published code"),
    ("wavkan", 4, "cifar10"): (0.7363, 952_650, BATCH, ""),
    ("conv", 8, "cifar10"): (0.8305, 1_141_002, BATCH, ""),
    ("kan", 8, "cifar10"): (0.7466, 40_696_610, BATCH, ""),
    ("fastkan", 8, "cifar10"): (0.8069, 40_695_584, BATCH, ""),
    ("kaln", 8, "cifar10"): (0.1597, 22_613_082, BATCH, ""),
    ("kacn", 8, "cifar10"): (0.6214, 18_092_202, BATCH, ""),
    ("kagn", 8, "cifar10"): (0.8414, 22_613_114, BATCH, ""),
    ("bottleneck-kagn", 8, "cifar10"): (None, 6_354_999, BATCH, "the parameters are those of the published code"),
    ("wavkan", 8, "cifar10"): (0.8537, 10_732_202, BATCH, ""),
    ("kagn", 16, "cifar100"): (
        None, None, {**BATCH, "dropout": 0.0, "classifier_dropout": 0.05},
        "no figure is published; the published code adds noise in each layer, here there is none",
    ),
}  # fmt: skip
"""Kind, depth, data set -> accuracy, parameters, normalisation and groups of the row, a remark."""


def _preset(kind: str, depth: int, dataset: str) -> Preset:
    accuracy, parameters, own, remark = FIGURES[kind, depth, dataset]
    figures = {"accuracy": accuracy, "parameters": parameters}
    return Preset(
        f"simple-{kind}-{depth}-{dataset}",
        {"family": "simple", "depth": depth, "width": WIDTHS[depth], **KINDS[kind], **own},
        dataset,
        SHAPES[dataset],
        SOURCE,
        {name: value for name, value in figures.items() if value is not None},
        "; ".join(filter(None, (remark, DIFFERENCES.get(kind)))),
        "symmetric",
    )


PRESETS = tuple(_preset(*key) for key in FIGURES)
