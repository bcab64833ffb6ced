"""`report.html`: one page that needs no network, in light and in dark, on a screen and on paper.

All of it is there without a script. The script lights up, filters and moves what is drawn (`kansearch.report.script`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kansearch.errors import KansearchError
from kansearch.report.bases import basis_plots, basis_table, quality_objective
from kansearch.report.confirmation import confirmation
from kansearch.report.data import StudyData
from kansearch.report.failures import failure_groups
from kansearch.report.front import front_plots, legend
from kansearch.report.geometry import axis_name, is_logarithmic
from kansearch.report.hyperparameters import panels
from kansearch.report.importance import MOST_TRIALS, importances
from kansearch.report.importance_plot import importance_plot, no_importances
from kansearch.report.parallel import SHADES, parallel_plot
from kansearch.report.predictions import predictions
from kansearch.report.progress import curves_plot, progress_plots
from kansearch.report.provenance import provenance
from kansearch.report.script import REFRESH_SECONDS, Script, as_embedded, policy, script
from kansearch.report.summary import summary
from kansearch.report.svg import shape_definitions
from kansearch.report.timeline import STATES, timeline, timeline_plot
from kansearch.report.trials_table import headings, rows
from kansearch.report.verdict import verdict_section
from kansearch.study.figures import describe, number
from kansearch.study.records import TrialRecord
from trials.files import write_whole
from trials.metrics import main_metric

if TYPE_CHECKING:
    import jinja2

__all__ = ["environment", "render", "write_html", "write_page"]


def write_html(data: StudyData, path: Path) -> None:
    """Write the page; whoever reads it meanwhile sees the old one whole.

    Raises:
        KansearchError: `path` can't be written.
    """
    write_page(path, render(data))


def write_page(path: Path, page: str) -> None:
    """Write the text of a page as `write_html` does."""
    try:
        write_whole(path, page)
    except OSError as error:
        raise KansearchError(f"cannot write {path}: {error.strerror or error}") from error


def render(data: StudyData) -> str:
    """The page as text."""
    page = {
        "shapes": shape_definitions(),
        "data": data,
        "summary": summary(data),
        "front": None,
        "axis_name": axis_name,
        "policy": policy(),
        "script": Markup(script()),
        "headings": headings(data),
        "rows": rows(data),
    }
    answering, parallel = Script(data), None
    page |= {"timeline": _timeline(data), "failures": failure_groups(data), "provenance": provenance(data)}
    if data.complete:
        explained = _explained(data)
        parallel = explained["parallel"]
        page |= {"front": _front(data, answering), "progress": progress_plots(data)} | _curves(data) | explained
        page |= {"bases": _bases(data), "confirmation": confirmation(data), "predictions": predictions(data)}
        page |= {"verdict": verdict_section({data.name: (data.records, data.confirmed)}, data.objectives)}
    refresh = {"refresh": REFRESH_SECONDS if data.running else None}
    page["embedded"] = as_embedded(answering.document(parallel) | refresh)
    return environment().get_template("report.html.j2").render(page)


def environment() -> jinja2.Environment:
    """The templates, all values escaped."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("kansearch.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _front(data: StudyData, answering: Script) -> dict[str, Any]:
    first, *others = front_plots(data, answering.letters)
    across, up = data.geometry.axes
    return {
        "plot": first,
        "others": others,
        "legend": legend(data),
        "axes": [(axis.name, axis_name(axis.name)) for axis in answering.axes],
        "drawn": (across, up),
        "budgets": answering.budgets,
        "names": [name.replace("_", " ") for name in data.objectives],
        "rows": [
            (
                record.number,
                [number(name, record.values[name]) for name in data.objectives],
                describe(record.stored),
                record is data.knee,
                _from(record) if data.sources else "",
            )
            for record in data.front
        ],
        "logarithmic": is_logarithmic(across),
        "outside": data.geometry.hidden(up),
        "references": data.references,
    }


def _from(record: TrialRecord) -> str:
    """Which study trained a trial of a merged one."""
    return "this study" if record.source is None else f"trial {record.source['number']} of {record.source['study']}"


def _curves(data: StudyData) -> dict[str, Any]:
    return {"curves": curves_plot(data), "curve_metric": axis_name(main_metric(data.objectives))}


def _explained(data: StudyData) -> dict[str, Any]:
    """Importances, and what is drawn in their order."""
    found = {objective: importances(data, objective) for objective in data.objectives}
    order = [each.name for each in found[next(iter(data.objectives))]]
    missing = no_importances(data, found)
    drawn = (
        []
        if missing
        else [(axis_name(name), importance_plot(name, shares)) for name, shares in found.items() if shares]
    )
    return {
        "importances": drawn,
        "no_importances": missing,
        "sampled": MOST_TRIALS if len(data.complete) > MOST_TRIALS else None,
        "partly": any(not each.everywhere for shares in found.values() for each in shares),
        "panels": panels(data, order),
        "parallel": parallel_plot(data, order) if len(data.complete) > 1 else None,
        "shades": list(SHADES.items()),
    }


def _bases(data: StudyData) -> dict[str, Any] | None:
    quality = quality_objective(data)
    if quality is None:
        return None
    plots = basis_plots(data, quality)
    return {"plots": plots, "table": basis_table(data, quality), "quality": axis_name(quality)} if plots else None


def _timeline(data: StudyData) -> dict[str, Any] | None:
    shown = timeline(data)
    if shown is None:
        return None
    present = {record.state for record in data.records}
    return {
        "plot": timeline_plot(shown),
        "places": shown.places,
        "idle": f"{shown.idle:.0%}",
        "states": [state for state in STATES if state in present],
        "sessions": len(data.sessions),
    }
