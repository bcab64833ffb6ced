"""AlexNet's family."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trials.config.basis import ACTIVATIONS_BEFORE_PLAIN_LAYERS, BasisConfig, PlainConfig
from trials.config.layer import LayerConfig
from trials.config.start import Weights

__all__ = ["AlexNetConfig"]


class AlexNetConfig(LayerConfig):
    """AlexNet for images of about 32x32 pixels: five 3x3 convolutions with three 2x2 poolings, and a classifier.

    Its convolutions are plain by default: then basis, base branch, bias, ... are those of a KAN classifier.
    """

    family: Literal["alexnet"] = Field(description="model family")
    basis: BasisConfig = Field(default=PlainConfig(name="none"), description="basis of the convolutions; none: plain")
    base_activation: Literal["silu", "relu", "gelu", "identity"] = Field(
        default="relu", description="b of the base branch; the activation of plain layers"
    )
    width: int = Field(
        default=64, ge=1, le=512, description="channels of the first convolution; the others have 3, 6, 4, 4 times them"
    )
    normalization: Literal["batch", "instance", "layer", "group", "none"] = Field(
        default="none", description="normalisation of each convolution's output"
    )
    features: Literal["trained", "frozen"] = Field(
        default="trained", description="whether the convolutions learn; frozen: they stay as they are in `pretrained`"
    )
    pretrained: Weights | None = Field(
        default=None,
        description="weights that the convolutions start from: the model.safetensors that `kansearch retrain` wrote, "
        "as PATH in a search space, as PATH@sha256:HASH in a trial; null: random ones",
    )
    classifier: Literal["linear", "kan"] = Field(default="linear", description="layers of the classifier")
    classifier_basis: BasisConfig | None = Field(
        default=None, description="basis of a KAN classifier; null: that of the convolutions"
    )
    output_basis: BasisConfig | None = Field(
        default=None, description="basis of a KAN classifier's last layer; null: that of the others"
    )
    classifier_normalization: Literal["batch", "layer", "none"] = Field(
        default="batch", description="normalisation of the input of each KAN layer of the classifier"
    )
    hidden: int = Field(default=4096, ge=1, le=65536, description="features of each hidden layer of the classifier")
    hidden_layers: int = Field(default=2, ge=0, le=4, description="hidden layers of the classifier")
    classifier_dropout: float = Field(
        default=0.5, ge=0, lt=1, description="probability of dropping a feature before each of the classifier's layers "
        "but the last; before all of them where they are KAN layers",
    )  # fmt: skip

    @model_validator(mode="after")
    def _together(self) -> AlexNetConfig:
        if self.features == "frozen" and self.pretrained is None:
            raise ValueError("features=frozen needs `pretrained`, the weights that they keep")
        basis = self.classifier_basis or self.basis
        if self.classifier == "kan" and not {basis.name, (self.output_basis or basis).name}.isdisjoint(
            ACTIVATIONS_BEFORE_PLAIN_LAYERS
        ):
            raise ValueError("classifier=kan needs a basis: name one in `classifier_basis`")
        return self
