"""VGG, ResNet and DenseNet with polynomial bases, after torch-conv-kan."""

from __future__ import annotations

from typing import Any

from trials.presets.preset import Preset
from trials.presets.simple import BETAS, SOURCE

__all__ = ["PRESETS"]

IMAGENET, CIFAR = (3, 224, 224, 1000), (3, 32, 32, 10)
VGG: dict[str, Any] = {
    "family": "vgg", "depth": 11, "width": 32, "basis": {"name": "gram", "degree": 5, "constant": True}, "bias": False,
    "affine": False,
}  # fmt: skip
BEFORE = "here each layer's input is normalised, there its output, which SiLU follows"
UNPUBLISHED = "no figure is published for this one"


def _deep(family: str, depth: int, basis: str) -> Preset:
    model = {"family": family, "depth": depth, "basis": {"name": basis}, "affine": False, "bias": True, "stem": "cifar"}
    parts = [UNPUBLISHED, "here blocks are in their pre-activation form, without the constant polynomial"]
    parts += ["its transitions are KAN layers too, there plain ones"] if family == "densenet" else []
    return Preset(f"{family}{depth}-{basis}", model, "cifar10", CIFAR, SOURCE, explanation="; ".join(parts))


PRESETS = (
    Preset(
        "vgg11-gram",
        {**VGG, "sixth_stage": 1, "normalization": "instance"},
        "imagenet",
        IMAGENET,
        SOURCE,
        {"accuracy": 0.591},
        f"published as VGG KAGN 11v2, validation split of ImageNet-1k; {BEFORE}",
    ),
    Preset(
        "vgg11-gram-wide",
        {**VGG, "sixth_stage": 2, "normalization": "instance"},
        "imagenet",
        IMAGENET,
        SOURCE,
        {"accuracy": 0.6117},
        f"published as VGG KAGN 11v4, validation split of ImageNet-1k; {BEFORE}",
    ),
    Preset(
        "vgg11-gram-bottleneck",
        {**VGG, "sixth_stage": 2, "bottleneck": 4, "bottleneck_minimum": 16, "bottleneck_base": "full"},
        "imagenet",
        IMAGENET,
        SOURCE,
        {"accuracy": 0.685, "parameters": 7_250_000},
        "published as VGG KAGN BN 11v4, validation split of ImageNet-1k, with a rounded count of 7.25M that its own "
        "structure does not give: its ten layers with a reduction of 4 and its head have 9,504,211, of which the first "
        f"layer has 1,455, here 6,048 without a bottleneck; {BETAS.replace('four', 'six')}; {BEFORE}",
    ),
    *(_deep(family, depth, basis) for family, depth in (("resnet", 18), ("densenet", 121))
      for basis in ("legendre", "gram")),
)  # fmt: skip
