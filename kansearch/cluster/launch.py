"""Run a search: lock the study, start Ray, let Ray Tune execute what the study's searcher proposes, until it is done.

Resuming is the same thing: a new Ray Tune run on the same study.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kansearch.cluster.checkpoints import checkpoint_place, checkpoints_at
from kansearch.cluster.cluster import Cluster
from kansearch.cluster.execution import execute, working_cluster
from kansearch.cluster.gpu_sharing import Sketch
from kansearch.cluster.growth import Growth
from kansearch.cluster.interruptions import resumable
from kansearch.cluster.join import check_address
from kansearch.cluster.kept import KeptWeights
from kansearch.cluster.node_mps import ClusterMps
from kansearch.cluster.session import describe_session
from kansearch.cluster.trainable import Request
from kansearch.cluster.utilization import GpuWatch
from kansearch.engine.ask_tell import AskTell
from kansearch.engine.budget import Budget
from kansearch.engine.deterministic import Lockstep
from kansearch.engine.stopping import Stop, Timer, telling_the_end
from kansearch.engine.work import Assignment
from kansearch.errors import KansearchError
from kansearch.space import SearchSettings, SearchSpace
from kansearch.study.history import History
from kansearch.study.lock import driver_lock
from kansearch.study.private import private_folder
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study, home_option
from kansearch.study.usage import Usage
from trials.data.datasets import check_files
from trials.data.errors import DataError
from trials.data.functions import check_trusted, trust_data

__all__ = ["Observer", "SearchOptions", "check_data", "launch", "request_maker", "resume", "scratch_of"]


_Record = TypeVar("_Record", bound=TrialRecord, contravariant=True)


class Observer(Protocol[_Record]):
    """Who is told how a search goes, on the driver's thread; it must not block."""

    def started(self, study: Study, records: Sequence[_Record]) -> None: ...

    def running(self, cluster: Cluster) -> None: ...

    def changed(self, record: _Record) -> None: ...

    def told(self, line: str) -> None: ...

    def tick(self) -> None: ...

    def ended(self, outcome: str) -> None: ...


@dataclass(frozen=True)
class SearchOptions:
    """Where and how a search runs; nothing here changes what it searches. Raises InputError for a bad address."""

    home: Path
    address: str | None = None
    max_concurrent: int | None = None
    data_dir: Path | None = None
    trusted: tuple[str, ...] = ()
    """Functions, each `module:function`, that a configuration's `data.function` may name."""

    def __post_init__(self) -> None:
        if self.address is not None:
            check_address(self.address)


def launch(
    space: SearchSpace,
    options: SearchOptions,
    observers: Sequence[Observer[TrialRecord]],
    storage_url: str | None = None,
    tracking_uri: str | None = None,
    checkpoints: str | None = None,
    history: Callable[[], History | None] = lambda: None,
) -> Study:
    """Make a new study and search it.

    Args:
        space: what to search; its study must not exist.
        options: where and how.
        observers: told how it goes.
        storage_url, tracking_uri, checkpoints: the study's places, as `Study.create` takes them.
        history: says what the study begins with; called once the data are checked.

    Raises:
        InputError: the study exists. StudyBusyError: another driver works on it.
        SearchInterrupted: a signal stopped the search. KansearchError: it can't run.
    """
    check_data(space, options)
    begins = history() or History()
    folder = options.home / space.study
    try:
        private_folder(folder)
    except OSError as error:
        raise KansearchError(f"cannot make the study's folder {folder}: {error.strerror}") from error
    with driver_lock(folder):
        place = None if checkpoints is None else checkpoint_place(checkpoints, space.study)
        study = Study.create(options.home, space, storage_url, tracking_uri, place, begins.attributes())
        with study.lock_database(), resumable(_again(study, options)):
            _search(study, options, observers)
    return study


def resume(
    name: str, overrides: Sequence[str], options: SearchOptions, observers: Sequence[Observer[TrialRecord]]
) -> Study:
    """Go on with a study: unfinished trials from their checkpoints, then what is left of its budget.

    Raises:
        UnknownStudyError: there is none. Otherwise as `launch`.
    """
    study = Study.open(options.home, name)
    with driver_lock(study.folder), study.lock_database():
        if overrides:
            study.add_overrides(overrides)
        check_data(study.space, options)
        with resumable(_again(study, options)):
            _search(study, options, observers)
    return study


def check_data(space: SearchSpace, options: SearchOptions) -> None:
    """Trust the functions that the user trusts. Raises KansearchError where the data are missing or not trusted."""
    trust_data(*options.trusted)
    try:
        check_trusted(space.data)
        check_files(space.data, options.data_dir)
    except DataError as error:
        raise KansearchError(str(error)) from error


def _search(study: Study, options: SearchOptions, observers: Sequence[Observer[TrialRecord]]) -> None:
    """Search until the budget is used up; the observers are told of it even when nothing is left to run."""
    settings, timer = study.space.search, Timer(study)
    stop = Stop(None if settings.time_budget is None else max(0.0, settings.time_budget - study.elapsed_seconds))
    records = study.records()
    changed = _Changes(study, records, observers)
    for observer in observers:
        observer.started(study, records)
    with telling_the_end(observers), timer:
        budget = Budget(settings, study.objectives, records)
        unfinished = any(record.state == "running" for record in records)
        if (unfinished or not budget.full(0)) and not stop.out_of_time and budget.overspent is None:
            sketch = None if options.address or study.packing else Sketch(study.space, stop)
            at_once = min(settings.trials, options.max_concurrent or settings.trials)  # so that few use all GPUs
            place = study.checkpoints
            with working_cluster(study, options.address, at_once, place, stop, sketch) as (cluster, daemons):
                timer.note()
                study.add_session(describe_session(cluster))
                for observer in observers:
                    observer.running(cluster)
                before = budget.training_seconds
                with _noting_usage(study, cluster, options) as spend:
                    budget = _tune(study, records, options, observers, changed, cluster, daemons, stop, timer)
                    spend(budget.training_seconds - before)
        stop.check(_again(study, options))


def _again(study: Study, options: SearchOptions) -> str:
    return f"kansearch resume {study.name}{home_option(options.home)}"


@contextmanager
def _noting_usage(study: Study, cluster: Cluster, options: SearchOptions) -> Iterator[Callable[[float], None]]:
    """Note how busy workers and GPUs were; called inside, at its end, with the trials' seconds."""
    start, seconds = time.monotonic(), list[float]()
    watched = cluster.gpus_per_trial and options.address is None  # a joined cluster's GPUs may be elsewhere
    with GpuWatch() if watched else nullcontext() as watch:
        yield seconds.append
    if seconds:
        slots = min(cluster.max_concurrent, study.space.search.trials) * (time.monotonic() - start)
        study.add_usage(Usage(slots, sum(seconds), watch.seconds if watch else {}))


class _Changes:
    """Called with each record that changed: removes what the trial needs no more, and tells the observers."""

    def __init__(
        self, study: Study, records: Sequence[TrialRecord], observers: Sequence[Observer[TrialRecord]]
    ) -> None:
        self._kept = KeptWeights(study.objectives, checkpoints_at(study.checkpoints), records)
        self._observers = observers

    def __call__(self, record: TrialRecord) -> None:
        if record.state != "running":
            self._kept.ended(record)
        for observer in self._observers:
            observer.changed(record)


def _tune(
    study: Study,
    records: Sequence[TrialRecord],
    options: SearchOptions,
    observers: Sequence[Observer[TrialRecord]],
    changed: _Changes,
    cluster: Cluster,
    daemons: ClusterMps,
    stop: Stop,
    timer: Timer,
) -> Budget:
    """Let Ray Tune run the search; what it has spent by then."""

    def tick() -> None:
        timer.tick()
        for observer in observers:
            observer.tick()

    def tell(line: str) -> None:
        for observer in observers:
            observer.told(line)

    settings = study.space.search
    ask_tell = AskTell(study, cluster.max_concurrent, stop, changed, records, options.data_dir)
    search = Lockstep(ask_tell, cluster.max_concurrent) if settings.deterministic else ask_tell
    requests = request_maker(options, settings, cluster)

    def request(assignment: Assignment) -> Request:
        return requests(assignment, study.checkpoints, rungs=ask_tell.rungs(assignment.number))

    if options.address is None:
        execute(search, request, settings, cluster, scratch_of(study), stop, tick, tell)
        return ask_tell.budget
    with Growth(cluster, study.checkpoints, daemons) as growth:

        def grown() -> Cluster | None:
            larger = growth.poll()
            if larger is not None:
                for observer in observers:
                    observer.running(larger)
            return larger

        execute(search, request, settings, cluster, scratch_of(study), stop, tick, tell, grown)
    return ask_tell.budget


def scratch_of(study: Study) -> Path:
    """Where Ray Tune writes while a driver works on the study."""
    return study.folder.absolute() / "scratch"


def request_maker(options: SearchOptions, settings: SearchSettings, cluster: Cluster) -> Callable[..., Request]:
    """Makes a worker's request of an `Assignment` and the place of its checkpoints; more of its fields may be given."""
    data_dir = str(options.data_dir.absolute()) if options.data_dir else None
    threads = max(1, int(cluster.cpus_per_trial))

    def request(assignment: Assignment, place: str, **more: Any) -> Request:
        fields = {"number": assignment.number} | more
        return Request(
            config=assignment.config,
            place=place,
            data_dir=data_dir,
            threads=threads,
            gpus=cluster.share(assignment.shares),
            trusted=list(options.trusted),
            checkpoint_seconds=settings.checkpoint_seconds,
            **fields,
        )

    return request
