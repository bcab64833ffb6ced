"""The configuration of a trial: `TrialConfig`, complete and frozen, and the names it may use. Loads no torch.

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
    EMNISTDataConfig,
    FolderDataConfig,
    FunctionDataConfig,
    ImageNetDataConfig,
    KnownDataConfig,
    SegmentationDataConfig,
    SyntheticDataConfig,
)
from trials.config.datasets import DatasetConfig
from trials.config.grids import AdaptGridConfig, GridScheduleConfig, check_grids
from trials.config.kanc import KancConfig
from trials.config.layer import LayerConfig
from trials.config.loss import LossConfig, MSEConfig
from trials.config.mlp import MLPConfig
from trials.config.model import ModelConfig, PlainModelConfig, VGGConfig
from trials.config.optimizer import AdamWConfig, LBFGSConfig, LionConfig, OptimizerConfig, RegularizationConfig
from trials.config.residual import DenseNetConfig, ResNetConfig
from trials.config.simple import SimpleConfig
from trials.config.start import StartConfig
from trials.config.tables import (
    FeynmanDataConfig,
    FormulaDataConfig,
    KnownTableConfig,
    RowsConfig,
    SpecialDataConfig,
    TableDataConfig,
)
from trials.config.unet import DENSE_FAMILIES, U2NetConfig, UNetConfig

__all__ = [
    "DENSE_FAMILIES",
    "AdamWConfig",
    "AdaptGridConfig",
    "AlexNetConfig",
    "ArraysDataConfig",
    "BSplineConfig",
    "BasisConfig",
    "DataConfig",
    "DatasetConfig",
    "DenseNetConfig",
    "EMNISTDataConfig",
    "FeynmanDataConfig",
    "FolderDataConfig",
    "FormulaDataConfig",
    "FunctionDataConfig",
    "GridScheduleConfig",
    "ImageNetDataConfig",
    "KancConfig",
    "KnownDataConfig",
    "KnownTableConfig",
    "LBFGSConfig",
    "LayerConfig",
    "LionConfig",
    "LossConfig",
    "MLPConfig",
    "MSEConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PlainModelConfig",
    "RegularizationConfig",
    "ResNetConfig",
    "RowsConfig",
    "SegmentationDataConfig",
    "SimpleConfig",
    "SpecialDataConfig",
    "StartConfig",
    "SyntheticDataConfig",
    "TableDataConfig",
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
    loss: LossConfig = Field(
        default=MSEConfig(name="mse"), description="what a regression makes small; no effect on classes"
    )
    schedule: Literal["constant", "cosine", "one_cycle", "polynomial"] = Field(
        default="cosine", description="learning rate over the steps; all but constant end near zero"
    )
    power: float = Field(
        default=1.0, gt=0, le=10, description="exponent of the polynomial schedule; no effect on the others"
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of all steps in which the learning rate rises to the schedule's first one, before it begins",
    )
    epochs: int = Field(default=10, ge=1, le=100000, description="passes over the training images")
    accumulate: int = Field(
        default=1, ge=1, le=1024, description="batches whose mean gradient makes one step of the optimizer"
    )
    grid_schedule: GridScheduleConfig = Field(
        default=GridScheduleConfig(), description="B-splines' grids that get finer while training"
    )
    adapt_grid: AdaptGridConfig = Field(
        default=AdaptGridConfig(), description="grids that move to where their inputs lie while training"
    )
    precision: Literal["auto", "float32", "bfloat16", "float64"] = Field(
        default="auto",
        description="of convolutions and products; bfloat16: mixed, weights stay float32; auto: bfloat16 on CUDA, but "
        "float32 in a regression; float64: weights too, of the family mlp",
    )
    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="of weights, batch order, augmentation and dropout")
    start: StartConfig = Field(default=StartConfig(), description="what training starts from")

    @property
    def images_per_step(self) -> int:
        """Images of one step of the optimizer: `accumulate` batches."""
        return self.data.batch_size * self.accumulate

    @property
    def numbers(self) -> str:
        """`precision`, with what auto means in a regression."""
        return "float32" if self.precision == "auto" and self.data.regression else self.precision

    @model_validator(mode="after")
    def _precise(self) -> TrialConfig:
        if self.precision == "bfloat16" and self.data.regression:
            raise ValueError("precision: bfloat16 has two digits, too few for a regression; use float32 or float64")
        if self.precision == "float64" and not isinstance(self.model, MLPConfig):
            raise ValueError(f"precision: float64 is for the family mlp, not {self.model.family}; use float32")
        return self

    @model_validator(mode="after")
    def _grids(self) -> TrialConfig:
        given = self.start.weights is not None or getattr(self.model, "pretrained", None) is not None
        check_grids(self.model, self.grid_schedule, self.adapt_grid, given)
        return self

    @model_validator(mode="after")
    def _one_start(self) -> TrialConfig:
        if self.start.weights is not None and getattr(self.model, "pretrained", None) is not None:
            raise ValueError("start.weights and model.pretrained both say what the features start from; remove one")
        return self
