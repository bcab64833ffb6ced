"""The families that give a class to each pixel: U-Net and U²-Net."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.layer import LayerConfig

__all__ = ["DENSE_FAMILIES", "U2NetConfig", "UNetConfig"]

DENSE_FAMILIES = ("unet", "u2net")
"""The families that give a class to each pixel; the others give one to each sample."""


class DenseConfig(LayerConfig):
    """Settings that networks with a class for each pixel have in common."""

    init: Literal["variance", "power_law", "efficient_kan"] = Field(
        default="power_law",
        description="first weights: the power law of arXiv 2509.03417; variance-preserving, with which gradients "
        "grow without bound through as many layers as these networks have; or as Efficient-KAN starts",
    )
    deep_supervision: bool = Field(
        default=True,
        description="train the coarser levels' own outputs too, each with regularization.side_weight times its loss",
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer of each output: linear, or KAN with the same basis"
    )


class UNetConfig(DenseConfig):
    """U-Net: an image is halved `depth` times and enlarged again, beside the finer levels (arXiv 1505.04597)."""

    family: Literal["unet"] = Field(description="model family")
    size: Literal["full", "small"] = Field(
        default="full", description="full: twice the channels after each halving; small: `width` of them everywhere"
    )
    depth: int = Field(default=4, ge=1, le=6, description="times the image's sides are halved")
    width: int = Field(default=64, ge=1, le=1024, description="channels of the finest level")


class U2NetConfig(DenseConfig):
    """U²-Net: a U-Net of six levels, each of whose blocks is a U-Net itself (arXiv 2005.09007)."""

    family: Literal["u2net"] = Field(description="model family")
    size: Literal["full", "small"] = Field(
        default="full",
        description="full: more channels on coarser levels, up to 8 times; small: `width` of them everywhere",
    )
    width: int = Field(default=64, ge=4, le=512, description="channels of the finest level; 64 in the paper")
