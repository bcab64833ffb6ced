"""The loss of a regression."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trials.config.base import Config

__all__ = ["HuberConfig", "LossConfig", "MAEConfig", "MSEConfig", "QuantileConfig"]


class MSEConfig(Config):
    """The mean squared error, of targets of deviation 1."""

    name: Literal["mse"]


class MAEConfig(Config):
    """The mean absolute error, of targets of deviation 1."""

    name: Literal["mae"]


class HuberConfig(Config):
    """Half the squared error where it is small, and beyond `delta` linear: robust against outliers."""

    name: Literal["huber"]
    delta: float = Field(default=1.0, gt=0, le=100, description="where it becomes linear, in deviations of the target")


class QuantileConfig(Config):
    """The pinball loss, whose minimum is a quantile of the target: max(q·(y - ŷ), (q - 1)·(y - ŷ))."""

    name: Literal["quantile"]
    quantile: float = Field(default=0.5, gt=0, lt=1, description="q; 0.5: the median")


LossConfig = Annotated[MSEConfig | MAEConfig | HuberConfig | QuantileConfig, Field(discriminator="name")]
