"""The weights that training starts from: random ones, or those of a trained network."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from trials.config.base import Config

__all__ = ["StartConfig", "Weights"]


def _pinned(value: str) -> str:
    if not re.fullmatch(r".+@sha256:[0-9a-f]{64}", value):
        raise ValueError(f"must be PATH@sha256:HASH, got {value!r}")
    return value


Weights = Annotated[str, AfterValidator(_pinned)]
"""A safetensors file's path, and what its bytes' SHA-256 must be."""


class StartConfig(Config):
    """The weights that training starts from."""

    weights: Weights | None = Field(
        default=None,
        description="weights of a trained network of the same model: the model.safetensors that `kansearch retrain` "
        "wrote, as PATH in a search space, as PATH@sha256:HASH in a trial; null: random ones. A head for other classes "
        "is left random",
    )
    freeze: Literal["none", "features"] = Field(
        default="none", description="features: everything but the head stays as it is in `weights`"
    )

    @model_validator(mode="after")
    def _together(self) -> StartConfig:
        if self.freeze == "features" and self.weights is None:
            raise ValueError("freeze=features needs `weights`, which the features keep")
        return self
