"""The bridge to `trials`: what a Ray worker runs. The one place where the study's process boundary is crossed.

A worker reports one flat result an epoch, `EpochResult`'s fields. An exception is a result too, with its reason and
kind, or an obstacle where the trial is not to blame:
Ray sees no error, the worker stays alive for the next trial, and the traceback lies where its checkpoints do.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kansearch.search.checkpoints import CHECKPOINT, Checkpoints, checkpoints_at
from kansearch.search.obstacles import OBSTACLE, obstacle

__all__ = ["FAILURE", "KIND", "MEMORY", "Request", "resources", "train"]

FAILURE, KIND, MEMORY = "failure", "kind", "memory"
_LONGEST_REASON = 300


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
    trusted: list[str] = dataclasses.field(default_factory=list)

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
    """torch says it with a class of its own on a GPU, and names the allocator on a CPU."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _epochs(request: Request, checkpoints: Checkpoints) -> Iterator[dict[str, Any]]:
    from trials.config import TrialConfig
    from trials.data.functions import trust_data
    from trials.run import run_trial, use_threads

    use_threads(request.threads)
    trust_data(*request.trusted)
    config = TrialConfig.model_validate(request.config)
    data_dir = Path(request.data_dir) if request.data_dir else None
    with checkpoints.folder(request.number) as folder:
        for result in run_trial(config, data_dir=data_dir, checkpoint=folder / CHECKPOINT):
            checkpoints.store(request.number, folder)
            yield dataclasses.asdict(result)


def one_line(error: BaseException, more: str = "") -> str:
    """`ErrorType: first line of its message`, and what is to be said beside it; at most 300 characters."""
    message = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    room = _LONGEST_REASON - len(more)
    return (text if len(text) <= room else text[: room - 1] + "…") + more
