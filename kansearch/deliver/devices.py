"""Training on several devices: a process for each, through Ray Train's `TorchTrainer`, on this machine or a cluster.

The first process sends what a run on one device would write into its folder, after each epoch, and the driver writes
it: no folder must be seen by every machine, and an interrupted run goes on from the driver's own.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.deliver.retraining import Retraining
from kansearch.deliver.seed import CHECKPOINT, FILES, train_seed, write_whole
from kansearch.errors import InputError, KansearchError
from kansearch.search.cluster import Cluster, ray_cluster
from kansearch.search.trainable import one_line
from kansearch.space import SearchSettings
from trials.config import TrialConfig

if TYPE_CHECKING:
    from ray.util.queue import Queue

__all__ = ["train_on_devices"]

_ENVIRONMENT = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",  # nobody looks at Ray's dashboard
}
_SECONDS = 1.0
_END_SECONDS = 30.0
_AT_ONCE = 4  # messages on their way, each with a checkpoint


@dataclass(frozen=True)
class Job:
    """What each process is told."""

    config: dict[str, Any]
    """Of the first seed."""
    checkpoints: dict[int, bytes | None]
    """Of each seed that is to be trained: where to go on."""
    hold_out: bool
    data_dir: str | None
    threads: int
    trusted: tuple[str, ...]


def train_on_devices(
    retraining: Retraining, folders: dict[int, Path], progress: Callable[[int, dict[str, Any]], None]
) -> Iterator[int]:
    """Train the seeds of `folders`, each into its folder, which exists; yield each seed when its folder is complete.

    progress: called after each epoch with the seed and the epoch's measurements.

    Raises KansearchError: there are fewer devices than processes, Ray can't start or be joined, a process was lost, or
    training failed, with its reason.
    """
    os.environ.update(_ENVIRONMENT)
    if retraining.address is None:
        _stay_on_loopback()
    settings = SearchSettings()
    with ray_cluster(settings, retraining.address, None, None) as cluster, tempfile.TemporaryDirectory() as scratch:
        from ray.util.queue import Queue

        queue = Queue(_AT_ONCE, actor_options={"num_cpus": 0})
        job = _job(retraining, folders, cluster)
        trainer = _trainer(job, queue, retraining, cluster, Path(scratch))
        for seed, message in _messages(queue, trainer):
            for name in (CHECKPOINT, *FILES):
                if name in message["files"]:
                    write_whole(folders[seed] / name, message["files"][name])
            if message["result"] is not None:
                progress(seed, message["result"])
            else:
                (folders[seed] / CHECKPOINT).unlink(missing_ok=True)
                yield seed


def _job(retraining: Retraining, folders: dict[int, Path], cluster: Cluster) -> Job:
    if cluster.gpus and cluster.gpus < retraining.processes:
        raise InputError(f"--gpus {retraining.processes}: there are {cluster.gpus:g}")
    checkpoints = {seed: folder / CHECKPOINT for seed, folder in folders.items()}
    return Job(
        config=retraining.config.model_dump(mode="json"),
        checkpoints={seed: path.read_bytes() if path.exists() else None for seed, path in checkpoints.items()},
        hold_out=retraining.hold_out,
        data_dir=str(retraining.data_dir.absolute()) if retraining.data_dir else None,
        threads=max(1, int(cluster.cpus // retraining.processes)),
        trusted=retraining.trusted,
    )


def _trainer(job: Job, queue: Queue, retraining: Retraining, cluster: Cluster, scratch: Path) -> Callable[[], None]:
    """What trains, until the end. It is to be called in a thread: then Ray leaves the signals alone."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from kansearch.deliver.loopback import LoopbackTorchConfig

    processes = retraining.processes
    local, backend = retraining.address is None, "nccl" if cluster.gpus else "gloo"
    resources = {"CPU": min(1.0, cluster.cpus / processes), **({"GPU": 1.0} if cluster.gpus else {})}
    trainer = TorchTrainer(
        _train,
        train_loop_config={"job": asdict(job), "queue": queue},
        torch_config=LoopbackTorchConfig(backend, meeting=str(scratch / "meeting")) if local else TorchConfig(backend),
        scaling_config=ScalingConfig(num_workers=processes, use_gpu=cluster.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(name=f"retrain-{uuid.uuid4().hex[:8]}", storage_path=str(scratch)),
    )

    def fit() -> None:
        trainer.fit()

    return fit


def _messages(queue: Queue, train: Callable[[], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the first process sends, until training has ended. Raises KansearchError where it failed."""
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

    from trials.data.functions import trust_data
    from trials.run import Processes, use_threads

    job, queue = Job(**config["job"]), config["queue"]
    context = ray.train.get_context()
    processes, device = Processes(context.get_world_rank(), context.get_world_size()), str(get_device())
    use_threads(job.threads)
    trust_data(*job.trusted)
    first = TrialConfig.model_validate(job.config)
    for seed, checkpoint in job.checkpoints.items():
        try:
            _train_one(first.model_copy(update={"seed": seed}), job, checkpoint, processes, device, queue)
        except Exception as error:
            queue.put((seed, {"failure": (str(error).splitlines() or [type(error).__name__])[0]}))
            raise  # the other processes wait for this one: Ray ends them


def _train_one(
    config: TrialConfig, job: Job, checkpoint: bytes | None, processes: Any, device: str, queue: Queue
) -> None:
    data_dir = Path(job.data_dir) if job.data_dir else None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if checkpoint is not None:
            (folder / CHECKPOINT).write_bytes(checkpoint)
        results = train_seed(
            config, folder, hold_out=job.hold_out, data_dir=data_dir, device=device, processes=processes
        )
        for result in results:
            if processes.rank == 0:
                queue.put((config.seed, {"result": result, "files": _contents(folder, [CHECKPOINT])}))
        if processes.rank == 0:
            queue.put((config.seed, {"result": None, "files": _contents(folder, FILES)}))


def _contents(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def _stay_on_loopback() -> None:
    """Let NCCL and gloo listen on the loopback interface alone."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    for variable in ("NCCL_SOCKET_IFNAME", "GLOO_SOCKET_IFNAME"):
        if names and sys.platform != "win32":
            os.environ.setdefault(variable, names[0])
