"""Retraining on a Ray cluster: a task for each seed, or, where several processes train one model, Ray Train.

The first process of a model sends what a run on this machine would write into its folder, after each epoch, and the
driver writes it: no folder must be seen by every machine, and an interrupted run goes on from the driver's own.
"""

from __future__ import annotations

import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.cluster.cluster import Cluster, ray_cluster
from kansearch.errors import InputError, KansearchError
from kansearch.seeds.retraining import Retraining
from kansearch.space import SearchSettings
from trials.files import first_line, one_line, write_whole
from trials.results import CHECKPOINT, FILES, TEST

if TYPE_CHECKING:
    from ray.util.queue import Queue

__all__ = ["ClusterJob", "train_on_cluster"]

_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",  # nobody looks at Ray's dashboard
}
_SECONDS = 1.0
_END_SECONDS = 30.0
_AT_ONCE = 4  # messages on their way, each with a checkpoint


@dataclass(frozen=True)
class ClusterJob:
    """Seeds to train on a cluster."""

    retraining: Retraining
    seeds: Sequence[int]


@dataclass(frozen=True)
class _Job:
    """The job that each process is given."""

    retraining: Retraining
    checkpoints: dict[int, bytes | None]
    """Checkpoint of each seed to train, from which it goes on; None where it has none."""
    threads: int


def train_on_cluster(job: ClusterJob, tell: Callable[[int, Mapping[str, Any]], None]) -> None:
    """Train the seeds, each into its folder, which exists.

    Args:
        tell: called with the seed and each result of `trials.training.train_seed`.

    Raises:
        InputError: there are fewer GPUs than processes that train one model.
        KansearchError: the cluster can't be joined, a process was lost, or training failed, with its reason.
    """
    retraining, folders = job.retraining, {seed: job.retraining.folder(seed) for seed in job.seeds}
    os.environ.update(_ENVIRONMENT)
    settings = SearchSettings()
    with ray_cluster(settings, retraining.address, None, None) as cluster, tempfile.TemporaryDirectory() as scratch:
        from ray.util.queue import Queue

        queue = Queue(_AT_ONCE, actor_options={"num_cpus": 0})
        told = _job(retraining, folders, cluster)
        if retraining.processes == 1:
            train = _side_by_side(told, queue, cluster)
        else:
            train = _together(told, queue, retraining.processes, cluster, Path(scratch))
        for seed, message in _messages(queue, train):
            for name, content in message["files"].items():  # metrics.json is the last
                write_whole(folders[seed] / name, content)
            if TEST in message["result"]:
                (folders[seed] / CHECKPOINT).unlink(missing_ok=True)
            tell(seed, message["result"])


def _job(retraining: Retraining, folders: dict[int, Path], cluster: Cluster) -> _Job:
    if cluster.gpus and cluster.gpus < retraining.processes:
        raise InputError(f"--gpus {retraining.processes}: there are {cluster.gpus:g}")
    at_once = retraining.processes
    if at_once == 1:
        at_once = min(len(folders), int(cluster.gpus or cluster.cpus))
    checkpoints = {seed: folder / CHECKPOINT for seed, folder in folders.items()}
    return _Job(
        replace(retraining, data_dir=retraining.data_dir.absolute() if retraining.data_dir else None),
        {seed: path.read_bytes() if path.exists() else None for seed, path in checkpoints.items()},
        max(1, int(cluster.cpus // at_once)),
    )


def _side_by_side(job: _Job, queue: Queue, cluster: Cluster) -> Callable[[], None]:
    """Train each seed by itself, as many at once as there are GPUs, or CPUs."""
    import ray

    task = ray.remote(num_cpus=1, num_gpus=1 if cluster.gpus else 0, max_retries=0)(_train_alone)

    def train() -> None:
        ray.get([task.remote(job, seed, queue, cluster.gpus > 0) for seed in job.checkpoints])

    return train


def _train_alone(job: _Job, seed: int, queue: Queue, on_gpu: bool) -> None:
    from trials.training import ALONE

    _train_seeds(replace(job, checkpoints={seed: job.checkpoints[seed]}), ALONE, "cuda" if on_gpu else "cpu", queue)


def _together(job: _Job, queue: Queue, processes: int, cluster: Cluster, scratch: Path) -> Callable[[], None]:
    """Train one seed after the other, each by several processes. Call it in a thread: then Ray leaves the signals
    alone."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    resources = {"CPU": min(1.0, cluster.cpus / processes), **({"GPU": 1.0} if cluster.gpus else {})}
    trainer = TorchTrainer(
        _train,
        train_loop_config={"job": job, "queue": queue},
        torch_config=TorchConfig("nccl" if cluster.gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=cluster.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(name=f"retrain-{uuid.uuid4().hex[:8]}", storage_path=str(scratch)),
    )

    def fit() -> None:
        trainer.fit()

    return fit


def _messages(queue: Queue, train: Callable[[], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each message of a model's first process, with its seed, until training has ended.

    Raises KansearchError where training failed.
    """
    from ray.exceptions import RayError
    from ray.util.queue import Empty

    errors: list[BaseException] = []

    def run() -> None:
        try:
            train()
        except BaseException as error:  # told below, in the thread that can; Ray's driver may be gone under this one
            errors.append(error)

    thread = threading.Thread(target=run, name="ray-train", daemon=True)
    thread.start()
    while True:
        alive = thread.is_alive()
        try:
            seed, message = queue.get(timeout=_SECONDS)
        except Empty:
            if alive:
                continue
            break
        except RayError as error:
            errors.append(error)
            break
        if "failure" in message:
            thread.join(_END_SECONDS)  # Ray ends the other processes
            raise KansearchError(message["failure"])
        yield seed, message
    if errors:
        raise KansearchError(f"a training process was lost; the same command goes on: {one_line(errors[0])}")


def _train(config: dict[str, Any]) -> None:
    """One of the processes: train each seed, and let the first process tell the driver."""
    import ray.train
    from ray.train.torch import get_device

    from trials.training import Processes

    context = ray.train.get_context()
    processes = Processes(context.get_world_rank(), context.get_world_size())
    _train_seeds(config["job"], processes, str(get_device()), config["queue"])


def _train_seeds(job: _Job, processes: Any, device: str, queue: Queue) -> None:
    from trials.data.functions import trust_data
    from trials.training import use_threads

    use_threads(job.threads)
    trust_data(*job.retraining.trusted)
    for seed in job.checkpoints:
        try:
            _train_one(job, seed, processes, device, queue)
        except Exception as error:
            queue.put((seed, {"failure": first_line(error)}))
            raise  # the other processes wait for this one: Ray ends them


def _train_one(job: _Job, seed: int, processes: Any, device: str, queue: Queue) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, checkpoint = Path(name), job.checkpoints[seed]
        if checkpoint is not None:
            (folder / CHECKPOINT).write_bytes(checkpoint)
        for result in job.retraining.train(seed, folder, device=device, processes=processes):
            if processes.rank == 0:
                names = FILES if TEST in result else [CHECKPOINT]
                files = {name: (folder / name).read_bytes() for name in names}
                queue.put((seed, {"result": result, "files": files}))
