"""The family of Convolutional-KANs' small networks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.basis import BasisConfig
from trials.config.layer import LayerConfig

__all__ = ["KancConfig"]


class KancConfig(LayerConfig):
    """Two 3x3 convolutions without padding, each ended by a 2x2 max pooling, and a flattened head (arXiv 2406.13155).

    KKAN: KAN convolutions and a KAN classifier. KANC MLP: KAN convolutions and linear layers. Conv & KAN: plain
    convolutions and a KAN classifier. CNN: basis `none`. CKAN-BN: KANC MLP with normalization `batch` and a hidden
    layer. A convolution of `convolution: plain` is followed by a ReLU, one of a control by `base_activation`, a KAN one
    by nothing.
    """

    family: Literal["kanc"] = Field(description="model family")
    convolution: Literal["kan", "plain"] = Field(
        default="kan", description="the convolutions; plain: the basis is the classifier's alone"
    )
    width: int = Field(default=5, ge=1, le=1024, description="channels of the first convolution")
    growth: int = Field(
        default=2, ge=1, le=16, description="channels of the second convolution over those of the first"
    )
    normalization: Literal["batch", "instance", "layer", "group", "none"] = Field(
        default="none", description="normalisation of each convolution's output, before its pooling"
    )
    classifier: Literal["linear", "kan"] = Field(default="linear", description="the layers of the head: linear, or KAN")
    hidden: int | None = Field(
        default=None, ge=1, le=65536, description="features of a hidden layer in the head; null: no hidden layer"
    )
    hidden_activation: Literal["silu", "relu", "gelu", "identity"] = Field(
        default="relu", description="what follows the hidden layer; no effect without one"
    )
    classifier_basis: BasisConfig | None = Field(
        default=None, description="basis of a KAN classifier; null: that of the convolutions"
    )
