"""What a worker reports of a trial that raised: its failure and of which kind, with the traceback kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kansearch.cluster import trainable
from kansearch.cluster.checkpoints import checkpoints_at
from kansearch.cluster.interruptions import INTERRUPTION
from kansearch.cluster.mps import PIPES
from kansearch.cluster.trainable import FAILURE, KIND, MEMORY, Request
from trials.config import TrialConfig
from trials.results import TEST, EpochResult
from trials.training import run, seed

CONFIG = TrialConfig.model_validate({"data": {"dataset": "digits"}})


def reported(error: BaseException, place: Path) -> dict[str, str]:
    request = Request(3, CONFIG, str(place), None, 1, 0.0)
    try:
        raise error
    except Exception as raised:
        return trainable._ended(raised, request)


def raised_by(action: Any) -> Exception:
    with pytest.raises(Exception) as caught:
        action()
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        raised_by(lambda: torch.empty(2**60)),
        raised_by(lambda: bytearray(2**62)),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
    ids=["CPU", "Python", "CUDA", "driver", "cuBLAS"],
)
def test_want_of_memory_is_told_apart(error: Exception, tmp_path: Path) -> None:
    report = reported(error, tmp_path)
    assert report[KIND] == MEMORY
    assert report[FAILURE].startswith(type(error).__name__)
    assert len(report[FAILURE]) <= 300 and "\n" not in report[FAILURE]


def test_a_failure_keeps_its_traceback(tmp_path: Path) -> None:
    report = reported(ValueError("the first line\nthe second"), tmp_path)
    assert report == {FAILURE: "ValueError: the first line", KIND: "error"}
    kept = (tmp_path / "00003/error.txt").read_text()
    assert kept.startswith("Traceback") and "the second" in kept


def test_a_full_disk_is_no_failure_of_a_trial(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    assert reported(error, tmp_path) == {INTERRUPTION: f"cannot write to {tmp_path}: No space left on device"}
    assert not (tmp_path / "00003").exists()


def test_a_place_that_cannot_be_written_is_said_beside_the_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = reported(ValueError("wrong"), tmp_path / "file")
    assert report[FAILURE] == "ValueError: wrong; its traceback could not be kept: NotADirectoryError"


def test_a_worker_that_lost_its_gpu_ends_and_its_trial_goes_on_in_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    def epochs(*arguments: object) -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    monkeypatch.setattr(trainable, "_epochs", epochs)
    with pytest.raises(torch.AcceleratorError, match="illegal memory access"):
        list(trainable.train(Request(3, CONFIG, str(tmp_path), None, 1, 0.5)))


def test_a_trial_without_a_gpu_runs_on_the_cpu_and_one_under_mps_is_told_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []
    devices: list[str | None] = []
    monkeypatch.setenv(PIPES, "elsewhere")
    monkeypatch.setattr(run, "use_memory", shares.append)
    monkeypatch.setattr(run, "run_trial", lambda config, *, device, **more: devices.append(device) or ())
    monkeypatch.setattr(run, "start_gpu", lambda: None)
    for gpus, mps in ((0.0, None), (0.25, "/tmp/pipes")):
        trainable.prepare(mps, gpus, 1)
        request = Request(3, CONFIG, str(tmp_path), None, 1, gpus)
        assert list(trainable._epochs(request, checkpoints_at(request.place))) == []
        assert os.environ[PIPES] == (mps or "elsewhere")
    assert (devices, shares) == (["cpu", None], [0.25])


def test_a_final_training_holds_nothing_out_and_measures_the_test_split_once_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []

    def epochs(config: Any, *, hold_out: bool, weights: Any, **more: Any) -> Iterator[EpochResult]:
        calls.append(("run", (hold_out, weights)))
        for number in (1, 2):
            yield EpochResult(number, 0.1, {"train_loss": 0.5, "seconds": 1.0, "parameters": 10})
        calls.append(("done", None))

    def evaluate(config: Any, checkpoint: Path, **more: Any) -> dict[str, float]:
        calls.append(("test", checkpoint))
        return {"accuracy": 0.9}

    monkeypatch.setattr(seed, "run_trial", epochs)
    monkeypatch.setattr(seed, "evaluate", evaluate)
    config = CONFIG.model_copy(update={"epochs": 2})
    request = Request(3, config, str(tmp_path), None, 1, 0.0, final=True)
    first, last = trainable._epochs(request, checkpoints_at(request.place))
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert TEST not in first and last[TEST] == {"accuracy": 0.9}
    assert calls == [("run", (False, None)), ("done", None), ("test", tmp_path / "00003/checkpoint.pt")]
