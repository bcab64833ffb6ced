"""`confirm`: train chosen trials again, on the whole training split and with several seeds, and measure them on the
test split, once each; as Ray Tune trials on all devices that the study may run on.

What is done is never done again: the same command goes on after a stop, and more seeds or picks add what is missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kansearch.cluster.execution import execute, working_cluster
from kansearch.cluster.interruptions import resumable
from kansearch.cluster.launch import Observer, SearchOptions, check_data, request_maker, scratch_of
from kansearch.cluster.trainable import Request
from kansearch.engine.stopping import Stop, telling_the_end
from kansearch.engine.work import Assignment
from kansearch.models.pick import pick_trials
from kansearch.seeds.seed_runs import SeedRuns, unfinished
from kansearch.study.lock import driver_lock
from kansearch.study.records import TrialRecord
from kansearch.study.seeds import SeedRecord, SeedStore
from kansearch.study.study import Study, home_option

__all__ = ["command", "confirm"]


def confirm(
    name: str, picks: str, seeds: int, options: SearchOptions, observers: Sequence[Observer[SeedRecord]]
) -> tuple[Study, list[TrialRecord]]:
    """Train each pick of study `name` with `seeds` seeds, as far as that is not done.

    Args:
        name: of a study with a complete trial.
        picks: as `kansearch.models.pick.pick_trials` takes them.
        seeds: how many, at least 1; new ones, which the search did not have.
        options: where and how to run.
        observers: told how it goes; a record is a `SeedRecord`.

    Returns:
        The study, and the trials that were picked. `SeedStore(study.folder)` holds what was measured.

    Raises:
        UnknownStudyError: there is no such study. InputError: no such pick.
        StudyBusyError: another driver works on the study. SearchInterrupted: a signal stopped this one.
        KansearchError: no trial is complete, the data is missing, or it can't run.
    """
    study = Study.open(options.home, name)
    with driver_lock(study.folder):
        check_data(study.space, options)
        chosen = pick_trials(study, picks)
        again = command(name, picks, seeds, options)
        with resumable(again):
            _confirm(study, unfinished(chosen, seeds, SeedStore(study.folder).records()), options, observers, again)
    return study, chosen


def command(name: str, picks: str, seeds: int, options: SearchOptions) -> str:
    """Return the command line that goes on with a confirmation."""
    return f"kansearch confirm {name} --seeds {seeds} --picks {shlex.quote(picks)}{home_option(options.home)}"


def _confirm(
    study: Study,
    left: Sequence[SeedRecord],
    options: SearchOptions,
    observers: Sequence[Observer[SeedRecord]],
    again: str,
) -> None:
    """Train what is left; the observers are told of it even when that is nothing."""
    known = {record.key: record for record in [*SeedStore(study.folder).records(), *left]}
    stop = Stop(None)
    for observer in observers:
        observer.started(study, list(known.values()))
    with telling_the_end(observers):
        if left:
            _train(study, left, options, observers, stop)
        stop.check(again)


def _train(
    study: Study,
    left: Sequence[SeedRecord],
    options: SearchOptions,
    observers: Sequence[Observer[SeedRecord]],
    stop: Stop,
) -> None:
    settings = study.space.search

    def changed(record: SeedRecord) -> None:
        for observer in observers:
            observer.changed(record)

    def tick() -> None:
        for observer in observers:
            observer.tick()

    def tell(line: str) -> None:
        for observer in observers:
            observer.told(line)

    at_once = min(len(left), options.max_concurrent or len(left))  # so that few spread over all devices
    with working_cluster(study, options.address, at_once, study.confirm_checkpoints, stop) as (cluster, _):
        for observer in observers:
            observer.running(cluster)
        runs = SeedRuns(study, SeedStore(study.folder), left, cluster.max_concurrent, stop, changed)
        make = request_maker(options, settings, cluster)

        def request(assignment: Assignment) -> Request:
            number = assignment.number
            return make(assignment, runs.place(number), number=runs.record(number).seed, final=True)

        execute(runs, request, settings, cluster, scratch_of(study), stop, tick, tell)
