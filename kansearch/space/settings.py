"""The parts of a search-space file beside the configuration of a trial: objectives, constraints, and how to search."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from trials.metrics import METRICS

__all__ = [
    "DEFAULT_OBJECTIVES",
    "REGRESSION_OBJECTIVES",
    "ConstraintName",
    "Direction",
    "ObjectiveName",
    "SamplerName",
    "SchedulerName",
    "SearchSettings",
    "StartName",
    "StudyName",
    "parse_duration",
    "study_name",
]

Direction: TypeAlias = Literal["maximize", "minimize"]
if TYPE_CHECKING:
    ObjectiveName: TypeAlias = str
    ConstraintName: TypeAlias = str
else:
    ObjectiveName = Literal[tuple(METRICS)]
    ConstraintName = Literal[tuple(name for name, metric in METRICS.items() if metric.size)]
SamplerName: TypeAlias = Literal["tpe", "front", "random", "nsga2", "nsga3", "gp", "qmc", "grid"]
StartName: TypeAlias = Literal["none", "portfolio"]
SchedulerName: TypeAlias = Literal["none", "halving", "asha"]
DEFAULT_OBJECTIVES: dict[ObjectiveName, Direction] = {"accuracy": "maximize", "parameters": "minimize"}
REGRESSION_OBJECTIVES: dict[ObjectiveName, Direction] = {"nrmse": "minimize", "parameters": "minimize"}
"""Objectives of a file that names none, where classes are asked, and where numbers are."""

STUDY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
_DURATION = re.compile(r"(?:([0-9.]+)h)?(?:([0-9.]+)m)?(?:([0-9.]+)s)?", re.ASCII)


def study_name(name: str) -> str:
    """`name`. Raises ValueError where a study can't have it."""
    if not re.fullmatch(STUDY_PATTERN[1:-1], name):
        raise ValueError("must be 1 to 64 letters, digits, '-', '_' or '.', the first a letter or digit")
    return name


StudyName: TypeAlias = Annotated[
    str, AfterValidator(study_name), WithJsonSchema({"type": "string", "pattern": STUDY_PATTERN})
]


def parse_duration(value: object) -> object:
    """Seconds from `90s`, `30m`, `2h`, `1h30m` or a number of seconds; None stays None.

    Raises ValueError for text of any other form; other types are left for the field to judge.
    """
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value.strip()) if value.strip() else None
    try:
        if match is None:
            raise ValueError
        return sum(float(part) * unit for part, unit in zip(match.groups(), (3600, 60, 1), strict=True) if part)
    except ValueError:
        raise ValueError("must be a duration such as 90s, 30m, 2h or 1h30m, or a number of seconds") from None


Duration: TypeAlias = Annotated[
    Annotated[float, Field(gt=0)] | None,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^(?=.)([0-9.]+h)?([0-9.]+m)?([0-9.]+s)?$"},
                {"type": "null"},
            ]
        }
    ),
]


class SearchSettings(BaseModel):
    """How the space is searched: who proposes, who stops, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    sampler: SamplerName = Field(
        default="front",
        description="who proposes; tpe and front learn from the trials, and front knows sizes before training",
    )
    scheduler: SchedulerName = Field(
        default="halving",
        description="who stops weak trials early: none, nobody; halving, by all objectives; asha, by the first alone",
    )
    min_epochs: int = Field(default=1, ge=1, description="halving, asha: epochs before a trial may be stopped")
    reduction_factor: int = Field(
        default=3, ge=2, description="halving, asha: one in this many goes on, and trains as many times longer"
    )
    brackets: int = Field(
        default=1, ge=1, description="halving, asha: every n-th trial meets all rungs, the others skip 1, 2, ... n - 1"
    )
    trials: int = Field(default=50, ge=1, description="the search ends after this many trials")
    time_budget: Duration = Field(
        default=None, description="the search ends after this long: 90s, 30m, 2h, 1h30m or seconds; null: no limit"
    )
    epochs_budget: int | None = Field(
        default=None, ge=1, description="the search ends after this many epochs of all trials together; null: no limit"
    )
    device_budget: Duration = Field(
        default=None, description="the search ends after so many device-seconds of all trials together; null: no limit"
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        description="no trial is started after this many in a row that did not raise the hypervolume; null: no limit",
    )
    retries: int = Field(
        default=2, ge=0, description="times that a trial goes on from its checkpoint after its worker was lost"
    )
    hang_factor: float = Field(
        default=20.0, gt=1, description="a trial silent for so many times its slowest epoch is given up"
    )
    hang_minimum: Duration = Field(
        default=300.0,
        description="but never earlier than after this long, 12 times as long before its first epoch; null: never",
    )
    checkpoint_seconds: float = Field(
        default=10.0,
        ge=0,
        description="an epoch's end writes a checkpoint after so much training since the last one, s: a crash costs no "
        "trial more than this and an epoch; 0: after each epoch",
    )
    deterministic: bool = Field(
        default=False,
        description="the same trials for the same seed and number of workers, whatever their timing; workers wait",
    )
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="of the sampler")
    startup_trials: int = Field(
        default=10, ge=1, description="trials drawn at random before tpe, front or gp begins to learn"
    )
    start: StartName = Field(
        default="portfolio",
        description="what is tried first, after enqueue: portfolio, what was good on other, recorded data sets, if the "
        "sampler learns; none, nothing",
    )
    random_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="share of the proposals that are drawn at random all the same; null: tpe 0.5, front 0.25",
    )
    max_concurrent: int | None = Field(
        default=None, ge=1, description="trials at the same time; null: as many as the machines hold"
    )
    cpus_per_trial: float = Field(default=1.0, gt=0, description="CPU cores of one trial")
    gpus_per_trial: Annotated[float, Field(ge=0)] | Literal["auto"] = Field(
        default="auto",
        description="GPUs of one trial, a share such as 0.25 included; auto: as many trials on a GPU as gain by it",
    )
