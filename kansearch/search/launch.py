"""Run a search: lock the study, start Ray, let Ray Tune execute what the study's searcher proposes, until it is done.

Resuming is the same thing: a new Ray Tune run on the same study.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from kansearch.errors import KansearchError, SearchInterrupted
from kansearch.search.ask_tell import AskTell, Assignment
from kansearch.search.budget import Budget
from kansearch.search.checkpoints import checkpoint_place, checkpoints_at
from kansearch.search.cluster import Cluster, ray_cluster
from kansearch.search.join import check_address
from kansearch.search.lockstep import Lockstep
from kansearch.search.obstacles import NodeWatch, resumable
from kansearch.search.stopping import Stop, Timer
from kansearch.search.trainable import Request, resources, train
from kansearch.search.watchdog import Watchdog
from kansearch.space import SearchSpace
from kansearch.study.lock import driver_lock
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study, home_option
from trials.data.datasets import check_files
from trials.data.errors import DataError
from trials.data.functions import check_trusted, trust_data

__all__ = ["Observer", "SearchOptions", "launch", "resume"]


class Observer(Protocol):
    """Who is told how a search goes, on the driver's thread; it must not block."""

    def started(self, study: Study, records: Sequence[TrialRecord]) -> None: ...

    def running(self, cluster: Cluster) -> None: ...

    def changed(self, record: TrialRecord) -> None: ...

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
    observers: Sequence[Observer],
    storage_url: str | None = None,
    tracking_uri: str | None = None,
    checkpoints: str | None = None,
    warm_start: Mapping[str, Any] | None = None,
) -> Study:
    """Make a new study and search it.

    Raises:
        InputError: the study exists. StudyBusyError: another driver works on it.
        SearchInterrupted: a signal stopped the search. KansearchError: it can't run.
    """
    _check_data(space, options)
    folder = options.home / space.study
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KansearchError(f"cannot make the study's folder {folder}: {error.strerror}") from error
    with driver_lock(folder):
        place = None if checkpoints is None else checkpoint_place(checkpoints, space.study)
        study = Study.create(options.home, space, storage_url, tracking_uri, place, warm_start)
        with resumable(study.name, options.home):
            _search(study, options, observers)
    return study


def resume(name: str, overrides: Sequence[str], options: SearchOptions, observers: Sequence[Observer]) -> Study:
    """Go on with a study: unfinished trials from their checkpoints, then what is left of its budget.

    Raises:
        UnknownStudyError: there is none. Otherwise as `launch`.
    """
    study = Study.open(options.home, name)
    with driver_lock(study.folder):
        if overrides:
            study.add_overrides(overrides)
        _check_data(study.space, options)
        with resumable(study.name, options.home):
            _search(study, options, observers)
    return study


def _check_data(space: SearchSpace, options: SearchOptions) -> None:
    trust_data(*options.trusted)
    try:
        check_trusted(space.data)
        check_files(space.data, options.data_dir)
    except DataError as error:
        raise KansearchError(str(error)) from error


def _search(study: Study, options: SearchOptions, observers: Sequence[Observer]) -> None:
    """Search until the budget is used up; the observers are told of it even when nothing is left to run."""
    settings, timer = study.space.search, Timer(study)
    stop = Stop(None if settings.time_budget is None else max(0.0, settings.time_budget - study.elapsed_seconds))
    outcome = "failed"
    records = study.records()
    for observer in observers:
        observer.started(study, records)
    try:
        budget = Budget(settings, study.objectives, records)
        unfinished = any(record.state == "running" for record in records)
        if (unfinished or not budget.full(0)) and not stop.out_of_time and budget.overspent is None:
            place = study.checkpoints
            with ray_cluster(settings, options.address, options.max_concurrent, place) as cluster, stop.on_signals():
                for observer in observers:
                    observer.running(cluster)
                budget = _tune(study, records, options, observers, cluster, stop, timer)
        if stop.signal is not None:
            outcome = "interrupted"
            name = signal.Signals(stop.signal).name
            again = f"kansearch resume {study.name}{home_option(options.home)}"
            raise SearchInterrupted(f"stopped by {name}; go on with `{again}`", 128 + stop.signal)
        _prune_unfinished(study, observers, "the time budget" if stop.out_of_time else budget.overspent)
        outcome = "finished"
    finally:
        try:
            timer.note()
        finally:
            for observer in observers:
                observer.ended(outcome)


def _prune_unfinished(study: Study, observers: Sequence[Observer], ended: str | None) -> None:
    for record in study.records() if ended is not None else ():
        if record.state == "running":
            _changed(study, observers, study.prune(record.number, f"stopped by {ended}"))


def _changed(study: Study, observers: Sequence[Observer], record: TrialRecord) -> None:
    if record.state != "running":
        checkpoints_at(study.checkpoints).forget(record)
    for observer in observers:
        observer.changed(record)


def _tune(
    study: Study,
    records: Sequence[TrialRecord],
    options: SearchOptions,
    observers: Sequence[Observer],
    cluster: Cluster,
    stop: Stop,
    timer: Timer,
) -> Budget:
    """Let Ray Tune run the search; what it has spent by then."""
    from ray import tune

    from kansearch.search.searcher import Attendant, StopAll, StudyScheduler, StudySearcher

    watch = NodeWatch()

    def tick() -> None:
        timer.tick()
        watch()
        for observer in observers:
            observer.tick()

    settings = study.space.search
    changed = partial(_changed, study, observers)
    ask_tell = AskTell(study, cluster.max_concurrent, stop, changed, records, options.data_dir)
    search = Lockstep(ask_tell, cluster.max_concurrent) if settings.deterministic else ask_tell
    searcher = StudySearcher(search, _requests(study, options, cluster))
    scratch = study.folder.absolute() / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)  # of a driver that was killed
    try:
        tune.Tuner(
            tune.with_resources(train, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=StudyScheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="ray",
                stop=StopAll(lambda: stop() or search.overspent is not None),
                verbose=0,
                callbacks=[Attendant(searcher, Watchdog(settings), tick)],
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return ask_tell.budget


def _requests(study: Study, options: SearchOptions, cluster: Cluster) -> Callable[[Assignment], Request]:
    data_dir = str(options.data_dir.absolute()) if options.data_dir else None
    threads = max(1, int(cluster.cpus_per_trial))

    def request(assignment: Assignment) -> Request:
        share = cluster.share(assignment.shares)
        config, trusted = dict(assignment.config), list(options.trusted)
        return Request(assignment.number, config, study.checkpoints, data_dir, threads, *share, trusted=trusted)

    return request
