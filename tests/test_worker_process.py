"""One process runs many trials: what it keeps for the next one, what it gives back, and when it writes."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.results import untimed
from trials.config import DataConfig, TrialConfig
from trials.data import splits
from trials.data.augment import AUGMENTATIONS
from trials.data.splits import Split, load_training
from trials.measure.sizes import count_sizes
from trials.models import build_network
from trials.results import EpochResult
from trials.training import capture, loop, run, step, validation
from trials.training.capture import NotCapturable
from trials.training.checkpoint import load_checkpoint
from trials.training.loop import TrialDiverged
from trials.training.run import run_trial
from trials.training.validation import EagerValidation, GraphedValidation

CPU = torch.device("cpu")
CONFIG = TrialConfig.model_validate(
    {
        "data": {"dataset": "digits", "batch_size": 64, "limit": 200, "augment": "crop_flip"},
        "model": {"depth": 2, "width": 8, "dropout": 0.2, "basis": {"name": "gram"}},
        "schedule": "one_cycle",
        "epochs": 5,
    }
)


def trained(config: TrialConfig = CONFIG, **options: Any) -> list[EpochResult]:
    results = run_trial(config, device="cpu", **options)
    return untimed(results)


# -- checkpoints -------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock, at the start, before and after a checkpoint, is a second after the last one."""
    seconds = itertools.count()
    monkeypatch.setattr("trials.training.run.time.monotonic", lambda: float(next(seconds)))
    yield


@pytest.mark.parametrize(("seconds", "expected"), [(0, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (99, [5])])
def test_a_checkpoint_is_written_when_so_many_seconds_have_passed_and_at_the_end(
    seconds: float, expected: list[int], clock: None, tmp_path: Path
) -> None:
    path, written = tmp_path / "checkpoint.pt", set()
    for result in run_trial(CONFIG, device="cpu", checkpoint=path, checkpoint_seconds=seconds):
        if path.exists():
            done = len(load_checkpoint(path)["results"])
            assert done == max(number for number in expected if number <= result.epoch)
            written.add(done)
    assert sorted(written) == expected


def test_without_a_last_checkpoint_the_weights_are_written_all_the_same(tmp_path: Path) -> None:
    path, weights = tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors"
    options: dict[str, Any] = {"checkpoint": path, "weights": weights}
    whole = trained(keep_last=False, **options)
    assert len(load_checkpoint(path)["results"]) == 4
    expected = weights.read_bytes()
    weights.unlink()
    assert trained(keep_last=False, **options) == whole, "from the checkpoint before the last epoch"
    assert weights.read_bytes() == expected


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "lbfgs"])
def test_a_crash_long_after_a_checkpoint_costs_epochs_but_changes_no_number(
    optimizer: str, clock: None, tmp_path: Path
) -> None:
    config = TrialConfig.model_validate({**CONFIG.model_dump(), "optimizer": {"name": optimizer, "lr": 5e-3}})
    whole = trained(config, weights=tmp_path / "whole.safetensors")
    path, weights = tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors"
    options: dict[str, Any] = {"checkpoint": path, "weights": weights, "checkpoint_seconds": 2, "keep_last": False}
    first = run_trial(config, device="cpu", **options)
    noted = [next(first) for _ in range(3)]
    first.close()
    assert len(load_checkpoint(path)["results"]) == 2, "the third epoch is lost"
    torch.manual_seed(9)
    again = list(run_trial(config, device="cpu", **options))
    assert again[:2] == noted[:2], "told as they were noted, seconds included"
    assert untimed(again) == whole
    assert weights.read_bytes() == (tmp_path / "whole.safetensors").read_bytes()


def test_sizes_that_are_known_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = count_sizes(CONFIG)
    whole = trained()
    assert (whole[0].flops, whole[0].parameters) == (counted["flops"], counted["parameters"])
    monkeypatch.setattr(run, "count_sizes", lambda config: pytest.fail("counted again"))
    assert trained(sizes=counted) == whole


# -- data --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """How often a split is drawn, in a process that has none yet."""
    drawn: list[object] = []
    original = splits.part_indices
    monkeypatch.setattr(splits, "_KEPT", [])
    monkeypatch.setattr(splits, "part_indices", lambda *call: (drawn.append(call), original(*call))[1])
    return drawn


def test_trials_of_one_space_share_their_split(reads: list[object]) -> None:
    first = trained()
    other = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"batch_size": 32, "augment": "none"})})
    trained(other)
    assert trained() == first
    assert len(reads) == 1


@pytest.mark.parametrize(
    "change", [{"validation": 0.2}, {"limit": 300}, {"split_seed": 1}, {"hold_out": False}, {"streamed": True}], ids=str
)
def test_what_draws_another_split_is_another_split(change: dict[str, Any], reads: list[object]) -> None:
    digits = DataConfig(dataset="digits", limit=200)
    fields = {name: value for name, value in change.items() if name in DataConfig.model_fields}
    options = {name: value for name, value in change.items() if name not in fields}
    mine = load_training(digits, CPU)
    other = load_training(digits.model_copy(update=fields), CPU, **options)
    again = load_training(digits, CPU)
    assert len(reads) == 3 and len(splits._KEPT) == 1, "only the last one is kept"
    assert (len(other[0]), other[0].rows is None, other[1] is None) != (180, True, False) or not torch.equal(
        other[0].images, mine[0].images
    )
    assert torch.equal(again[0].images, mine[0].images)


def test_other_images_are_another_split(monkeypatch: pytest.MonkeyPatch) -> None:
    digits = DataConfig(dataset="digits")
    mine, _ = load_training(digits, CPU)
    training, test = splits._read(digits, None)
    monkeypatch.setattr(
        splits, "_READ", {("digits", None): (dataclasses.replace(training, images=16 - training.images), test)}
    )
    other, _ = load_training(digits, CPU)
    assert torch.equal(other.images, 16 - mine.images)


def contents(split: Split) -> list[Tensor]:
    return [each.clone() for each in (split.images, split.labels, split.mean, split.std)]


@pytest.mark.parametrize(
    ("name", "dense"),
    [(name, dense) for name in AUGMENTATIONS for dense in (False, True) if name != "shift_scale"]
    + [("shift_scale", False)],
)
def test_a_trial_changes_nothing_in_a_split_that_the_next_one_uses(name: str, dense: bool) -> None:
    size = [32] if name == "shift_scale" else [16, 16]
    model = {"family": "unet", "size": "small", "width": 4} if dense else {"depth": 2, "width": 4}
    config = TrialConfig.model_validate(
        {
            "data": {"dataset": "synthetic", "size": size, "samples": 100, "dense": dense, "augment": name},
            "model": {**model, "basis": {"name": "rbf", "grid_size": 3}},
            "epochs": 1,
        }
    )
    kept = load_training(config.data, CPU)
    before = [contents(split) for split in kept if split]
    trained(config)
    assert load_training(config.data, CPU) is kept
    for split, values in zip(kept, before, strict=True):
        assert split is not None
        assert all(torch.equal(a, b) for a, b in zip(contents(split), values, strict=True))


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[weakref.ref[Any]]]:
    """Models, optimizers and epochs of each trial, while no cycle is collected."""
    references: list[weakref.ref[Any]] = []

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            made = function(*arguments, **options)
            references.append(weakref.ref(made))
            return made

        return call

    for module, name in ((run, "build_on"), (run, "build_optimizer"), (loop, "build_epoch")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    monkeypatch.setattr(loop, "build_validation", watched(validation.build_validation))
    gc.collect()
    gc.disable()
    yield references
    gc.enable()


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "lbfgs"])
@pytest.mark.parametrize("experts", [0, 2])
def test_a_trial_that_ends_or_is_stopped_is_gone_at_once(
    optimizer: str, experts: int, alive: list[weakref.ref[Any]]
) -> None:
    config = TrialConfig.model_validate(
        {
            **CONFIG.model_dump(),
            "model": {"depth": 3, "width": 6, "experts": experts or None, "bottleneck": 2, "noise": 0.1},
            "optimizer": {"name": optimizer, "lr": 5e-3},
            "regularization": {"l1_weight": 1e-5, "l2_activation": 1e-3},
            "epochs": 2,
        }
    )
    trained(config)
    stopped = run_trial(config, device="cpu")
    next(stopped)
    del stopped
    assert len(alive) == 8 and [reference() for reference in alive] == [None] * 8


def test_a_trial_that_diverges_is_gone_when_its_error_is(alive: list[weakref.ref[Any]]) -> None:
    config = CONFIG.model_copy(
        update={"optimizer": CONFIG.optimizer.model_copy(update={"lr": 1e30}), "schedule": "constant"}
    )
    try:
        trained(config)
    except TrialDiverged:
        pass
    else:
        pytest.fail("did not diverge")
    assert len(alive) == 4 and [reference() for reference in alive] == [None] * 4


def test_what_finished_trials_left_makes_room_before_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def full(function: Callable[[], object], device: torch.device) -> None:
        tries.append(len(capture._pools))
        if len(tries) != 3:
            raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(capture, "_run", full)
    monkeypatch.setattr(capture, "_pools", {})
    with pytest.raises(torch.OutOfMemoryError):
        capture.rehearse(lambda: None, CPU)
    capture._pools[0] = object()  # type: ignore[assignment]
    capture.rehearse(lambda: None, CPU)
    assert tries == [0, 1, 0], "again, when the memory of their graphs was given back"


# -- the first pass of validation --------------------------------------------------------------------------------------


class Graph:
    """What a CUDA graph does, without a GPU."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.replay, self.released = function, False

    def reset(self) -> None:
        self.released = True


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is rehearsed and recorded."""
    made: list[str] = []

    def rehearse(function: Callable[[], object], device: torch.device) -> None:
        made.append(f"rehearse {function.__name__}")
        function()

    def record(function: Callable[[], object], device: torch.device, *, pool: object) -> Graph:
        made.append(f"record {function.__name__}")
        return Graph(function)

    monkeypatch.setattr(validation, "rehearse", rehearse)
    monkeypatch.setattr(validation, "record", record)
    return made


def validated(limit: int = 200, dense: bool = False) -> tuple[TrialConfig, nn.Module, Split]:
    config = CONFIG.model_copy(update={"data": CONFIG.data.model_copy(update={"limit": limit})})
    if dense:
        data = {"dataset": "synthetic", "dense": True, "size": (16, 16), "samples": 100}
        config = TrialConfig.model_validate({"data": data, "model": {"family": "unet", "size": "small", "width": 4}})
    split = load_training(config.data, CPU)[1]
    assert split is not None
    return config, build_network(config), split


@pytest.mark.parametrize(
    ("limit", "first", "second"),
    [
        (200, ["rehearse _batch", "rehearse _rest"], ["record _batch", "record _rest"]),  # 20 images: 16 + 4
        (320, ["rehearse _batch", "record _batch", "rehearse _rest"], ["record _rest"]),  # 2 x 16
        (1000, ["rehearse _batch", "record _batch", "rehearse _rest"], ["record _rest"]),  # 6 x 16 + 4
        (100, ["rehearse _rest"], ["record _rest"]),  # 10
    ],
)
def test_validation_records_what_it_runs_again_and_has_the_numbers_of_each_pass_step_by_step(
    limit: int, first: list[str], second: list[str], calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (validation, step):
        monkeypatch.setattr(module, "EVALUATION_BATCH", 16)
    config, model, split = validated(limit)
    graphed, eager = GraphedValidation(config, model, split), EagerValidation(config, model, split)
    for expected in (first, first + second, first + second):
        assert graphed() == eager() and calls == expected
        model.train()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.1)
    graphs: list[Any] = [each.graph for each in (graphed.batch, graphed.rest) if each.graph]
    graphed.release()
    assert graphs and all(graph.released for graph in graphs)


def test_validation_of_masks_is_recorded_as_a_whole(calls: list[str]) -> None:
    config, model, split = validated(dense=True)
    graphed, eager = GraphedValidation(config, model, split), EagerValidation(config, model, split)
    assert graphed() == graphed() == graphed() == eager()
    assert calls == ["rehearse _measured", "record _measured"]


def test_a_validation_that_waits_is_told_once_or_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def waits(function: Callable[[], object], device: torch.device) -> None:
        raise NotCapturable("it waits")

    monkeypatch.setattr(validation, "rehearse", waits)
    config, model, split = validated()
    graphed, eager = GraphedValidation(config, model, split), EagerValidation(config, model, split)
    assert graphed() == eager() == graphed()
    assert caplog.text.count("no CUDA graph: validation waits for the device: it waits") == 1
    graphed.release()
    with pytest.raises(NotCapturable):
        GraphedValidation(config, model, split, needed=True)()
