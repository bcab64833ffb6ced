"""The settings of a KAN layer, the same in every model family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.base import Config
from trials.config.basis import BasisConfig, BSplineConfig

__all__ = ["LayerConfig"]


class LayerConfig(Config):
    """Settings of the layers of every family."""

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
    normalize_input: bool = Field(
        default=True,
        description="normalise the samples before the first layer; no effect in the families alexnet, kanc and simple",
    )
    affine: bool = Field(default=True, description="learnable scale and shift in the normalisation")
    bias: bool = Field(
        default=True,
        description="a bias in each convolution and in a KAN classifier; plain convolutions of the families alexnet, "
        "kanc and simple and a linear classifier always have one",
    )
    bottleneck: int | None = Field(
        default=None,
        ge=2,
        le=64,
        description="divide the width that the convolution works on by this, between two 1x1 "
        "projections; null: no bottleneck. The first layer never has one",
    )
    bottleneck_minimum: int = Field(default=4, ge=1, le=1024, description="channels that a bottleneck has at least")
    bottleneck_base: Literal["narrow", "full"] = Field(
        default="narrow",
        description="where the base branch of a KAN layer with a bottleneck is; narrow: in the narrow KAN convolution; "
        "full: a convolution of its own beside the bottleneck, as Bottleneck KAGN (arXiv 2407.01092) has it",
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
    init: Literal["variance", "power_law", "efficient_kan"] = Field(
        default="variance",
        description="first weights: variance-preserving, the power law of arXiv 2509.03417, or near the base branch "
        "alone, as Efficient-KAN starts",
    )
    basis_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of a layer's first output variance that is the basis branch's; null: half of it, or what "
        "keeps gradients from growing by more than 1.3 a layer",
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
    additive_noise: float = Field(
        default=0.0,
        ge=0,
        le=2,
        description="noise added in training to elements of the input of each layer but the first, in standard "
        "deviations of their channel",
    )
    additive_noise_share: float = Field(
        default=1.0, gt=0, le=1, description="share of the elements that additive_noise is added to, drawn anew"
    )
    perturbation: Literal["full", "poly", "degree"] = Field(
        default="full",
        description="what dropout and noise act on: a layer's input, its basis branch's input, or each basis feature; "
        "always full in a plain network",
    )
