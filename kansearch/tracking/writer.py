"""The one MLflow writer: a thread on the driver that keeps MLflow a copy of the study.

    experiment kansearch/<study>
    └── run <study>                     the front, its hypervolume as trials finish, the report, the space file
        ├── run 00000 bspline adamw     one a trial: configuration, curves, state, reason
        ├── run confirm 00000 seed 1    one a training of `kansearch confirm`
        └── ...

The search hands over trial records and never waits. Each second the thread writes what changed, in batches. A record
that could not be written stays to be written; a run is found again by its tag, so a resumed search goes on with the
same runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from kansearch.tracking.store import MlflowStore

if TYPE_CHECKING:
    from kansearch.search.cluster import Cluster

__all__ = ["MlflowWriter", "RunStore"]

_PERIOD_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_WAIT_AFTER_AN_ERROR = 10.0  # which is likely to be MLflow's as well
_SECONDS_A_RECORD = 0.2  # and more for records that MLflow never saw: SQLite takes 0.04 on a slow core


class RunStore(Protocol):
    """MLflow's copy of records. Any method may raise MLflow's errors; all may be called again."""

    def write(self, changed: Sequence[Any], records: Sequence[Any]) -> None:
        """Bring the runs of records that changed up to date; `records` are all there are."""

    def close(self, records: Sequence[Any], outcome: str) -> None:
        """Write what is to be seen at the end."""


class MlflowWriter:
    """Observes a search (`kansearch.search.launch.Observer`).

    Args:
        open_store: makes the store that it writes to; called again after an error.
    """

    def __init__(self, open_store: Callable[[Study], RunStore] = MlflowStore) -> None:
        self.problem: str | None = None
        """Why the last attempt to write failed; None when MLflow is up to date."""
        self._open_store = open_store
        self._records: dict[Hashable, TrialRecord] = {}
        self._dirty: dict[Hashable, None] = {}  # in the order in which they changed
        self._writing = 0
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._outcome: str | None = None
        self._thread: threading.Thread | None = None

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None:
        """Start the thread, with everything the study holds to be compared with MLflow."""
        self._records = {record.key: record for record in records}
        self._dirty = dict.fromkeys(self._records)
        self._thread = threading.Thread(target=self._run, args=(study,), name="mlflow-writer", daemon=True)
        self._thread.start()

    def running(self, cluster: Cluster) -> None:
        """Where it runs is no matter here."""

    def changed(self, record: TrialRecord) -> None:
        """Note a trial to be written."""
        with self._guard:
            self._records[record.key] = record
            self._dirty[record.key] = None

    def tick(self) -> None:
        """The thread keeps its own time."""

    def ended(self, outcome: str) -> None:
        """Write what is left, close the study's run, and wait for it: at most a minute, less after an error, and longer
        where a finished search leaves many records to be written."""
        if self._thread is None:
            return
        self._outcome = outcome
        self._wake.set()
        longest = _LONGEST_WAIT_AFTER_AN_ERROR if outcome == "failed" else _LONGEST_WAIT_SECONDS
        if outcome == "finished":
            with self._guard:
                longest += _SECONDS_A_RECORD * (len(self._dirty) + self._writing)
        self._thread.join(longest)
        if self._thread.is_alive():
            self.problem = f"MLflow did not take everything within {longest:.0f} s"

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, study: Study) -> None:
        store: RunStore | None = None
        last_try = False
        while not last_try:
            self._wake.wait(_PERIOD_SECONDS)
            last_try = self._outcome is not None
            batch, everything = self._take()
            try:
                store = store or self._open_store(study)
                store.write(batch, everything)
                if last_try:
                    store.close(everything, str(self._outcome))
                self.problem = None
            except Exception as error:  # the search must go on without its tracking server; `problem` tells the user
                self.problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
                store = None  # what it did write is looked up again: an answer may have been lost
                with self._guard:
                    self._dirty |= dict.fromkeys(record.key for record in batch)

    def _take(self) -> tuple[list[TrialRecord], list[TrialRecord]]:
        """What is to be written, and everything."""
        with self._guard:
            batch = [self._records[key] for key in self._dirty]
            self._dirty.clear()
            self._writing = len(batch)
            return batch, list(self._records.values())
