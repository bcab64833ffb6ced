"""The model families by name, and the sizes of each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from trials.config.alexnet import AlexNetConfig
from trials.config.kanc import KancConfig
from trials.config.layer import LayerConfig
from trials.config.mlp import MLPConfig
from trials.config.residual import DenseNetConfig, ResNetConfig
from trials.config.simple import SimpleConfig
from trials.config.unet import U2NetConfig, UNetConfig

__all__ = ["ModelConfig", "PlainModelConfig", "VGGConfig"]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd, so that the output keeps the input's size")
    return value


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
    sixth_stage: int = Field(
        default=0,
        ge=0,
        le=4,
        description="channels of a sixth stage of two convolutions without pooling, as a multiple of the fifth's; "
        "0: no sixth stage",
    )
    head: Literal["pool", "flatten"] = Field(
        default="pool", description="pool: global average before the classifier; flatten: every pixel of the last layer"
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )


def _named(value: Any) -> Any:
    """A family need not be named where it is `plain`."""
    return {"family": "plain", **value} if isinstance(value, dict) else value


ModelConfig = Annotated[
    Annotated[
        PlainModelConfig
        | VGGConfig
        | KancConfig
        | SimpleConfig
        | AlexNetConfig
        | ResNetConfig
        | DenseNetConfig
        | UNetConfig
        | U2NetConfig
        | MLPConfig,
        Field(discriminator="family"),
    ],
    BeforeValidator(_named),
]
