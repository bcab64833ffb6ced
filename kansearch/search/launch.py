"""Run a search: lock the study, start Ray, let Ray Tune execute what the study's searcher proposes, until it is done.

Resuming is the same thing: a new Ray Tune run on the same study.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from kansearch.errors import KansearchError, SearchInterrupted
from kansearch.search.ask_tell import AskTell
from kansearch.search.checkpoints import checkpoint_place, checkpoints_at
from kansearch.search.cluster import Cluster, ray_cluster
from kansearch.search.join import check_address
from kansearch.search.sampler import build_sampler
from kansearch.search.trainable import Request, train
from kansearch.space import SearchSpace
from kansearch.study.lock import driver_lock
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study, home_option
from trials.data.files import DataMissingError, locate

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

    def __post_init__(self) -> None:
        if self.address is not None:
            check_address(self.address)


def launch(
    space: SearchSpace,
    overrides: Sequence[str],
    options: SearchOptions,
    observers: Sequence[Observer],
    storage_url: str | None = None,
    tracking_uri: str | None = None,
    checkpoints: str | None = None,
) -> Study:
    """Make a new study and search it.

    Raises:
        InputError: the study exists. StudyBusyError: another driver works on it.
        SearchInterrupted: a signal stopped the search. KansearchError: it can't run.
    """
    _check_data(space, options.data_dir)
    folder = options.home / space.study
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KansearchError(f"cannot make the study's folder {folder}: {error.strerror}") from error
    with driver_lock(folder):
        place = None if checkpoints is None else checkpoint_place(checkpoints, space.study)
        study = Study.create(options.home, space, overrides, storage_url, tracking_uri, place)
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
        _check_data(study.space, options.data_dir)
        _search(study, options, observers)
    return study


def _check_data(space: SearchSpace, data_dir: Path | None) -> None:
    try:
        locate(space.dataset, data_dir)
    except DataMissingError as error:
        raise KansearchError(str(error)) from error


class _Stop:
    """Why no more trials may start: a signal, or the end of the time budget."""

    def __init__(self, seconds_left: float | None) -> None:
        self.signal: int | None = None
        self._deadline = None if seconds_left is None else time.monotonic() + seconds_left

    @property
    def out_of_time(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def __call__(self) -> bool:
        return self.signal is not None or self.out_of_time

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of dying of them; a second one dies."""
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def note(number: int, frame: FrameType | None) -> None:
            self.signal = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for each in before:
            signal.signal(each, note)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def _search(study: Study, options: SearchOptions, observers: Sequence[Observer]) -> None:
    """Search until the budget is used up; the observers are told of it even when nothing is left to run."""
    settings = study.space.search
    began = time.monotonic()
    left = None if settings.time_budget is None else max(0.0, settings.time_budget - study.elapsed_seconds)
    stop = _Stop(left)
    outcome = "failed"
    records = study.records()
    for observer in observers:
        observer.started(study, records)
    try:
        if study.finished() < settings.trials and not stop.out_of_time:
            place = study.checkpoints
            with ray_cluster(settings, options.address, options.max_concurrent, place) as cluster, stop.on_signals():
                for observer in observers:
                    observer.running(cluster)
                _tune(study, options, observers, cluster, stop)
        if stop.signal is not None:
            outcome = "interrupted"
            name = signal.Signals(stop.signal).name
            again = f"kansearch resume {study.name}{home_option(options.home)}"
            raise SearchInterrupted(f"stopped by {name}; go on with `{again}`", 128 + stop.signal)
        outcome = "finished"
    finally:
        study.add_elapsed(time.monotonic() - began)
        for observer in observers:
            observer.ended(outcome)


def _tune(study: Study, options: SearchOptions, observers: Sequence[Observer], cluster: Cluster, stop: _Stop) -> None:
    from ray import tune

    from kansearch.search.searcher import FailureCallback, StopAll, StudyScheduler, StudySearcher

    checkpoints = checkpoints_at(study.checkpoints)

    def changed(record: TrialRecord) -> None:
        if record.state != "running":
            checkpoints.forget(record)
        for observer in observers:
            observer.changed(record)

    def tick() -> None:
        for observer in observers:
            observer.tick()

    study.use_sampler(build_sampler(study.space.search, len(study.records()), study.space.hyperparameters()))
    search = AskTell(study, cluster.max_concurrent, stop, changed)
    searcher = StudySearcher(search, _requests(study, options, cluster))
    scratch = tempfile.mkdtemp(prefix="kansearch-")
    try:
        tune.Tuner(
            tune.with_resources(train, {"cpu": cluster.cpus_per_trial, "gpu": cluster.gpus_per_trial}),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=StudyScheduler(searcher),
                num_samples=-1,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=scratch,
                name="ray",
                stop=StopAll(stop),
                verbose=0,
                callbacks=[FailureCallback(searcher, tick)],
            ),
        ).fit()
        if stop.out_of_time and stop.signal is None:
            for number in search.live:
                changed(study.prune(number, "stopped by the time budget"))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _requests(study: Study, options: SearchOptions, cluster: Cluster) -> Any:
    data_dir = str(options.data_dir.absolute()) if options.data_dir else None
    threads = max(1, int(cluster.cpus_per_trial))

    def request(number: int, config: dict[str, Any]) -> Request:
        return Request(number, config, study.checkpoints, data_dir, threads)

    return request
