"""The page's script, the policy that lets a browser run it and nothing else, and the data that it reads.

`templates/script` has its parts, plain JavaScript. They are joined in the order of `_PARTS`. The browser compares the
SHA-256 hash of the whole with the one in the policy, so a script that a study's name or note contains never runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from kansearch.report.axes import Axis, axes_of, letters, short, written
from kansearch.report.data import StudyData
from kansearch.report.front import CROWD, front_box
from kansearch.report.parallel import Parallel
from kansearch.report.plot import Plot
from kansearch.report.progress import curves_box
from kansearch.report.scales import Log
from trials.metrics import main_metric

__all__ = ["REFRESH_SECONDS", "Script", "as_embedded", "policy", "script"]

REFRESH_SECONDS = 60.0
"""A page of a search that runs loads itself again so often; a driver writes it no more often."""
_PARTS = ("data", "state", "overlay", "front", "moves", "lines", "brush", "table", "controls", "refresh", "main")


@cache
def script() -> str:
    """Return the whole script."""
    folder = files("kansearch.report") / "templates" / "script"
    return "\n".join((folder / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS)


def policy() -> str:
    """Return the page's Content-Security-Policy: nothing is loaded, and no script runs but this one."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )


def as_embedded(document: Mapping[str, Any]) -> Markup:
    """Return compact JSON that no `</script>` and no comment within it can end.

    Raises:
        ValueError: a number isn't finite.
    """
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


class Script:
    """The data that the script has of a study; little of one without a complete trial, which has no axes."""

    def __init__(self, data: StudyData) -> None:
        self._data = data
        self._records = [record for record in data.records if record.state != "infeasible"]
        self._budgets, self._axes = axes_of(data, self._records)

    @property
    def axes(self) -> list[Axis]:
        """Axes that the front can be drawn over."""
        return self._axes

    @property
    def budgets(self) -> int:
        """How many budgets of epochs there are to look at."""
        return len(self._budgets)

    @property
    def letters(self) -> int:
        """Room that the labels of all of them need, in letters."""
        return letters(self._axes)

    def document(self, parallel: Parallel | None) -> dict[str, Any]:
        """Return all of it; every list that is of trials is in the order of their numbers."""
        return {
            "study": self._data.name,
            "objectives": list(self._data.objectives),
            "numbers": [record.number for record in self._records],
            "states": [record.state for record in self._records],
            "epochs": [record.epochs for record in self._records],
            "budgets": self._budgets,
            "axes": [written(axis) for axis in self._axes],
            "front": self._front() if self._axes else None,
            "parallel": parallel and self._parallel(parallel),
            "curves": self._curves(),
        }

    def _front(self) -> dict[str, Any]:
        across, up = self._data.geometry.axes
        box = front_box(self._data.geometry.extent(across), self._data.geometry.extent(up), self.letters)
        references = [dict(reference.values) for reference in self._data.references]
        return {**_box(box), "drawn": [across, up], "crowd": CROWD, "references": references}

    def _parallel(self, parallel: Parallel) -> dict[str, Any]:
        lines = [parallel.lines[record.number] for record in self._records]
        return {
            "names": parallel.names,
            "top": parallel.top,
            "bottom": parallel.bottom,
            "x": [short(x) for x, _ in lines[0]],
            "y": [[round(y) for _, y in line] for line in lines],
        }

    def _curves(self) -> dict[str, Any] | None:
        """Return where curves are drawn; None where the metric was measured of no complete trial."""
        metric, box = main_metric(self._data.objectives), curves_box(self._data)
        if all(axis.name != metric for axis in self._axes):
            return None
        scales = {"across": _ends(box.x), "up": _ends(box.y)}
        return {**_box(box), "metric": metric, **scales}


def _box(plot: Plot) -> dict[str, Any]:
    return {"left": short(plot.left), "right": plot.right, "top": plot.top, "bottom": plot.bottom}


def _ends(scale: Any) -> dict[str, Any]:
    return {"low": scale.low, "high": scale.high, "log": isinstance(scale, Log)}
