"""Grids that change while a trial trains."""

from __future__ import annotations

from pydantic import Field

from trials.config.base import Config
from trials.config.basis import BSplineConfig
from trials.config.layer import LayerConfig

__all__ = ["BASIS_FIELDS", "AdaptGridConfig", "GridScheduleConfig", "check_grids"]

BASIS_FIELDS = ("basis", "classifier_basis", "output_basis")
"""Fields of a model's configuration that may hold a basis."""


class GridScheduleConfig(Config):
    """B-splines begin on a coarser grid, which is extended while training. The model's grid_size is the last one."""

    extensions: int = Field(
        default=0,
        ge=0,
        le=6,
        description="times that every B-spline's grid is extended, inside of which no function changes; "
        "grid_size must be a multiple of factor to this power. No effect on other bases",
    )
    factor: int = Field(default=2, ge=2, le=10, description="intervals that an extension makes of each one")
    until: float = Field(
        default=0.5, gt=0, lt=1, description="share of the epochs before the last extension; they are evenly spaced"
    )

    @property
    def ratio(self) -> int:
        """Intervals of the last grid in one of the first."""
        return int(self.factor**self.extensions)


class AdaptGridConfig(Config):
    """Grids are moved to where the inputs of their layers lie, and the weights refitted by least squares."""

    times: int = Field(
        default=0,
        ge=0,
        le=100,
        description="times that every grid is moved while training; no effect on bases without a grid",
    )
    until: float = Field(
        default=0.5, gt=0, lt=1, description="share of the epochs before the last move; they are evenly spaced"
    )
    share: float = Field(default=0.99, gt=0, le=1, description="share of a layer's inputs that a moved grid covers")


def check_grids(model: LayerConfig, schedule: GridScheduleConfig, adapt: AdaptGridConfig, given: bool) -> None:
    """Raises ValueError where a grid can't be reached by extensions, or where weights are `given`, with their grids."""
    if given and (schedule.extensions or adapt.times):
        raise ValueError(
            "grid_schedule and adapt_grid change grids, but start.weights and model.pretrained bring the final ones; "
            "set grid_schedule.extensions and adapt_grid.times to 0"
        )
    for field in BASIS_FIELDS if schedule.extensions else ():
        basis = getattr(model, field, None)
        if isinstance(basis, BSplineConfig) and basis.grid_size % schedule.ratio:
            raise ValueError(
                f"grid_schedule: {schedule.extensions} extensions by {schedule.factor} need model.{field}.grid_size to "
                f"be a multiple of {schedule.ratio}, got {basis.grid_size}; only nested grids keep the functions "
                f"(in a search space: {{int: [LOW, HIGH], step: {schedule.ratio}}})"
            )
