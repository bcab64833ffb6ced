"""The task of a network, a class for each sample or each pixel, and the task its data ask for. Loads no torch."""

from __future__ import annotations

from trials.config import DENSE_FAMILIES

__all__ = ["task_problem"]


def task_problem(family: str, dense: bool, rows: bool = False) -> str | None:
    """Why a family cannot learn data with one class for each pixel (`dense`) or each sample, or samples that are `rows`
    of numbers; None where it can."""
    if rows and family != ROWS:
        return f"model.family={family} takes images or signals, and the data are rows of numbers; use {ROWS}"
    if dense == (family in DENSE_FAMILIES):
        return None
    if dense:
        return f"model.family={family} gives one class to a whole sample; for segmentation use {_DENSE}"
    return f"model.family={family} needs a segmentation data set, with a class for each pixel; use another family"


ROWS = "mlp"
"""The family that takes rows of numbers."""
_DENSE = " or ".join(DENSE_FAMILIES)
