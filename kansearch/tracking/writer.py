"""The one MLflow writer: a process of its own that keeps MLflow a copy of a study, a confirmation or a retraining.

    experiment kansearch/<study>
    └── run <study>                     the front, its hypervolume as trials finish, the report, the space file
        ├── run 00000 bspline adamw     one a trial: configuration, curves, state, reason
        ├── run confirm 00000 seed 1    one a training of `kansearch confirm`
        └── ...

Who trains hands over records and never waits. Once a second a thread sends what changed to the process
(`kansearch.tracking.process`), which imports MLflow, writes, and ends with its driver. A record that could not be
written stays to be written; a run is found again by its tag, so what is resumed goes on with the same runs.
A retraining's runs: `kansearch.tracking.retrainings`.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from kansearch.tracking.process import RunStore, StudyAddress
from kansearch.tracking.store import MlflowStore

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster
    from kansearch.seeds.retraining import Retraining

__all__ = ["MlflowWriter"]

_PERIOD_SECONDS = 1.0
_LATEST_START_SECONDS = 10.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_WAIT_AFTER_AN_ERROR = 10.0  # which is likely to be MLflow's as well
_SECONDS_A_RECORD = 0.2  # and more for records that MLflow never saw: SQLite takes 0.02 on a slow core


class MlflowWriter:
    """Observes a search or a confirmation (`kansearch.cluster.launch.Observer`), or a retraining
    (`kansearch.seeds.retraining.Observer`).

    Args:
        open_store: makes the store of the study or retraining that is written; what pickle can send. It is called in
            the other process, and again after an error.
    """

    def __init__(self, open_store: Callable[[Any], RunStore] = MlflowStore) -> None:
        self.problem: str | None = None
        """Why the last attempt to write failed; None when MLflow is up to date."""
        self.run_id: str | None = None
        """Identifier of the run of the whole, once something was written to it."""
        self._open_store = open_store
        self._dirty: dict[Hashable, TrialRecord] = {}  # in the order in which they changed
        self._sent = self._written = 0
        self._guard = threading.Lock()
        self._begin, self._wake, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._outcome: str | None = None
        self._gave_up = False
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def started(self, subject: Study | Retraining, records: Sequence[TrialRecord]) -> None:
        """Begin, with everything that is known to be compared with MLflow.

        The process starts with the first epoch, or after ten seconds: what it imports would delay the workers.
        """
        self._dirty = {record.key: record for record in records}
        opener = (
            partial(StudyAddress.of(subject).store, self._open_store)
            if isinstance(subject, Study)
            else partial(self._open_store, subject)
        )
        self._thread = threading.Thread(target=self._run, args=(opener,), name="mlflow-writer", daemon=True)
        self._thread.start()

    def running(self, cluster: Cluster) -> None:
        """Where it runs is no matter here."""

    def changed(self, record: TrialRecord) -> None:
        """Note a trial to be written."""
        with self._guard:
            self._dirty[record.key] = record
        if record.curve:
            self._begin.set()

    def told(self, line: str) -> None:
        """MLflow has no place for it."""

    def tick(self) -> None:
        """The thread keeps its own time."""

    def ended(self, outcome: str) -> None:
        """Write what is left, close the run of the whole, and wait for it.

        It waits a minute at most, less after an error, and longer where a finished search leaves many records.
        """
        if self._thread is None:
            return
        self._outcome = outcome
        self._begin.set()
        self._wake.set()
        longest = _LONGEST_WAIT_AFTER_AN_ERROR if outcome == "failed" else _LONGEST_WAIT_SECONDS
        if outcome == "finished":
            with self._guard:
                longest += _SECONDS_A_RECORD * (len(self._dirty) + self._sent - self._written)
        if self._ended.wait(longest):
            return
        self._gave_up = True
        self.problem = f"MLflow did not take everything within {longest:.0f} s"
        if self._process is not None:
            self._process.kill()

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, open_store: Callable[[], RunStore]) -> None:
        self._begin.wait(_LATEST_START_SECONDS)
        try:
            self._process = process = _started()
        except OSError as error:
            self.problem = f"its process did not start: {error}"
            self._ended.set()
            return
        assert process.stdin is not None
        listener = threading.Thread(target=self._listen, args=(process,), name="mlflow-problems", daemon=True)
        listener.start()
        with suppress(BrokenPipeError), process.stdin as pipe:  # of a process that has died: whoever listens says so
            self._send(pipe, open_store)
        listener.join()

    def _send(self, pipe: IO[bytes], open_store: Callable[[], RunStore]) -> None:
        """Send what changed, as long as the driver goes on."""
        pickle.dump(open_store, pipe)
        last = False
        while not last:
            last = self._outcome is not None
            with self._guard:
                batch = list(self._dirty.values())
                self._dirty.clear()
                self._sent += len(batch)
            if batch or last:
                pickle.dump((batch, self._outcome if last else None), pipe)
                pipe.flush()
            if not last:
                self._wake.wait(_PERIOD_SECONDS)

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Note each report of the process until it ends."""
        assert process.stdout is not None
        with process.stdout as reports:
            for line in reports:
                self._written, self.problem, run_id = json.loads(line)
                self.run_id = run_id or self.run_id
        code = process.wait()
        if code and not self._gave_up:
            self.problem = f"the process that writes to it ended with exit code {code}"
        self._ended.set()


def _started() -> subprocess.Popen[bytes]:
    """The process, in a session of its own: Ctrl-C stops the search, and not the writing of what it found."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "kansearch.tracking.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(each for each in sys.path if each), "OMP_NUM_THREADS": "1"},
        start_new_session=True,
        umask=0o077,
    )
