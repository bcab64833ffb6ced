"""What a worker reports of a trial that raised: its failure and of which kind, with the traceback kept."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from kansearch.search import trainable
from kansearch.search.obstacles import OBSTACLE
from kansearch.search.trainable import FAILURE, KIND, MEMORY, Request


def reported(error: BaseException, place: Path) -> dict[str, str]:
    request = Request(3, {}, str(place), None, 1, 1.0, 0.0)
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
    ],
    ids=lambda error: type(error).__name__,
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
    assert reported(error, tmp_path) == {OBSTACLE: f"cannot write to {tmp_path}: No space left on device"}
    assert not (tmp_path / "00003").exists()


def test_a_place_that_cannot_be_written_is_said_beside_the_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    report = reported(ValueError("wrong"), tmp_path / "file")
    assert report[FAILURE] == "ValueError: wrong; its traceback could not be kept: NotADirectoryError"
