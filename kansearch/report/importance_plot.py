"""Importances as bars, and in words where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from kansearch.report.data import StudyData
from kansearch.report.importance import LEAST_TRIALS, Importance
from kansearch.report.svg import drawing, element, text

__all__ = ["importance_plot", "no_importances"]

_ROW, _MOST_ROWS = 22.0, 15
_LEFT, _RIGHT, _WIDTH = 214.0, 392.0, 480.0


def importance_plot(objective: str, found: Sequence[Importance]) -> Markup:
    """A bar for each hyperparameter, the longest first; paler where only some trials have it."""
    rows = found[:_MOST_ROWS]
    height = _ROW * len(rows) + 34
    body = [part for index, each in enumerate(rows) for part in _bar(index, each)]
    axis = element("path", d=f"M{_LEFT:.0f} 4V{_ROW * len(rows) + 6:.0f}", class_="axis")
    name = text((_LEFT + _RIGHT) / 2, height - 8, "share of the variance explained", "name", "middle")
    return drawing(_WIDTH, height, [axis, *body, name], f"Importance for {objective}")


def _bar(index: int, each: Importance) -> list[Markup]:
    top = 6 + index * _ROW
    width = max(each.share * (_RIGHT - _LEFT), 0.8)
    named = each.name if len(each.name) <= 32 else f"{each.name[:14]}…{each.name[-17:]}"
    within = "" if each.everywhere else f" of {each.trials}"
    tip = element("title", f"{each.name}: {each.share:.1%} of the variance among the {each.trials} trials that have it")
    bar = element(
        "rect",
        tip,
        x=_LEFT,
        y=top + 3,
        width=width,
        height=_ROW - 8,
        class_="bar" if each.everywhere else "bar some",
    )
    return [
        text(_LEFT - 6, top + 14, named, "tick", "end"),
        bar,
        text(_LEFT + width + 5, top + 14, f"{each.share:.0%}{within}", "tick"),
    ]


def no_importances(data: StudyData, found: Mapping[str, Sequence[Importance]]) -> str:
    """Why there is no plot; empty if there is one."""
    complete = len(data.complete)
    if complete < LEAST_TRIALS:
        return (
            f"Too few trials: {complete} are complete, and with fewer than {LEAST_TRIALS} an estimate of importance "
            "would be little more than chance."
        )
    if not any(found.values()):
        return "No hyperparameter took more than one value in enough trials, or the objectives did not vary."
    return ""
