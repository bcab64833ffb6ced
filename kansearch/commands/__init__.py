"""The part of the commands between parsing and the packages that do the work: call, then print."""

__all__ = [
    "benching",
    "common",
    "comparing",
    "compressing",
    "confirming",
    "delivering",
    "formulas",
    "looking",
    "merging",
    "one_trial",
    "planning",
    "progress",
    "searching",
    "using",
    "verdict",
    "verdict_search",
]
