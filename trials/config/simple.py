"""The family of torch-conv-kan's baseline networks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.layer import LayerConfig

__all__ = ["SimpleConfig"]


class SimpleConfig(LayerConfig):
    """4 to 16 3x3 convolutions, some of stride 2, then a global average (arXiv 2407.01092's baselines).

    Of 4 and 8, channels are 1, 2, 4, 8 times `width`, then 16, 16, 32, 32 times; the second, third and sixth have
    stride 2. Of 12 and 16, each of 1, 2, 4, 8 comes twice, then 16 and 32 twice or four times each; the second, fourth
    and eighth have stride 2.
    """

    family: Literal["simple"] = Field(description="model family")
    depth: Literal[4, 8, 12, 16] = Field(default=4, description="convolutions")
    width: int = Field(default=16, ge=1, le=512, description="channels of the first convolution")
    groups: int = Field(
        default=1, ge=1, le=512, description="groups of channels in each convolution but the first; divides `width`"
    )
    normalize: Literal["input", "output"] = Field(
        default="input", description="what is normalised: each convolution's input, or its output"
    )
    output_activation: Literal["identity", "silu", "relu", "prelu"] | None = Field(
        default=None,
        description="what follows each KAN convolution and its normalisation; null: base_activation, which follows a "
        "plain one",
    )
    classifier: Literal["linear", "kan"] = Field(
        default="linear", description="last layer: linear, or KAN with the same basis"
    )
    classifier_dropout: float = Field(
        default=0.0, ge=0, lt=1, description="probability of dropping a feature before the classifier"
    )
