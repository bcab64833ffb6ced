"""The data sets whose samples are rows of numbers: tables of a user's or of scikit-learn, and functions."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from trials.config.data import DataConfig
from trials.formulas import Formula

__all__ = [
    "FeynmanDataConfig",
    "FormulaDataConfig",
    "FunctionValuesConfig",
    "KnownTableConfig",
    "RowsConfig",
    "SpecialDataConfig",
    "SplitRowsConfig",
    "TableDataConfig",
    "ranges_of",
]


def _names(value: Any) -> Any:
    """One name, or several."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


_Names = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_names),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class RowsConfig(DataConfig):
    """Rows of numbers; inputs, and the targets of a regression, are standardised by the part that is trained on."""

    @property
    def regression(self) -> bool:
        return True

    @model_validator(mode="after")
    def _no_images(self) -> Self:
        for name, needed in (("augment", "none"), ("pixels", "standard")):
            if getattr(self, name) != needed:
                raise ValueError(f"{name}: {getattr(self, name)} is for images, and {self.dataset} has rows of numbers")
        return self


class SplitRowsConfig(RowsConfig):
    """Rows of which a part is set aside for tests, once."""

    test: float = Field(
        default=0.2, gt=0, lt=1, description="share of the rows in the test split, which no search sees"
    )
    test_seed: int = Field(default=0, ge=0, description="seed of the test split; one value for all studies of a table")


class TableDataConfig(SplitRowsConfig):
    """A table in a file: CSV with a header, Parquet, or .npz with an array for each column."""

    dataset: Literal["table"] = Field(description="data set by name")
    file: str = Field(
        min_length=1, description="the table; a relative path is taken from the file that names it, or from --data-dir"
    )
    target: _Names = Field(min_length=1, description="the column to predict; a list of several in a regression")
    task: Literal["regression", "classification"] = Field(
        default="regression", description="what the target is: numbers, or a class"
    )
    ignore: _Names = Field(default=(), description="columns that are no inputs, such as an id")
    categorical: _Names = Field(
        default=(), description="columns of numbers that are names, such as a postcode; columns of text always are"
    )
    columns: _Names = Field(
        default=(),
        description="inputs of the network, `age` or `city=Rome`; read from the part of the file that is trained on",
    )
    labels: _Names = Field(default=(), description="names of the classes; read from the file's training split")
    samples: int | None = Field(default=None, ge=1, description="rows of the training split; counted in the file")

    @property
    def source(self) -> str:
        return f"file:{self.file}"

    @property
    def regression(self) -> bool:
        return self.task == "regression"

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        if not self.regression and len(self.target) > 1:
            raise ValueError(f"target: a classification has one, got {', '.join(self.target)}")
        for name in ("ignore", "categorical"):
            if both := set(self.target) & set(getattr(self, name)):
                raise ValueError(f"{name}: {sorted(both)[0]} is a target")
        inputs = {name.partition("=")[0] for name in self.columns}
        if wrong := inputs & {*self.target, *self.ignore}:
            raise ValueError(f"columns: {sorted(wrong)[0]} is a target, or ignored; remove data.columns")
        return self


class KnownTableConfig(SplitRowsConfig):
    """A table that comes with scikit-learn: diabetes is a regression, the others are classifications."""

    dataset: Literal["diabetes", "wine", "breast_cancer", "iris"] = Field(description="data set by name")

    @property
    def regression(self) -> bool:
        return self.dataset == "diabetes"


class FunctionValuesConfig(RowsConfig):
    """Values of a function at points that are drawn uniformly."""

    samples: int = Field(default=1000, ge=20, le=10**7, description="points of the training split")
    test_samples: int = Field(default=1000, ge=2, le=10**7, description="points of the test split")
    make_seed: int = Field(default=0, ge=0, description="of the points and of the noise")
    noise: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="standard deviation of the noise on the training split's targets, in that of the targets",
    )


class SpecialDataConfig(FunctionValuesConfig):
    """A special function of two arguments in (0, 1), as KANbeFair has them (arXiv 2407.16674)."""

    dataset: Literal["special"] = Field(description="data set by name")
    special: Literal[
        "ellipj", "ellipkinc", "ellipeinc", "jv", "yv", "kv", "iv", "jvp", "yvp", "kvp", "ivp",
        "lpmv0", "lpmv1", "sph_harm01", "sph_harm02",
    ] = Field(
        description="scipy's name; jvp, yvp, kvp, ivp: the derivatives, which KANbeFair calls jv, yv, kv, iv; lpmv0, "
        "lpmv1: of order 0 and 1; sph_harm01, sph_harm02: the real part, of order 0 and degree 1 and 2"
    )  # fmt: skip


def _known_equation(value: str) -> str:
    from trials.data.tables.feynman import EQUATIONS, unknown_equation

    if value not in EQUATIONS:
        raise ValueError(unknown_equation(value))
    return value


class FeynmanDataConfig(FunctionValuesConfig):
    """A formula of the Feynman lectures, with the ranges of its variables (AI Feynman, arXiv 1905.11481)."""

    dataset: Literal["feynman"] = Field(description="data set by name")
    equation: Annotated[str, AfterValidator(_known_equation)] = Field(
        description="its number, such as I.6.2; `kansearch validate` lists them where it is unknown"
    )


_RANGE = re.compile(r"\s*([A-Za-z_]\w*)\s+in\s+\[\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\]\s*")


def ranges_of(variables: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """The ends of each variable's range: `x in [-1, 1]` -> {"x": (-1.0, 1.0)}. Raises ValueError."""
    ranges: dict[str, tuple[float, float]] = {}
    for text in variables:
        match = _RANGE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            low, high = float(match[2]), float(match[3])
        except ValueError:
            raise ValueError(f"variables: {text!r} is no range; write 'x in [-1, 1]'") from None
        if not low < high:
            raise ValueError(f"variables: {text!r}: low < high must hold")
        if match[1] in ranges:
            raise ValueError(f"variables: {match[1]} has two ranges")
        ranges[match[1]] = low, high
    return ranges


def _parsed(value: str) -> str:
    return Formula(value).text


class FormulaDataConfig(FunctionValuesConfig):
    """A formula of one's own, such as `exp(sin(pi*x) + y^2)`; it is parsed, and never run as code."""

    dataset: Literal["formula"] = Field(description="data set by name")
    formula: Annotated[str, AfterValidator(_parsed)] = Field(
        description="numbers, variables, pi, + - * / **, and functions such as sin, exp, log, sqrt"
    )
    variables: _Names = Field(min_length=1, description="the range of each variable, such as ['x in [-1, 1]']")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names, ranges = Formula(self.formula).names, ranges_of(self.variables)
        if unranged := [name for name in names if name not in ranges]:
            raise ValueError(f"variables: {unranged[0]} of the formula has no range; add '{unranged[0]} in [-1, 1]'")
        if unused := [name for name in ranges if name not in names]:
            raise ValueError(f"variables: {unused[0]} is not in the formula")
        return self
