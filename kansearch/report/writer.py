"""Writes report.html and the pictures of the front into a study's folder: at the end of a search, and during it.

During a search a process of its own writes them, at the lowest priority and no more often than once a minute. Trials
and their driver never wait for it, and nothing that goes wrong there reaches them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from kansearch.report.data import read_study
from kansearch.report.front_plot import front_png
from kansearch.report.html import write_html
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.study import PICTURES, Study
from trials.files import replacing, typed_line

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster

__all__ = ["ReportWriter", "write_pictures"]

_PERIOD_SECONDS = 60.0
_LOWEST_PRIORITY = 19


def write_pictures(study: Study, ended: bool = False) -> None:
    """Write all of `kansearch.study.study.PICTURES`; the front's only if there is one.

    `ended` says that the driver that holds the study, this process, will find nothing more.

    Raises:
        KansearchError: the report can't be written. OSError: a picture can't.
    """
    data = read_study(study)
    data = replace(data, running=data.running and not ended)
    report, *pictures = (study.folder / name for name in PICTURES)
    for path in pictures if data.front else ():
        with replacing(path) as begun:
            front_png(data.geometry, begun)
    write_html(data, report)


class ReportWriter:
    """Observes a search (`kansearch.cluster.launch.Observer`).

    Args:
        clock: seconds, monotonic.
        refresh: starts the writing of a study's report beside the search.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        refresh: Callable[[Study], subprocess.Popen[bytes]] | None = None,
    ) -> None:
        self.problem: str | None = None
        """Why the last report could not be written; None when it was."""
        self._clock = clock
        self._refresh = refresh or _beside
        self._last = clock()
        self._news = False
        self._process: subprocess.Popen[bytes] | None = None

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None:
        self._study = study

    def running(self, cluster: Cluster) -> None:
        self._last = self._clock()

    def changed(self, record: TrialRecord) -> None:
        self._news = self._news or record.state in FINISHED

    def told(self, line: str) -> None:
        """The report has no place for it."""

    def tick(self) -> None:
        """Have the report written, if a trial has ended since that was last begun, which is a minute ago or more."""
        if not self._news or self._clock() - self._last < _PERIOD_SECONDS:
            return
        if self._process is not None and self._process.poll() is None:
            return
        self._last, self._news = self._clock(), False
        try:
            self._process = self._refresh(self._study)
        except OSError as error:
            self.problem = str(error)

    def ended(self, outcome: str) -> None:
        """Write the report here and now, unless the search failed; a failure of its own is kept in `problem`.

        What made a search fail, such as a lost database or a full disk, would be in the report's way as well.
        """
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        if outcome == "failed":
            return
        try:
            write_pictures(self._study, ended=True)
            self.problem = None
        except Exception as error:  # the search is done, whatever its report says
            self.problem = typed_line(error)


def _beside(study: Study) -> subprocess.Popen[bytes]:
    """`kansearch report`, in a session of its own, so that Ctrl-C stops the search and not this."""
    home = study.folder.parent.absolute()
    path = os.pathsep.join(each for each in sys.path if each)
    process = subprocess.Popen(
        [sys.executable, "-m", "kansearch", "report", study.name, "--home", str(home)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _LOWEST_PRIORITY)
    return process
