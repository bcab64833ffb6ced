"""Is a KAN better here? The verdicts on the trials of one study, or of several, as a section of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from kansearch.report.plot import Plot
from kansearch.report.scales import Names, fitted
from kansearch.report.svg import marker, polyline
from kansearch.space import Direction
from kansearch.study.confirmed import Confirmed
from kansearch.study.records import TrialRecord
from kansearch.study.verdict import Verdict, arms, default_sizes, judged_objective, verdicts
from kansearch.study.verdict_text import HEADINGS, cells, effort, sentence, signed, to_do

__all__ = ["verdict_section"]

_ROW = 34.0


def verdict_section(
    studies: Mapping[str, tuple[Sequence[TrialRecord], Sequence[Confirmed]]], objectives: Mapping[str, Direction]
) -> dict[str, Any] | None:
    """Return what the page shows of both arms; None where one of them has no complete trial.

    Args:
        studies: for each study its trials, and those of them that were confirmed.
        objectives: direction of each, the same for all studies.
    """
    kan, plain = arms(studies)
    if judged_objective(objectives) is None or not kan.contenders or not plain.contenders:
        return None
    found = verdicts(kan, plain, objectives, default_sizes([*kan.contenders, *plain.contenders]))
    said = sentence(found)
    return {
        "sentence": f"{said[0].upper()}{said[1:]}.",
        "plot": _plot(found),
        "headings": HEADINGS,
        "rows": [cells(each, several=len(studies) > 1) for each in found],
        "notes": [*effort(kan, plain), *to_do(found)],
    }


def _plot(found: Sequence[Verdict]) -> Markup | None:
    """Each difference that is told with its interval, by the bound of parameters; None where none is."""
    told = [
        (f"{each.most:,.0f}", each.difference, each.half)
        for each in found
        if each.difference is not None and each.half is not None
    ]
    if not told:
        return None
    ends = [end for _, middle, half in told for end in (middle - half, middle + half)]
    bounds = [bound for bound, *_ in reversed(told)]
    name = found[0].objective.replace("_", " ")
    scales = fitted([0.0, *ends]), Names(tuple(bounds))
    plot = Plot(*scales, f"{name}: KAN minus plain network", "at most", 640, 70 + _ROW * len(told))
    body = [polyline([(plot.across(scales[0](0.0)), end) for end in (plot.top, plot.bottom)], "front")]
    for bound, middle, half in told:
        tip = f"at most {bound} parameters: {signed(found[0].objective, middle, half)}"
        body.append(polyline(plot.points([(middle - half, bound), (middle + half, bound)]), "error blue"))
        body.append(marker(*plot.at(middle, bound), "circle", "best blue circle", tip))
    return plot.draw(body, f"Difference in {name} between the best KAN and the best plain network")
