"""The model families by name: what a KAN layer is in all of them, and the sizes of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from trials.config.base import Config
from trials.config.basis import BasisConfig, BSplineConfig

__all__ = ["DENSE_FAMILIES", "LayerConfig", "ModelConfig", "PlainModelConfig", "U2NetConfig", "UNetConfig", "VGGConfig"]

DENSE_FAMILIES = ("unet", "u2net")
"""The families that give a class to each pixel; the others give one to each sample."""


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the output keeps the input's size")
    return value


class LayerConfig(Config):
    """What the layers of every family are made of."""

    family: str = Field(description="model family")
    basis: BasisConfig = Field(default=BSplineConfig(name="bspline"), description="family of univariate functions")
    base_branch: bool = Field(
        default=True, description="add the base branch w·b(z) to the basis branch of each KAN layer"
    )
    base_activation: Literal["silu", "relu", "gelu", "identity"] = Field(
        default="silu", description="b of the base branch; the activation of a plain network"
    )
    normalization: Literal["batch", "instance", "layer", "group", "none"] = Field(
        default="batch", description="normalisation of each layer's input; group: in up to 8 groups of channels"
    )
    affine: bool | None = Field(
        default=None,
        description="learnable scale and shift in the normalisation; null: only in a plain network, "
        "because a KAN layer learns them itself",
    )
    bottleneck: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="divide the width that the basis works on by this, between two 1x1 "
        "projections; null: no bottleneck. The first layer never has one",
    )
    experts: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="make each layer but the first a mixture of this many KAN convolutions; null: one. No effect on a "
        "plain network",
    )
    experts_per_image: int = Field(
        default=2, ge=1, le=64, description="experts that each image is given, at most all of them"
    )
    init: Literal["variance", "power_law"] = Field(
        default="variance", description="first weights: variance-preserving, or the power law of arXiv 2509.03417"
    )
    basis_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of a layer's first output variance that is the basis branch's"
    )
    spline_scaler: bool = Field(
        default=False, description="one more weight for each edge, times its basis branch, as Efficient-KAN has"
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="probability of dropping a channel in each layer but the first"
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="standard deviation of the random factor, mean 1, on each channel in training",
    )
    perturbation: Literal["full", "poly", "degree"] = Field(
        default="full",
        description="what dropout and noise act on: a layer's input, its basis branch's input, or each basis feature; "
        "always full in a plain network",
    )


class PlainModelConfig(LayerConfig):
    """`depth` convolution blocks one after the other, then a head. Images, or signals of one dimension."""

    family: Literal["plain"] = Field(default="plain", description="model family")
    depth: int = Field(default=3, ge=1, le=64, description="convolution layers")
    width: int = Field(default=16, ge=1, le=4096, description="channels of the first layer")
    growth: int = Field(default=2, ge=1, le=4, description="channels are multiplied by this where the image is halved")
    halvings: int = Field(
        default=2, ge=0, le=6, description="times the image's sides are halved, spread over the depth"
    )
    downsampling: Literal["max_pool", "avg_pool", "stride"] = Field(
        default="max_pool", description="how the image is halved: pooling after a layer, or its stride"
    )
    kernel_size: Annotated[int, AfterValidator(_odd)] = Field(
        default=3, ge=1, le=15, description="side of each kernel; odd"
    )
    head: Literal["pool", "flatten"] = Field(
        default="pool", description="pool: global average before the classifier; flatten: every pixel of the last layer"
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )


class VGGConfig(LayerConfig):
    """VGG: five stages of 3x3 convolutions, each ended by a 2x2 max pooling (arXiv 1409.1556)."""

    family: Literal["vgg"] = Field(description="model family")
    depth: Literal[11, 13, 16, 19] = Field(default=11, description="which VGG: 8, 10, 13 or 16 convolutions")
    width: int = Field(
        default=64, ge=1, le=512, description="channels of the first stage; the last ones have 8 times as many"
    )
    head: Literal["pool", "flatten"] = Field(
        default="pool", description="pool: global average before the classifier; flatten: every pixel of the last layer"
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )


class DenseConfig(LayerConfig):
    """What networks that give a class to each pixel have in common."""

    init: Literal["variance", "power_law"] = Field(
        default="power_law",
        description="first weights: the power law of arXiv 2509.03417, or variance-preserving, with which gradients "
        "grow without bound through as many layers as these networks have",
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


def _named(value: Any) -> Any:
    """A family need not be named where it is `plain`."""
    return {"family": "plain", **value} if isinstance(value, dict) else value


ModelConfig = Annotated[
    Annotated[PlainModelConfig | VGGConfig | UNetConfig | U2NetConfig, Field(discriminator="family")],
    BeforeValidator(_named),
]
