"""Trials that did not complete, grouped by what ended them; reasons that differ in figures alone are one group."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kansearch.report.data import StudyData
from kansearch.study.records import TrialRecord

__all__ = ["Group", "failure_groups"]

_FIGURE = re.compile(r"(?<![A-Za-z_])\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
_MOST_EXAMPLES = 8
_ORDER = ("fail", "lost worker", "pruned", "infeasible")


@dataclass(frozen=True)
class Group:
    """`count` trials ended (or interrupted) in the same way; `example` is one reason in full."""

    state: str
    reason: str
    count: int
    example: str
    trials: str


def failure_groups(data: StudyData) -> list[Group]:
    """Failures first, then lost workers, pruned and infeasible ones; within each, the most frequent first."""
    found: dict[tuple[str, str], list[tuple[TrialRecord, str]]] = defaultdict(list)
    for record in data.records:
        if record.state in ("fail", "pruned", "infeasible"):
            reason = record.reason or "no reason noted"
            found[record.state, _masked(reason, record)].append((record, reason))
        for loss in record.losses:
            found["lost worker", _masked(loss, record)].append((record, loss))
    groups = [_group(state, reason, those) for (state, reason), those in found.items()]
    return sorted(groups, key=lambda group: (_ORDER.index(group.state), -group.count, group.reason))


def _masked(reason: str, record: TrialRecord) -> str:
    """Without figures; of a stopped trial, the rung at which it was stopped remains."""
    if record.state == "pruned":
        return reason.partition(": rank ")[0]
    return _FIGURE.sub("…", reason)


def _group(state: str, reason: str, those: Sequence[tuple[TrialRecord, str]]) -> Group:
    numbers = ", ".join(str(record.number) for record, _ in those[:_MOST_EXAMPLES])
    more = ", …" if len(those) > _MOST_EXAMPLES else ""
    return Group(state, reason, len(those), those[0][1], numbers + more)
