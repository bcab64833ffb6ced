"""Networks that give a class to each pixel: U-Net and U²-Net, in their full and small sizes."""

from __future__ import annotations

from typing import Any

from trials.presets.preset import Preset

__all__ = ["PRESETS"]

SALIENT = (3, 320, 320, 1)
U2NET = "arXiv 2005.09007"
UNET = "arXiv 1505.04597"
BEFORE = "here each layer's input is normalised, there its output: the normalisations have other channels"
BASED = "no figure is published for this one; after torch-conv-kan's U-Nets and U²-Nets of KAN layers"


def _plain(family: str, size: str, **more: Any) -> dict[str, Any]:
    own = {"basis": {"name": "none"}, "base_activation": "relu", "normalize_input": False}
    return {"family": family, "size": size, "width": 64, **own, **more}


def _gram(family: str) -> dict[str, Any]:
    return {"family": family, "size": "small", "width": 16, "basis": {"name": "gram", "degree": 3}, "affine": False}


PRESETS = (
    Preset("u2net", _plain("u2net", "full"), "segmentation", SALIENT, U2NET, {"parameters": 44_009_869}, BEFORE),
    Preset("u2net-small", _plain("u2net", "small"), "segmentation", SALIENT, U2NET, {"parameters": 1_131_181}, BEFORE),
    Preset(
        "unet", _plain("unet", "full", depth=4), "segmentation", SALIENT, UNET,
        explanation="no count is published; here images are enlarged bilinearly and keep their size in convolutions, "
        "and coarser levels have outputs of their own",
    ),
    Preset("unet-small", _plain("unet", "small", depth=4), "segmentation", SALIENT, UNET, explanation=BASED),
    Preset("unet-small-gram", _gram("unet"), "segmentation", SALIENT, UNET, explanation=BASED),
    Preset("u2net-small-gram", _gram("u2net"), "segmentation", SALIENT, U2NET, explanation=BASED),
)  # fmt: skip
