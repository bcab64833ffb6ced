"""The task of a network, a class for each sample or each pixel, and the task its data ask for. Loads no torch."""

from __future__ import annotations

from trials.config import DENSE_FAMILIES

__all__ = ["task_problem"]


def task_problem(family: str, dense: bool) -> str | None:
    """Why a family cannot learn data with one class for each pixel (`dense`) or each sample; None where it can."""
    if dense == (family in DENSE_FAMILIES):
        return None
    if dense:
        return f"model.family={family} gives one class to a whole sample; for segmentation use {_DENSE}"
    return f"model.family={family} needs a segmentation data set, with a class for each pixel; use another family"


_DENSE = " or ".join(DENSE_FAMILIES)
