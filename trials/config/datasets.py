"""The data sets that a configuration may name, images and signals as well as rows of numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trials.config.data import (
    ArraysDataConfig,
    EMNISTDataConfig,
    FolderDataConfig,
    FunctionDataConfig,
    ImageNetDataConfig,
    KnownDataConfig,
    SegmentationDataConfig,
    SyntheticDataConfig,
)
from trials.config.tables import (
    FeynmanDataConfig,
    FormulaDataConfig,
    KnownTableConfig,
    SpecialDataConfig,
    TableDataConfig,
)

__all__ = ["DatasetConfig"]

DatasetConfig = Annotated[
    KnownDataConfig
    | EMNISTDataConfig
    | SyntheticDataConfig
    | FolderDataConfig
    | ImageNetDataConfig
    | SegmentationDataConfig
    | ArraysDataConfig
    | FunctionDataConfig
    | TableDataConfig
    | KnownTableConfig
    | SpecialDataConfig
    | FeynmanDataConfig
    | FormulaDataConfig,
    Field(discriminator="dataset"),
]
