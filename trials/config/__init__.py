"""What a trial is made of: `TrialConfig`, complete and frozen, and the names it may use. Loads no torch.

A sampler proposes one, a worker trains it, MLflow logs it, `kansearch export` writes it and `kansearch retrain` reads
it:

    TrialConfig.model_validate({
        "data": {"dataset": "digits"},
        "model": {"depth": 3, "width": 16, "basis": {"name": "bspline", "grid_size": 5}},
        "optimizer": {"name": "adamw", "lr": 1e-3},
        "epochs": 10,
    })

The fields below are also the grammar of a search-space file: their names, types, ranges and descriptions are what
`kansearch validate` checks and `kansearch schema` prints.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from trials.config.alexnet import AlexNetConfig
from trials.config.base import Config
from trials.config.basis import BasisConfig, BSplineConfig
from trials.config.data import (
    ArraysDataConfig,
    DataConfig,
    DatasetConfig,
    EMNISTDataConfig,
    FolderDataConfig,
    FunctionDataConfig,
    ImageNetDataConfig,
    KnownDataConfig,
    SegmentationDataConfig,
    SyntheticDataConfig,
)
from trials.config.kanc import KancConfig
from trials.config.layer import LayerConfig
from trials.config.model import ModelConfig, PlainModelConfig, VGGConfig
from trials.config.optimizer import AdamWConfig, LBFGSConfig, LionConfig, OptimizerConfig, RegularizationConfig
from trials.config.residual import DenseNetConfig, ResNetConfig
from trials.config.simple import SimpleConfig
from trials.config.start import StartConfig
from trials.config.unet import DENSE_FAMILIES, U2NetConfig, UNetConfig

__all__ = [
    "DENSE_FAMILIES",
    "AdamWConfig",
    "AlexNetConfig",
    "ArraysDataConfig",
    "BSplineConfig",
    "BasisConfig",
    "DataConfig",
    "DatasetConfig",
    "DenseNetConfig",
    "EMNISTDataConfig",
    "FolderDataConfig",
    "FunctionDataConfig",
    "ImageNetDataConfig",
    "KancConfig",
    "KnownDataConfig",
    "LBFGSConfig",
    "LayerConfig",
    "LionConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PlainModelConfig",
    "RegularizationConfig",
    "ResNetConfig",
    "SegmentationDataConfig",
    "SimpleConfig",
    "StartConfig",
    "SyntheticDataConfig",
    "TrialConfig",
    "U2NetConfig",
    "UNetConfig",
    "VGGConfig",
]


class TrialConfig(Config):
    """Everything that decides a trial's numbers, but for the device it runs on."""

    data: DatasetConfig = Field(description="images, split, batches, augmentation")
    model: ModelConfig = Field(default=PlainModelConfig(), description="the network")
    regularization: RegularizationConfig = Field(default=RegularizationConfig(), description="penalties in the loss")
    optimizer: OptimizerConfig = Field(default=AdamWConfig(name="adamw"), description="how weights are updated")
    schedule: Literal["constant", "cosine", "one_cycle"] = Field(
        default="cosine", description="learning rate over the steps; cosine and one_cycle end near zero"
    )
    epochs: int = Field(default=10, ge=1, le=100000, description="passes over the training images")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of convolutions and products; bfloat16: mixed, weights stay float32; auto: bfloat16 on CUDA",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of weights, batch order, augmentation and dropout")
    start: StartConfig = Field(default=StartConfig(), description="what training starts from")

    @model_validator(mode="after")
    def _one_start(self) -> TrialConfig:
        if self.start.weights is not None and getattr(self.model, "pretrained", None) is not None:
            raise ValueError("start.weights and model.pretrained both say what the features start from; remove one")
        return self
