"""Where the figures come from: settings, and for each driver its time, hardware and versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kansearch import __version__
from kansearch.report.data import StudyData
from kansearch.study.figures import duration

__all__ = ["Provenance", "provenance"]


@dataclass(frozen=True)
class Provenance:
    """Rows of name and value; a block of these rows for each driver; the space's file and what was set beside it."""

    settings: list[tuple[str, str]]
    sessions: list[list[tuple[str, str]]]
    file: str
    source: str
    overrides: tuple[str, ...]


def provenance(data: StudyData) -> Provenance:
    """All of it as text."""
    search = data.space.search
    scheduler: str = search.scheduler
    if scheduler != "none":
        scheduler += f", one in {search.reduction_factor} goes on, from {search.min_epochs} epochs"
    settings = [
        ("report written", f"{data.written:%Y-%m-%d %H:%M %Z} by kansearch {__version__}"),
        ("data set", data.space.dataset),
        ("objectives", ", ".join(f"{name}: {direction}" for name, direction in data.objectives.items())),
        (
            "constraints",
            ", ".join(f"{name} <= {bound:,.0f}" for name, bound in data.space.constraints.items()) or "none",
        ),
        ("sampler, seed", f"{search.sampler}, {search.seed}"),
        ("scheduler", scheduler),
        ("deterministic", "yes" if search.deterministic else "no: the order in which trials end plays a part"),
        ("wall time of all drivers", duration(data.elapsed_seconds)),
    ]
    settings += [("merged from", _source(data, source)) for source in data.sources]
    sessions = [_session(each) for each in data.sessions]
    return Provenance(settings, sessions, Path(data.space.file).name, data.space.source, data.space.overrides)


def _source(data: StudyData, source: Mapping[str, Any]) -> str:
    """A study that was merged: how many trials came from it, and how it was searched."""
    count = sum(record.source is not None and record.source["study"] == source["study"] for record in data.records)
    search = source["search"]
    return f"{source['study']}: {count} trials; {search['sampler']}, {search['seed']}; {search['scheduler']}"


def _session(session: Mapping[str, Any]) -> list[tuple[str, str]]:
    began = datetime.fromisoformat(session["began"]).astimezone()
    gpus = f", {session['gpus']:g} GPUs ({', '.join(session['accelerators']) or 'unnamed'})" if session["gpus"] else ""
    nodes = f" of {session['nodes']} nodes" if session["nodes"] > 1 else ""
    versions = ", ".join(f"{name} {version}" for name, version in session["versions"].items())
    return [
        *([("study", str(session["study"]))] if "study" in session else []),
        ("driver began", f"{began:%Y-%m-%d %H:%M %Z}"),
        ("hardware", f"{session['cpus']:g} CPUs{gpus}{nodes}; {session['processor']}; {session['system']}"),
        ("trials at once", str(session["max_concurrent"])),
        ("versions", versions),
    ]
