"""Ray Tune, executing anything that hands out trials and takes their results: a search, or a fixed list of trainings.

A Ray Tune trial is a worker process here, which runs many of our trials (`kansearch.cluster.worker`). Ray Tune starts
it, and another one where it is lost. Its own state is disposable: what hands out the work keeps the truth about it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kansearch.cluster.cluster import Cluster, ray_cluster
from kansearch.cluster.gpu_sharing import Sketch, packed
from kansearch.cluster.growth import NodesMps
from kansearch.cluster.mps import Mps
from kansearch.cluster.node_mps import ClusterMps
from kansearch.cluster.node_watch import LateWorkers, NodeWatch
from kansearch.cluster.trainable import TRAINING, Request
from kansearch.cluster.watchdog import Watchdog
from kansearch.engine.stopping import Stop
from kansearch.engine.work import Assignment, Work
from kansearch.space import SearchSettings
from kansearch.study.study import Study

__all__ = ["execute", "working_cluster"]


@contextmanager
def working_cluster(
    study: Study, address: str | None, at_once: int, place: str, stop: Stop, sketch: Sketch | None = None
) -> Iterator[tuple[Cluster, ClusterMps]]:
    """Ray, with each trial's share of a GPU decided, and the daemons of CUDA MPS on its nodes; for `execute`.

    Args:
        address: of a cluster that runs already; None starts one here.
        at_once: bound on the trials that run at once.
        place: of the checkpoints.
        stop: notes signals from now on.
        sketch: of the study's space, where one was begun.

    Raises KansearchError where there is no such cluster, or it can't run a trial.
    """
    with (
        Mps(study.folder) as mps,  # outlives the workers, which Ray ends
        ray_cluster(study.space.search, address, at_once, place) as found,
        ClusterMps() as daemons,
        stop.on_signals(),
    ):
        yield packed(study, found, NodesMps(daemons) if address else mps, stop, sketch), daemons


def execute(
    work: Work,
    request: Callable[[Assignment], Request],
    settings: SearchSettings,
    cluster: Cluster,
    scratch: Path,
    stopping: Callable[[], bool],
    tick: Callable[[], None],
    tell: Callable[[str], None],
    growth: Callable[[], Cluster | None] = lambda: None,
) -> None:
    """Run `work` on the Ray cluster that this process is connected to, until it is exhausted or is to be stopped.

    Args:
        work: hands out what to run, and commits what comes back.
        request: makes a worker's request of it.
        settings: when a worker counts as hung.
        cluster: how many workers there are to be, and the resources of each.
        scratch: an absolute path for what Ray Tune writes; it is removed.
        stopping: whether to stop now; what runs then is left to be resumed.
        tick: called some times a second.
        tell: given a line for the user.
        growth: called as often; the cluster when it has become larger.

    Raises:
        Exception: what `work` raised, wrapped by Ray Tune; `kansearch.cluster.interruptions.resumable` unwraps it.
    """
    from ray import tune

    from kansearch.cluster.tune import Attendant, StudyScheduler, StudySearcher
    from kansearch.cluster.worker import Worker
    from kansearch.cluster.workers import Workers

    cpus, gpus = cluster.cpus_per_trial, cluster.gpus_per_trial
    workers = Workers(work, request, Watchdog(settings), cluster.max_concurrent)
    watch, late = NodeWatch(cpus, gpus), LateWorkers(workers.late, tell)

    def step() -> None:
        watch()
        late()
        tick()
        larger = growth()
        if larger is not None:
            work.grow(larger.max_concurrent)
            workers.wanted, configuration["mps"] = larger.max_concurrent, larger.mps

    def ended() -> bool:
        return stopping() or work.overspent is not None or work.exhausted

    handles: dict[str, Any] = {}
    configuration = {"mps": cluster.mps, "gpus": gpus, "threads": max(1, int(cpus))}
    resources = tune.PlacementGroupFactory([{"CPU": cpus, "GPU": gpus}])
    shutil.rmtree(scratch, ignore_errors=True)  # of a driver that was killed
    try:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(Worker, training=TRAINING), resources),
            tune_config=tune.TuneConfig(
                search_alg=StudySearcher(workers, configuration),
                scheduler=StudyScheduler(workers, handles, watch.check),
                num_samples=-1,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(scratch),
                name="ray",
                stop=Attendant(workers, handles, step, ended),
                verbose=0,
            ),
        ).fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
