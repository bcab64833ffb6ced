"""The bridge to `trials`: what a worker runs. The one place where the study's process boundary is crossed.

A trial's results are dicts: of each epoch `EpochResult.row`, and with the last one of a training that is to be final
the test split's figures (`trials.training.train_seed`). An exception is a result too, with its reason and kind, or an
interruption where the trial is not to blame. The worker stays alive for the next trial, and the traceback lies where
the trial's checkpoints do. Only an error of the GPU itself ends the worker: its process can't use the GPU any more.
"""

from __future__ import annotations

import dataclasses
import json
import os
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kansearch.cluster.checkpoints import CHECKPOINT, WEIGHTS, Checkpoints, checkpoints_at
from kansearch.cluster.interruptions import INTERRUPTION, interruption
from kansearch.cluster.mps import PIPES
from trials.config import TrialConfig
from trials.files import one_line

__all__ = [
    "FAILURE",
    "KIND",
    "MEMORY",
    "REPORT_SECONDS",
    "TRAINING",
    "Report",
    "Request",
    "Training",
    "one_line",
]

FAILURE, KIND, MEMORY = "failure", "kind", "memory"
REPORT_SECONDS = 2.0
"""A worker reports after so long, at the end of the epoch; earlier where the driver has something to decide."""
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "CUDA error: out of memory", "STATUS_ALLOC_FAILED")


@dataclasses.dataclass(frozen=True)
class Request:
    """A request that the driver sends to a worker."""

    number: int
    """Number under which its checkpoints lie in `place`."""
    config: TrialConfig
    place: str
    data_dir: str | None
    threads: int
    gpus: float
    """Share of a GPU's memory that the trial may take; 0: it runs on the CPU."""
    trusted: list[str] = dataclasses.field(default_factory=list)
    final: bool = False
    """Train on the whole training split, validation images too, and measure once on the test split at the end."""
    assignment: int = -1
    """Number under which the driver knows it."""
    rungs: list[int] = dataclasses.field(default_factory=list)
    """Epochs after which the driver decides whether the trial goes on."""
    checkpoint_seconds: float = 0.0
    """Training time after which the next epoch's end writes a checkpoint."""

    @property
    def text(self) -> str:
        """The request as JSON."""
        return json.dumps({**vars(self), "config": self.config.model_dump(mode="json")})

    @classmethod
    def from_text(cls, text: str) -> Request:
        """Read the request again."""
        document = json.loads(text)
        return cls(config=TrialConfig.model_validate(document.pop("config")), **document)


@dataclasses.dataclass(frozen=True)
class Report:
    """A report of what a trial has done since its last report."""

    assignment: int
    """Assignment of the request."""
    results: list[dict[str, Any]]
    """Epochs as `EpochResult.row` gives them; the last may be a failure or an interruption instead."""
    ended: bool
    """Whether there will be no other report of this trial."""
    seconds: float
    """Seconds from the moment at which the worker got the trial."""

    @property
    def text(self) -> str:
        """The report as JSON: one string, so that Ray Tune flattens nothing."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Report:
        return cls(**json.loads(text))


def prepare(mps: str | None, gpus: float, threads: int) -> str:
    """Load what every trial needs, and begin to use the GPU; the GPUs that this process was given.

    mps: where CUDA MPS is to be found. gpus: a trial's share of a GPU; 0: none is used. threads: a trial's CPU threads.
    """
    if mps is not None:
        os.environ[PIPES] = mps  # read when the process first uses CUDA
    from trials.training import start_gpu, use_threads

    use_threads(threads)
    if not gpus:
        return ""
    start_gpu()
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0")


def train(request: Request) -> Iterator[dict[str, Any]]:
    """Run one trial, from its checkpoint if there is one: its results."""
    try:
        yield from _epochs(request, checkpoints_at(request.place))
    except Exception as error:
        if _is_of_the_gpu(error):
            raise
        yield _ended(error, request)


def _ended(error: Exception, request: Request) -> dict[str, str]:
    """Return what to report of a trial that raised: its failure, whose traceback is kept, or an interruption."""
    checkpoints, text, more = checkpoints_at(request.place), "".join(traceback.format_exception(error)), ""
    found = interruption(error, checkpoints)
    try:
        if found is None:
            checkpoints.note_error(request.number, text)
    except Exception as another:  # the place may be what failed
        found = interruption(another, checkpoints)
        more = f"; its traceback could not be kept: {type(another).__name__}"
    if found is not None:
        return {INTERRUPTION: found}
    return {FAILURE: one_line(error, more), KIND: MEMORY if _is_out_of_memory(error) else "error"}


def _is_out_of_memory(error: Exception) -> bool:
    """torch says it with a class of its own on a GPU, and names the allocator on a CPU; CUDA and cuBLAS in words."""
    named = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return named or (isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY))


def _is_of_the_gpu(error: Exception) -> bool:
    """Whether the process has lost its GPU: each later use of it would fail too."""
    return type(error).__name__ == "AcceleratorError" and not _is_out_of_memory(error)


def _epochs(request: Request, checkpoints: Checkpoints) -> Iterator[dict[str, Any]]:
    from trials.data.functions import trust_data
    from trials.training import run_trial, train_seed, use_memory, use_threads

    use_threads(request.threads)
    trust_data(*request.trusted)
    if request.gpus:
        use_memory(request.gpus)
    told: dict[str, Any] = {
        "data_dir": Path(request.data_dir) if request.data_dir else None,
        "device": None if request.gpus else "cpu",  # Ray hides no GPU from a worker that has none
        "checkpoint_seconds": request.checkpoint_seconds,
    }
    with checkpoints.folder(request.number) as folder:
        if request.final:
            results = train_seed(request.config, folder, keep=False, **told)
        else:
            told |= {"checkpoint": folder / CHECKPOINT, "weights": folder / WEIGHTS, "keep_last": False}
            results = (result.row() for result in run_trial(request.config, **told))
        for result in results:
            checkpoints.store(request.number, folder)
            yield result


@dataclasses.dataclass(frozen=True)
class Training:
    """The two functions that a worker runs: `prepare` once, when it starts, and `train` for each trial."""

    prepare: Callable[[str | None, float, int], str]
    train: Callable[[Request], Iterator[dict[str, Any]]]


TRAINING = Training(prepare, train)
