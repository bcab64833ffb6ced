"""The families whose layers see what earlier ones saw: ResNet and DenseNet."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.layer import LayerConfig

__all__ = ["DenseNetConfig", "ResNetConfig"]

_BIAS = "a bias in each convolution, which the normalisation of the next layer takes out again, and in a KAN classifier"
_STEM = "first layer; cifar: 3x3 of stride 1; imagenet: 7x7 of stride 2 and a 3x3 max pooling of stride 2"


class ResNetConfig(LayerConfig):
    """ResNet in its pre-activation form (arXiv 1603.05027): four stages of residual blocks."""

    family: Literal["resnet"] = Field(description="model family")
    bias: bool = Field(default=False, description=_BIAS)
    depth: Literal[18, 34, 50, 101, 152] = Field(
        default=18, description="which ResNet; from 50 on its blocks have 1x1, 3x3 and 1x1"
    )
    width: int = Field(default=64, ge=1, le=512, description="channels of the stem; stages have 1, 2, 4, 8 times them")
    stem: Literal["cifar", "imagenet"] = Field(default="cifar", description=_STEM)
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )


class DenseNetConfig(LayerConfig):
    """DenseNet-BC (arXiv 1608.06993): four blocks whose layers each see all before them, with transitions between."""

    family: Literal["densenet"] = Field(description="model family")
    bias: bool = Field(default=False, description=_BIAS)
    depth: Literal[121, 169, 201] = Field(default=121, description="which DenseNet")
    width: int = Field(default=64, ge=1, le=512, description="channels of the stem")
    growth: int = Field(default=32, ge=1, le=256, description="channels that each layer adds")
    stem: Literal["cifar", "imagenet"] = Field(default="cifar", description=_STEM)
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )
