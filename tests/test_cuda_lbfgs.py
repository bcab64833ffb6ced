"""L-BFGS on CUDA: from graphs it takes the eager steps, repeats itself, resumes, and hardly waits for the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.results import untimed
from trials.config import TrialConfig
from trials.data.datasets import data_shape
from trials.data.splits import Split, random_split
from trials.results import EpochResult
from trials.training.checkpoint import load_checkpoint
from trials.training.epoch import EagerEpoch, build_epoch
from trials.training.lbfgs import LBFGS
from trials.training.lbfgs_epoch import LineSearchEpoch
from trials.training.optim import build_optimizer
from trials.training.run import build_on, run_trial

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

DOCUMENT: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64},
    "model": {"depth": 3, "width": 8, "halvings": 1, "basis": {"name": "gram"}},
    "optimizer": {"name": "lbfgs", "lr": 0.3, "history_size": 5},
    "epochs": 3,
}
RANDOM: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64, "limit": 600, "augment": "crop_flip"},
    "model": {**DOCUMENT["model"], "dropout": 0.2, "noise": 0.1},
    "regularization": {"l1_weight": 1e-5, "l2_activation": 1e-3, "label_smoothing": 0.1},
    "schedule": "one_cycle",
}
MODELS: dict[str, dict[str, Any]] = {
    "bspline": {"basis": {"name": "bspline"}, "normalization": "batch"},
    "rbf": {"basis": {"name": "rbf"}, "normalization": "instance", "bottleneck": 2},
    "gram": {"basis": {"name": "gram"}, "normalization": "layer", "head": "flatten"},
    "none": {"basis": {"name": "none"}, "normalization": "none"},
}


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        yield


def config_of(**fields: Any) -> TrialConfig:
    return TrialConfig.model_validate({**DOCUMENT, **fields})


def train(config: TrialConfig, path: Path | None = None, graphs: bool = True, **options: Any) -> list[EpochResult]:
    results = run_trial(config, device="cuda", checkpoint=path, graphs=graphs, **options)
    return untimed(results)


def epoch_of(config: TrialConfig, graphs: bool, images: int = 200, torchs: bool = False) -> EagerEpoch:
    """An epoch on random images, the same ones each time; with torch's optimizer where asked."""
    device = torch.device("cuda")
    torch.manual_seed(1)
    split = random_split(data_shape(config.data), images, device)
    torch.manual_seed(0)
    model = build_on(config, device)
    if torchs:
        options: dict[str, Any] = {"lr": 0.3, "max_iter": 4, "history_size": 5, "line_search_fn": "strong_wolfe"}
        return EagerEpoch(config, model, torch.optim.LBFGS(model.parameters(), **options), split)
    return build_epoch(config, model, build_optimizer(config.optimizer, model), split, graphs)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_first_steps_are_the_eager_ones_and_torchs(model: dict[str, Any]) -> None:
    config = config_of(model={**DOCUMENT["model"], **model}, precision="float32")
    losses = []
    for graphs, torchs in ((True, False), (False, False), (False, True)):
        epoch = epoch_of(config, graphs, images=150, torchs=torchs)
        assert isinstance(epoch, LineSearchEpoch) == graphs
        losses.append([float(epoch(number, [0.3] * 2)) for number in range(2)])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    assert losses[0] == pytest.approx(losses[2], rel=2e-2)
    assert losses[0][0] == pytest.approx(losses[2][0], rel=2e-3), "rounding errors grow"


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_a_trial_learns_as_much_from_graphs_as_step_by_step(model: dict[str, Any]) -> None:
    config = config_of(model={**DOCUMENT["model"], **model}, precision="float32")
    replayed, eager = train(config), train(config, graphs=False)
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.2, abs=0.02)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.08)
    assert train(config) == replayed, "twice the same numbers"


def test_a_random_trial_in_bfloat16_repeats_itself_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    config = config_of(**RANDOM)
    whole = train(config, tmp_path / "whole.pt")
    assert train(config) == whole
    for done in (1, 2):
        path = tmp_path / f"after-{done}.pt"
        interrupted = run_trial(config, device="cuda", checkpoint=path, graphs=True)
        for _ in range(done):
            next(interrupted)
        interrupted.close()
        torch.manual_seed(9)
        assert train(config, path) == whole
        ours, theirs = load_checkpoint(path)["model"], load_checkpoint(tmp_path / "whole.pt")["model"]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_checkpoints_travel_between_cpu_and_cuda(tmp_path: Path) -> None:
    for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
        path = tmp_path / f"{first}.pt"
        interrupted = run_trial(config_of(), device=first, checkpoint=path)
        loss = next(interrupted).train_loss
        interrupted.close()
        assert list(run_trial(config_of(), device=second, checkpoint=path))[-1].train_loss < loss


def test_streamed_data_have_the_numbers_of_resident_ones() -> None:
    config = config_of(**RANDOM)
    assert train(config, streamed=True) == train(config, streamed=False)


def test_an_epoch_on_another_stream_has_the_same_numbers() -> None:
    config = config_of(**RANDOM)
    here, there = epoch_of(config, True), epoch_of(config, True)
    expected = [float(here(number, [0.3] * 3)) for number in range(2)]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        losses = [float(there(number, [0.3] * 3)) for number in range(2)]
    torch.cuda.current_stream().wait_stream(stream)
    assert losses == expected


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_evaluations_of_a_step_share_a_batch_and_draw_dropout_anew(dropout: float) -> None:
    fields = {**RANDOM, "model": {**DOCUMENT["model"], "dropout": dropout}, "precision": "float32"}
    epoch = epoch_of(config_of(**fields), True)
    assert isinstance(epoch, LineSearchEpoch)
    epoch.number.zero_()
    epoch.batch.replay()
    epoch.optimizer.start()
    losses = set()
    for _ in range(3):
        epoch.measure.replay()
        losses.add(epoch.loss.item())
    assert len(losses) == (3 if dropout else 1)


def test_the_capture_changes_neither_the_model_nor_the_optimizer() -> None:
    epoch = epoch_of(config_of(**RANDOM), False)
    assert isinstance(epoch.optimizer, LBFGS)
    epoch(0, [0.3] * 3)
    held = {**epoch.model.state_dict(), **epoch.optimizer.state_dict()["state"][0]}
    before = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in held.items()}
    LineSearchEpoch(epoch.config, epoch.model, epoch.optimizer, epoch.training)
    after = {**epoch.model.state_dict(), **epoch.optimizer.state_dict()["state"][0]}
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, name


def test_the_host_waits_once_for_each_evaluation_and_each_direction() -> None:
    epoch = epoch_of(config_of(), True, images=64 * 8)
    assert isinstance(epoch.optimizer, LBFGS)
    epoch(0, [0.3] * 8)
    done = epoch.optimizer.iterations + epoch.optimizer.evaluations
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            loss = epoch(1, [0.3] * 8)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()
    waits = [each for each in caught if "called a synchronizing" in str(each.message)]
    done = epoch.optimizer.iterations + epoch.optimizer.evaluations - done
    assert done <= len(waits) <= done + 2, "two more for an epoch's order and rates"


def test_a_model_that_waits_trains_step_by_step(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trials.models.layers import GlobalAverage

    config = config_of(precision="float32")
    expected = train(config, graphs=False)
    forward = GlobalAverage.forward
    monkeypatch.setattr(GlobalAverage, "forward", lambda self, x: forward(self, x) * (x.is_meta or x.max().item() > -9))
    results = untimed(run_trial(config, device="cuda"))
    assert results == expected
    assert caplog.text.count("no CUDA graph: the training step waits for the device") == 1


def test_a_split_of_one_batch_is_trained_on() -> None:
    epoch = epoch_of(config_of(), True, images=50)
    losses = [float(epoch(number, [0.3])) for number in range(4)]
    assert losses[-1] < losses[0]
    assert isinstance(epoch.training, Split) and len(epoch.training) == 50
