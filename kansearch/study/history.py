"""`History`: what a study knows beside its space and its trials, and what is left of several once they are joined."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kansearch.study.usage import Usage

__all__ = ["ELAPSED", "PACKING", "SEQUENCE", "SESSIONS", "SOURCES", "USAGE", "WARM_START", "History", "joined_history"]

ELAPSED = "kansearch:elapsed_seconds"
PACKING = "kansearch:packing"
SEQUENCE = "kansearch:sequence"
SESSIONS = "kansearch:sessions"
SOURCES = "kansearch:sources"
USAGE = "kansearch:usage"
WARM_START = "kansearch:warm_start"
"""Attributes of the Optuna study."""


@dataclass(frozen=True)
class History:
    """Each field is what `kansearch.study.study.Study` says under the same name."""

    elapsed_seconds: float = 0.0
    sessions: Sequence[Mapping[str, Any]] = ()
    usage: Usage = field(default_factory=Usage)
    sequence: Mapping[str, Any] = field(default_factory=dict)
    sources: Sequence[Mapping[str, Any]] = ()
    warm_start: Mapping[str, Any] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """Attributes of the Optuna study, as JSON; empty ones are left out."""
        everything = {
            ELAPSED: self.elapsed_seconds,
            SESSIONS: list(self.sessions),
            USAGE: self.usage.document() if self.usage != Usage() else {},
            SEQUENCE: dict(self.sequence),
            SOURCES: list(self.sources),
            WARM_START: dict(self.warm_start),
        }
        return {name: value for name, value in everything.items() if value}


def joined_history(histories: Mapping[str, History]) -> History:
    """One history of several, by the names of their studies; without what was to be tried next.

    Time in which two drivers worked counts once, so that each moment has its place in the time of the search. A session
    that two histories know, because one study is a copy of the other, is one.
    """
    usage, sequence = Usage(), dict[str, Any]()
    for history in histories.values():
        usage += history.usage
        for key, place in history.sequence.items():
            sequence[key] = max(place, sequence.get(key, place))
    elapsed, sessions = _joined_sessions(histories)
    return History(elapsed, sessions, usage, sequence)


def _joined_sessions(histories: Mapping[str, History]) -> tuple[float, list[Mapping[str, Any]]]:
    """Wall time of all drivers together, and their sessions with what of it came before each."""
    found: dict[tuple[float, str], tuple[float, Mapping[str, Any]]] = {}  # by what is told of a session
    elapsed = 0.0
    for name, history in histories.items():
        elapsed += float(history.sessions[0]["elapsed"]) if history.sessions else history.elapsed_seconds
        for session, length in _lengths(history):
            told = {key: each for key, each in session.items() if key not in ("elapsed", "study")}
            key = datetime.fromisoformat(session["began"]).timestamp(), json.dumps(told, sort_keys=True)
            known = found.get(key, (0.0, {"study": name, **session}))
            found[key] = (max(length, known[0]), known[1])
    sessions: list[Mapping[str, Any]] = []
    until = 0.0  # of the time that is counted
    for (began, _), (length, session) in sorted(found.items(), key=lambda each: each[0]):
        sessions.append({**session, "elapsed": elapsed - max(0.0, until - began)})
        elapsed += max(0.0, began + length - max(began, until))
        until = max(until, began + length)
    return elapsed, sessions


def _lengths(history: History) -> list[tuple[Mapping[str, Any], float]]:
    """Each session with its seconds."""
    before = [*(float(session["elapsed"]) for session in history.sessions), history.elapsed_seconds]
    return [(each, max(0.0, before[index + 1] - before[index])) for index, each in enumerate(history.sessions)]
