"""The process that writes to MLflow: `python -m kansearch.tracking.process`, started by `MlflowWriter`, its driver.

    stdin     pickled: what opens the store, then (records that changed, outcome or None while the driver works)
    stdout    a line for each attempt to write: [records dealt with so far, why it failed or null, run above or null]

It ends when it was told the outcome and has written it, or failed to; and at once when its driver dies, which closes
its stdin. Signals that are meant for the driver are ignored.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from trials.files import typed_line

__all__ = ["RunStore", "StudyAddress", "write_runs"]

_RETRY_SECONDS = 1.0
_DRIVER_GONE = 1

_Message = tuple[Sequence[TrialRecord], str | None]


class RunStore(Protocol):
    """MLflow's copy of records. Any method may raise MLflow's errors; all may be called again."""

    run_id: str
    """Identifier of the run above those of the records."""

    def write(self, changed: Sequence[Any], records: Sequence[Any]) -> None:
        """Bring the runs of records that changed up to date; `records` are all there are."""

    def close(self, records: Sequence[Any], outcome: str) -> None:
        """Write what users see at the end."""


@dataclass(frozen=True)
class StudyAddress:
    """The address with which another process opens a study. The tracking store is the one in use at the moment."""

    folder: Path
    storage_url: str
    tracking_uri: str

    @classmethod
    def of(cls, study: Study) -> StudyAddress:
        """The address of an opened study."""
        return cls(study.folder, study.storage_url, study.tracking_uri)

    def store(self, open_store: Callable[[Study], RunStore]) -> RunStore:
        """Open the study, and its runs. Raises KansearchError, and MLflow's errors."""
        return open_store(Study(self.folder, self.storage_url, self.tracking_uri))


def write_runs(
    open_store: Callable[[], RunStore],
    inbox: queue.SimpleQueue[_Message],
    report: Callable[[int, str | None, str | None], None],
) -> None:
    """Write what comes in, until the outcome has come in as well.

    Args:
        open_store: makes the store; called again after an error.
        inbox: what the driver sends.
        report: told, after each attempt, how many records are dealt with, why it failed, and the run above.
    """
    store: RunStore | None = None
    records: dict[Hashable, TrialRecord] = {}
    dirty: dict[Hashable, None] = {}  # in the order in which they changed
    received = 0
    outcome: str | None = None
    while outcome is None:
        for changed, told in _arrived(inbox, patient=not dirty):
            outcome = told
            received += len(changed)
            records |= {record.key: record for record in changed}
            dirty |= dict.fromkeys(record.key for record in changed)
        try:
            store = store or open_store()
            store.write([records[key] for key in dirty], list(records.values()))
            if outcome is not None:
                store.close(list(records.values()), outcome)
            dirty.clear()
            report(received, None, store.run_id)
        except Exception as error:  # the search must go on without its tracking server; the driver tells the user
            store = None  # what it did write is looked up again: an answer may have been lost
            report(received - len(dirty), typed_line(error), None)


def _arrived(inbox: queue.SimpleQueue[_Message], patient: bool) -> list[_Message]:
    """Take everything that has come in. It waits until something comes, but not for long unless `patient`."""
    try:
        messages = [inbox.get(timeout=None if patient else _RETRY_SECONDS)]
    except queue.Empty:
        return []
    while not inbox.empty() and messages[-1][1] is None:
        messages.append(inbox.get())
    return messages


def _receive(pipe: IO[bytes], inbox: queue.SimpleQueue[Any]) -> None:
    """Pass on what the driver sends; end the process when that is gone before it told the outcome."""
    outcome = None
    try:
        while outcome is None:
            message = pickle.load(pipe)
            inbox.put(message)
            outcome = message[1] if isinstance(message, tuple) else None
    except (EOFError, pickle.UnpicklingError):  # the latter of a message that the driver died in
        os._exit(_DRIVER_GONE)


def main() -> None:
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no report
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, inbox), name="driver", daemon=True).start()

    def report(written: int, problem: str | None, run_id: str | None) -> None:
        reports.write(json.dumps([written, problem, run_id]).encode() + b"\n")
        reports.flush()

    write_runs(inbox.get(), inbox, report)


if __name__ == "__main__":
    main()
