"""The bridge to `trials`: what a Ray worker runs. The one place where the study's process boundary is crossed.

A worker reports one flat result an epoch, `EpochResult`'s fields. An exception is a result too, with its reason and
kind, or an obstacle where the trial is not to blame:
Ray sees no error, the worker stays alive for the next trial, and the traceback lies in the trial's folder.
"""

from __future__ import annotations

import dataclasses
import json
import traceback
from pathlib import Path
from typing import Any

from kansearch.search.obstacles import OBSTACLE, obstacle

__all__ = ["CHECKPOINT", "FAILURE", "KIND", "MEMORY", "Request", "resources", "train"]

FAILURE, KIND, MEMORY = "failure", "kind", "memory"
CHECKPOINT = "checkpoint.pt"
_LONGEST_REASON = 300


@dataclasses.dataclass(frozen=True)
class Request:
    """What the driver sends to a worker."""

    number: int
    config: dict[str, Any]
    folder: str
    data_dir: str | None
    threads: int
    cpus: float
    gpus: float

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
    folder = Path(request.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for result in _epochs(request, folder):
            tune.report(result)
    except Exception as error:
        tune.report(_ended(error, folder))


def _ended(error: Exception, folder: Path) -> dict[str, str]:
    """What to report of a trial that raised: its failure, whose traceback is kept, or an obstacle in its way."""
    found = obstacle(error, folder)
    try:
        if found is None:
            (folder / "error.txt").write_text("".join(traceback.format_exception(error)))
    except OSError as another:
        found = obstacle(another, folder)
    if found is not None:
        return {OBSTACLE: found}
    return {FAILURE: one_line(error), KIND: MEMORY if _is_out_of_memory(error) else "error"}


def _epochs(request: Request, folder: Path) -> Any:
    from trials.config import TrialConfig
    from trials.run import run_trial, use_threads

    use_threads(request.threads)
    config = TrialConfig.model_validate(request.config)
    data_dir = Path(request.data_dir) if request.data_dir else None
    for result in run_trial(config, data_dir=data_dir, checkpoint=folder / CHECKPOINT):
        yield dataclasses.asdict(result)


def resources(ray_config: dict[Any, Any]) -> Any:
    """What Ray Tune is to reserve for a trial, as its `PlacementGroupFactory`."""
    from ray.tune import PlacementGroupFactory

    request = Request.from_ray_config(ray_config)
    return PlacementGroupFactory([{"CPU": request.cpus, "GPU": request.gpus}])


def _is_out_of_memory(error: Exception) -> bool:
    """torch says it with a class of its own on a GPU, in words on a CPU."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and "not enough memory" in str(error))


def one_line(error: BaseException) -> str:
    """`ErrorType: first line of its message`, at most 300 characters."""
    message = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {message[0]}" if message else type(error).__name__
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
