"""The bridge to `trials`: what a Ray worker runs. The one place where the study's process boundary is crossed.

A worker reports one flat result an epoch, `EpochResult`'s fields, and with the last one of a training that is to be
final the test split's figures, as JSON under `TEST`. An exception is a result too, with its reason and
kind, or an obstacle where the trial is not to blame:
Ray sees no error, the worker stays alive for the next trial, and the traceback lies where its checkpoints do. Only an
error of the GPU itself is Ray's: the process can't use it any more, and under CUDA MPS it may be another trial's.
"""

from __future__ import annotations

import dataclasses
import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kansearch.search.checkpoints import CHECKPOINT, WEIGHTS, Checkpoints, checkpoints_at
from kansearch.search.mps import PIPES
from kansearch.search.obstacles import OBSTACLE, obstacle

__all__ = ["FAILURE", "KIND", "MEMORY", "TEST", "Request", "resources", "train"]

FAILURE, KIND, MEMORY, TEST = "failure", "kind", "memory", "test"
_LONGEST_REASON = 300
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


@dataclasses.dataclass(frozen=True)
class Request:
    """What the driver sends to a worker."""

    number: int
    config: dict[str, Any]
    place: str
    data_dir: str | None
    threads: int
    cpus: float
    gpus: float
    mps: str | None = None
    """Where CUDA MPS is to be found."""
    trusted: list[str] = dataclasses.field(default_factory=list)
    final: bool = False
    """Train on the whole training split, validation images too, and measure once on the test split at the end."""

    def as_ray_config(self) -> dict[str, Any]:
        """One JSON string, so that Ray Tune flattens and tags nothing."""
        return {"request": json.dumps(dataclasses.asdict(self))}

    @classmethod
    def from_ray_config(cls, config: dict[str, Any]) -> Request:
        return cls(**json.loads(config["request"]))


def train(ray_config: dict[str, Any]) -> None:
    """Ray Tune's function trainable: run one trial, from its checkpoint if there is one, reporting after each epoch."""
    from ray import tune

    request = Request.from_ray_config(ray_config)
    try:
        for result in _epochs(request, checkpoints_at(request.place)):
            tune.report(result)
    except Exception as error:
        if _is_of_the_gpu(error):
            raise
        tune.report(_ended(error, request))


def _ended(error: Exception, request: Request) -> dict[str, str]:
    """What to report of a trial that raised: its failure, whose traceback is kept, or an obstacle in its way."""
    checkpoints, text, more = checkpoints_at(request.place), "".join(traceback.format_exception(error)), ""
    found = obstacle(error, checkpoints)
    try:
        if found is None:
            checkpoints.note_error(request.number, text)
    except Exception as another:  # the place may be what failed
        found = obstacle(another, checkpoints)
        more = f"; its traceback could not be kept: {type(another).__name__}"
    if found is not None:
        return {OBSTACLE: found}
    return {FAILURE: one_line(error, more), KIND: MEMORY if _is_out_of_memory(error) else "error"}


def resources(ray_config: dict[Any, Any]) -> Any:
    """What Ray Tune is to reserve for a trial, as its `PlacementGroupFactory`."""
    from ray.tune import PlacementGroupFactory

    request = Request.from_ray_config(ray_config)
    return PlacementGroupFactory([{"CPU": request.cpus, "GPU": request.gpus}])


def _is_out_of_memory(error: Exception) -> bool:
    """torch says it with a class of its own on a GPU, and names the allocator on a CPU; CUDA and cuBLAS in words."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY))


def _is_of_the_gpu(error: Exception) -> bool:
    """Whether the process has lost its GPU: each later use of it would fail too."""
    return type(error).__name__ == "AcceleratorError" and not _is_out_of_memory(error)


def _epochs(request: Request, checkpoints: Checkpoints) -> Iterator[dict[str, Any]]:
    if request.mps is not None:
        os.environ[PIPES] = request.mps  # read when the process first uses CUDA
    from trials.config import TrialConfig
    from trials.data.functions import trust_data
    from trials.run import evaluate, run_trial, use_memory, use_threads

    use_threads(request.threads)
    trust_data(*request.trusted)
    if request.gpus:
        use_memory(request.gpus)
    device = None if request.gpus else "cpu"  # Ray hides no GPU from a trial that has none
    config = TrialConfig.model_validate(request.config)
    data_dir = Path(request.data_dir) if request.data_dir else None
    with checkpoints.folder(request.number) as folder:
        checkpoint, weights = folder / CHECKPOINT, None if request.final else folder / WEIGHTS
        for result in run_trial(
            config,
            data_dir=data_dir,
            device=device,
            checkpoint=checkpoint,
            weights=weights,
            hold_out=not request.final,
        ):
            checkpoints.store(request.number, folder)
            report = dataclasses.asdict(result)
            if not request.final or result.epoch < config.epochs:
                yield report
        if request.final:  # what the training took of the device's memory is free again
            test = evaluate(config, checkpoint, data_dir=data_dir, device=device)
            yield report | {TEST: json.dumps(test)}


def one_line(error: BaseException, more: str = "") -> str:
    """`ErrorType: first line of its message`, and what is to be said beside it; at most 300 characters."""
    message = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    room = _LONGEST_REASON - len(more)
    return (text if len(text) <= room else text[: room - 1] + "…") + more
