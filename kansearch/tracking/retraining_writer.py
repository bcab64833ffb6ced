"""A thread that keeps MLflow a copy of a retraining, which never waits for it, and goes on without it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.tracking.retrainings import RetrainingStore
from trials.files import typed_line

if TYPE_CHECKING:
    from kansearch.seeds.retraining import Retraining

__all__ = ["RetrainingWriter"]

_PERIOD_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_LONGEST_WAIT_AFTER_AN_ERROR = 10.0  # which is likely to be MLflow's as well


class RetrainingWriter:
    """Observes a retraining (`kansearch.seeds.retraining.Observer`).

    Args:
        tracking_uri: of MLflow's store.
        home: folder of studies, where artifacts go unless a server keeps them.
        of_study: whether the configuration's study is one of those, so that the run is linked to its run.
    """

    def __init__(self, tracking_uri: str, home: Path, of_study: bool) -> None:
        self.tracking_uri, self._home, self._of_study = tracking_uri, home, of_study
        self.problem: str | None = None
        """Why the last attempt to write failed; None when MLflow is up to date."""
        self.run_id: str | None = None
        """Identifier of the run of the whole retraining, once it is known."""
        self._rows: dict[int, list[Mapping[str, Any]]] = {}
        self._figures: dict[int, Mapping[str, Any]] = {}
        self._metrics: Mapping[str, Any] | None = None
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._last = False
        self._thread: threading.Thread | None = None

    def started(self, retraining: Retraining, identity: str) -> None:
        """Start the thread."""
        arguments = (retraining, identity)
        self._thread = threading.Thread(target=self._run, args=arguments, name="mlflow-writer", daemon=True)
        self._thread.start()

    def epoch(self, seed: int, result: Mapping[str, Any]) -> None:
        """Note an epoch to be written."""
        with self._guard:
            self._rows.setdefault(seed, []).append(dict(result))

    def trained(self, seed: int, metrics: Mapping[str, Any]) -> None:
        """Note a seed's figures to be written."""
        with self._guard:
            self._figures[seed] = metrics

    def ended(self, metrics: Mapping[str, Any] | None) -> None:
        """Write what is left and close the runs; wait for it: at most a minute, less after an error."""
        if self._thread is None:
            return
        self._metrics, self._last = metrics, True
        self._wake.set()
        longest = _LONGEST_WAIT_SECONDS if metrics is not None else _LONGEST_WAIT_AFTER_AN_ERROR
        self._thread.join(longest)
        if self._thread.is_alive():
            self.problem = f"MLflow did not take everything within {longest:.0f} s"

    # -- the thread ---------------------------------------------------------------------------------------------------

    def _run(self, retraining: Retraining, identity: str) -> None:
        store: RetrainingStore | None = None
        last = False
        while not last:
            self._wake.wait(_PERIOD_SECONDS)
            last = self._last
            with self._guard:
                rows = {seed: list(each) for seed, each in self._rows.items()}
                figures = dict(self._figures)
            try:
                if store is None:
                    store = RetrainingStore(self.tracking_uri, self._home, retraining, identity, self._of_study)
                    self.run_id = store.run_id
                self._write(store, rows, figures)
                if last:
                    store.close(self._metrics)
                self.problem = None
            except Exception as error:  # training must go on without its tracking server; `problem` tells the user
                self.problem = typed_line(error)
                store = None  # what it did write is looked up again: an answer may have been lost

    def _write(
        self,
        store: RetrainingStore,
        rows: Mapping[int, list[Mapping[str, Any]]],
        figures: Mapping[int, Mapping[str, Any]],
    ) -> None:
        """Write it, and forget it."""
        for seed, each in rows.items():
            store.write_epochs(seed, each)
            with self._guard:
                del self._rows[seed][: len(each)]
        for seed, metrics in figures.items():
            store.write_figures(seed, metrics)
            with self._guard:
                del self._figures[seed]
