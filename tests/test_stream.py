"""Data that do not fit on the device: read batch by batch, with the numbers of data that do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.datafiles import data_config, write_folder, write_segmentation
from tests.results import untimed
from trials.config import TrialConfig
from trials.data import splits, stream
from trials.data.held import held_bytes
from trials.data.loader import evaluation_batches, training_batches
from trials.data.splits import Split, load_test, load_training
from trials.data.statistics import channel_statistics, kept_statistics
from trials.measure.memory import estimate_memory
from trials.results import EpochResult
from trials.training.run import run_trial

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KANSEARCH_DATA", raising=False)
    monkeypatch.setattr(splits, "_READ", {})


def everything(split: Split) -> list[torch.Tensor]:
    training = [
        part for epoch in (0, 1) for batch in training_batches(split, 8, "crop_flip", 3, epoch) for part in batch
    ]
    return [*training, *(part for batch in evaluation_batches(split, 7) for part in batch)]


@pytest.mark.parametrize("dense", [False, True], ids=["classes", "masks"])
def test_streamed_batches_are_the_resident_ones(dense: bool, tmp_path: Path) -> None:
    if dense:
        config = data_config(dataset="segmentation", image_size=8, classes=3)
        root = write_segmentation(tmp_path / "scenes")
    else:
        config = data_config(dataset="imagefolder", image_size=8, classes=2)
        root = write_folder(tmp_path / "images", each=16)
    for load in (load_training, lambda *args, **options: (load_test(*args, **options),)):
        for resident, streamed in zip(load(config, CPU, root), load(config, CPU, root, streamed=True), strict=True):
            assert resident is not None and streamed is not None
            assert streamed.rows is not None and resident.rows is None
            assert len(resident) == len(streamed)
            ours, theirs = everything(streamed), everything(resident)
            assert len(ours) == len(theirs)
            assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True))


def trained(config: TrialConfig, **options: Any) -> list[EpochResult]:
    results = run_trial(config, device="cpu", **options)
    return untimed(results)


def test_a_streamed_trial_has_the_numbers_of_a_resident_one_and_resumes(tmp_path: Path) -> None:
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": "digits", "limit": 200, "batch_size": 32, "augment": "crop_flip"},
            "model": {"depth": 1, "width": 4, "basis": {"name": "rbf", "grid_size": 3}},
            "epochs": 3,
        }
    )
    resident = trained(config)
    assert trained(config, streamed=True) == resident
    path = tmp_path / "checkpoint.pt"
    interrupted = run_trial(config, device="cpu", checkpoint=path, streamed=True)
    next(interrupted)
    interrupted.close()
    assert trained(config, checkpoint=path) == resident, "goes on where the data fit"


def test_what_takes_more_than_its_share_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    config = data_config(dataset="digits")
    assert load_training(config, CPU)[0].rows is None
    monkeypatch.setattr(stream, "SHARE", 1e-9)
    training, held_out = load_training(config, CPU)
    assert training.rows is not None and held_out is not None and held_out.rows is not None
    assert load_training(config, CPU, streamed=False)[0].rows is None


def test_memory_is_that_of_the_batches_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    config = data_config(dataset="synthetic", size=[64, 64], channels=3, samples=10**6, batch_size=16)
    trial = TrialConfig.model_validate({"data": config.model_dump(mode="json"), "model": {"depth": 1, "width": 2}})
    monkeypatch.setattr(stream, "SHARE", 10.0**6)
    whole, estimate = held_bytes(config, 10**6, CPU), estimate_memory(trial, "cpu")
    assert whole == 10**6 * (64 * 64 * 3 + 8 + 8)
    monkeypatch.setattr(stream, "SHARE", 1e-9)
    assert held_bytes(config, 10**6, CPU) < 0.01 * whole
    assert estimate_memory(trial, "cpu") == pytest.approx(estimate - (whole - held_bytes(config, 10**6, CPU)) / 2**20)
    floats = data_config(dataset="arrays", size=[64], channels=2, classes=3, samples=100)
    monkeypatch.setattr(stream, "SHARE", 1.0)
    assert held_bytes(floats, 100, CPU) == 100 * (64 * 2 * 4 + 8 + 8)


def test_batches_are_read_ahead_but_not_all_at_once_and_no_thread_is_left() -> None:
    asked: list[int] = []

    def order() -> Iterator[torch.Tensor]:
        for start in range(0, 1000, 10):
            asked.append(start)
            yield torch.arange(start, start + 10)

    source = torch.arange(1000)
    before = threading.active_count()
    batches = stream.batches((source, 2 * source), order(), CPU)
    first, second = next(batches)
    assert first.tolist() == list(range(10)) and torch.equal(second, 2 * first)
    assert len(asked) == stream.AHEAD + 1
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    read = torch.cat([rows for (rows,) in stream.batches((source,), source.split(64), CPU)])
    assert torch.equal(read, source)


def test_statistics_of_a_memory_map_are_kept_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 200, (50, 3, 6, 5), dtype=np.uint8)
    np.save(tmp_path / "x.npy", values)
    samples = np.load(tmp_path / "x.npy", mmap_mode="c")
    expected = channel_statistics(values)
    monkeypatch.setattr("trials.data.statistics._AT_ONCE", 500)
    computed = kept_statistics(samples)
    monkeypatch.setattr("trials.data.statistics.channel_statistics", lambda samples: pytest.fail("computed again"))
    for statistics in (computed, kept_statistics(samples)):
        assert all(np.array_equal(a, b) for a, b in zip(statistics, expected, strict=True))


@pytest.mark.parametrize("shape", [(60, 2, 30), (60, 3, 4, 5)])
def test_statistics_of_floats_are_numpys(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(1).normal(3, 7, shape).astype(np.float32)
    values[:, 1] = 4.5
    monkeypatch.setattr("trials.data.statistics._AT_ONCE", 700)
    mean, std = channel_statistics(values)
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(mean, values.mean(axes, dtype=np.float64), rtol=1e-6)
    expected = values.std(axes, dtype=np.float64)
    expected[1] = 1.0  # a constant channel is only centred
    np.testing.assert_allclose(std, expected, rtol=1e-6)
