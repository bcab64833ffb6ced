"""Which images a trial sees."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from trials.config.base import Config

__all__ = ["DataConfig"]


class DataConfig(Config):
    """Which images, how they are split, batched and augmented."""

    dataset: Literal["digits", "mnist", "fashion_mnist", "kmnist"] = Field(description="data set by name")
    validation: float = Field(
        default=0.1, gt=0, lt=1, description="share of the training split held out to measure a trial; stratified"
    )
    split_seed: int = Field(
        default=0, ge=0, description="seed of the train/validation split; one value for a whole study"
    )
    limit: int | None = Field(
        default=None, ge=20, description="use this many images of the training split, drawn by split_seed; null: all"
    )
    batch_size: int = Field(default=128, ge=1, le=65536, description="images a step")
    augment: Literal["none", "crop_flip"] = Field(
        default="none", description="crop_flip: random shift by up to 1/8 of the side, and horizontal flip"
    )
