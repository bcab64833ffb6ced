"""Training on CUDA: a replayed step is the eager one, repeats itself and resumes; what can't be captured is told."""

from __future__ import annotations

import gc
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.results import untimed
from trials.config import TrialConfig
from trials.data.augment import AUGMENTATIONS, build_augmentation
from trials.data.shape import DataShape
from trials.data.splits import Split, load_training, random_split
from trials.kan import KANConv2d, kernels
from trials.measure.memory import CONTEXT_MIB
from trials.measure.sharing import measure_sharing
from trials.results import EpochResult
from trials.training import step, validation
from trials.training.capture import NotCapturable, capture, drop_pools, shared_pool
from trials.training.checkpoint import load_checkpoint
from trials.training.run import build_on, evaluate, run_trial, use_memory
from trials.training.validation import EagerValidation, GraphedValidation

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

OPTIMIZERS = [{"name": "adamw", "lr": 5e-3, "weight_decay": 0.1}, {"name": "lion", "lr": 4e-3, "weight_decay": 0.1}]
EVERYTHING_RANDOM: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64, "limit": 600, "augment": "crop_flip"},
    "model": {"depth": 3, "width": 8, "halvings": 1, "dropout": 0.2, "noise": 0.1, "basis": {"name": "gram"}},
    "regularization": {"l1_weight": 1e-5, "l2_activation": 1e-3, "label_smoothing": 0.1},
    "schedule": "one_cycle",
    "epochs": 4,
}
BASES = ["bernstein", "bspline", "chebyshev", "fourier", "gram", "jacobi", "legendre", "rbf", "relu", "sine", "wavelet"]
BASES += ["none"]
MODELS: dict[str, dict[str, Any]] = {
    **{name: {"basis": {"name": name}} for name in [*BASES, "rational", "spline_activation", "power_mlp"]},
    "learnable rbf": {"basis": {"name": "rbf", "kernel": "sech", "learnable": True}},
    "splines off the middle": {"basis": {"name": "bspline", "grid_centre": 0.6}},
    "spline activations and a KAN head": {"basis": {"name": "spline_activation"}, "classifier": "kan", "bottleneck": 2},
    "bottleneck": {"bottleneck": 2},
    "experts": {"experts": 3},
    "instance": {"normalization": "instance"},
    "group": {"normalization": "group", "affine": True},
    "degree": {"dropout": 0.2, "noise": 0.2, "perturbation": "degree"},
    "strides, KAN classifier": {
        "downsampling": "stride",
        "classifier": "kan",
        "head": "flatten",
        "spline_scaler": True,
    },
}


def config_of(**fields: Any) -> TrialConfig:
    return TrialConfig.model_validate({**EVERYTHING_RANDOM, **fields})


def train(config: TrialConfig, path: Path | None = None, graphs: bool | None = True) -> list[EpochResult]:
    results = run_trial(config, device="cuda", checkpoint=path, graphs=graphs)
    return untimed(results)


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_every_model_learns_the_same_from_a_graph_as_step_by_step(model: dict[str, Any]) -> None:
    shape = {"depth": 2, "width": 8, "halvings": 1}
    config = config_of(
        data={"dataset": "digits", "batch_size": 64}, model={**shape, **model}, epochs=3, precision="float32"
    )
    replayed, eager = train(config), train(config, graphs=False)
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.02)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.04)
    assert train(config) == replayed, "twice the same numbers"
    assert replayed[-1].train_loss < replayed[0].train_loss


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: o["name"])
def test_a_replayed_trial_repeats_itself_and_resumes_bit_for_bit(optimizer: dict[str, Any], tmp_path: Path) -> None:
    config = config_of(optimizer=optimizer)
    whole = train(config, tmp_path / "whole.pt")
    assert train(config) == whole
    for done in (1, 3):
        path = tmp_path / f"after-{done}.pt"
        interrupted = run_trial(config, device="cuda", checkpoint=path)
        for _ in range(done):
            next(interrupted)
        interrupted.close()
        torch.manual_seed(9)
        assert train(config, path) == whole
        ours, theirs = load_checkpoint(path)["model"], load_checkpoint(tmp_path / "whole.pt")["model"]
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert evaluate(config, path, device="cuda")["accuracy"] > 0.2, "ten classes"


def test_the_random_numbers_of_each_step_and_epoch_are_new() -> None:
    first = train(config_of(schedule="constant", optimizer={"name": "adamw", "lr": 1e-12}, epochs=3))
    assert len({result.train_loss for result in first}) == 3, "the weights stand still, and dropout doesn't"


def test_learning_rates_reach_the_replayed_steps() -> None:
    slow = train(
        config_of(optimizer={"name": "adamw", "lr": 1e-12}, schedule="constant", model={"depth": 1, "width": 4})
    )
    assert slow[-1].train_loss == pytest.approx(slow[0].train_loss, rel=0.05)
    fast = train(
        config_of(
            optimizer={"name": "adamw", "lr": 1e-2}, schedule="constant", model={"depth": 2, "width": 8, "halvings": 1}
        )
    )
    assert fast[-1].train_loss < 0.9 * fast[0].train_loss


def test_checkpoints_travel_between_cpu_and_cuda(tmp_path: Path) -> None:
    config = config_of(model={"depth": 3, "width": 8, "bottleneck": 2})
    for first, second in (("cpu", "cuda"), ("cuda", "cpu")):
        path = tmp_path / f"{first}.pt"
        interrupted = run_trial(config, device=first, checkpoint=path)
        losses = [next(interrupted).train_loss for _ in range(2)]
        interrupted.close()
        rest = list(run_trial(config, device=second, checkpoint=path))[2:]
        assert rest[-1].train_loss < losses[0]


def test_a_model_that_cannot_be_captured_falls_back_with_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trials.models.layers import GlobalAverage

    expected = train(config_of(), graphs=False)
    forward = GlobalAverage.forward

    def waits(self: Any, x: torch.Tensor) -> torch.Tensor:
        assert x.is_meta or x.isfinite().all().item()
        return forward(self, x)

    monkeypatch.setattr(GlobalAverage, "forward", waits)
    assert train(config_of(), graphs=None) == expected
    assert caplog.text.count("no CUDA graph: the training step waits for the device") == 1


def test_asked_for_a_graph_a_model_that_waits_raises_and_harms_no_later_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    from trials.models.layers import GlobalAverage

    expected = train(config_of())
    forward = GlobalAverage.forward
    monkeypatch.setattr(GlobalAverage, "forward", lambda self, x: forward(self, x) * (x.is_meta or x.max().item() > -9))
    with pytest.raises(NotCapturable):
        train(config_of())
    monkeypatch.undo()
    assert train(config_of()) == expected


@pytest.mark.parametrize("basis", BASES[:-1])
@pytest.mark.parametrize("sizes", [(64, 64, 32), (16, 16, 28), (13, 21, 28)], ids=str)
def test_a_layer_in_bfloat16_is_near_its_float32_twin(sizes: tuple[int, int, int], basis: str) -> None:
    channels, out, pixels = sizes
    torch.manual_seed(0)
    layer = KANConv2d(channels, out, 3, padding=1, basis=basis).to("cuda", memory_format=torch.channels_last)
    x = torch.randn(32, channels, pixels, pixels, device="cuda").to(memory_format=torch.channels_last)
    weights = torch.randn(32, out, pixels, pixels, device="cuda")
    results = []
    for ours in (True, False):
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=ours), kernels.force(None if ours else False):
            y = layer(leaf)
        (y.float() * weights).sum().backward()
        results.append([y.float(), leaf.grad, *(p.grad for p in layer.parameters())])
    for half, single in zip(*results, strict=True):
        assert (half - single).norm() < 0.05 * single.norm()


def test_other_sizes_of_a_basis_and_other_widths_compile_no_other_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    from triton import knobs

    compiled: list[str] = []
    monkeypatch.setattr(knobs.runtime, "jit_post_compile_hook", lambda **call: compiled.append(call["fn"].name))
    sizes = {"bspline": "grid_size", "fourier": "grid_size", "relu": "grid_size", "gram": "degree", "jacobi": "degree"}
    for size, width in ((3, 8), (7, 40), (12, 16)):
        before = len(compiled)
        for name, field in sizes.items():
            train(config_of(model={"depth": 2, "width": width, "basis": {"name": name, field: size}}, epochs=1))
    assert len(compiled) == before, "all were there after the first round"


def test_bfloat16_is_the_default_and_learns_what_float32_does() -> None:
    auto, half, single = (train(config_of(precision=name)) for name in ("auto", "bfloat16", "float32"))
    assert auto == half != single
    assert auto[-1].train_loss == pytest.approx(single[-1].train_loss, rel=0.1)


# -- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["classes", "masks"])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_is_captured_and_replayed_from_its_seed(name: str, dense: bool) -> None:
    device, size = torch.device("cuda"), (64,) if name == "shift_scale" else (24, 20)
    split = random_split(DataShape(3, size, 5, dense), 32, device)
    augment, generator = build_augmentation(name, split), torch.Generator(device)
    out, labels = torch.empty_like(split.images), torch.empty_like(split.labels)

    def step() -> None:
        samples, masks = augment(split.images, split.labels if dense else None, generator)
        out.copy_(samples)
        labels.copy_(split.labels if masks is None else masks)

    graph = capture(step, step, device, [generator])
    replays = []
    for seed in (5, None, 5):
        if seed is not None:
            generator.manual_seed(seed)
        graph.replay()
        replays.append((out.clone(), labels.clone()))
    assert all(torch.equal(a, b) for a, b in zip(replays[0], replays[2], strict=True))
    assert torch.equal(replays[0][0], replays[1][0]) == (name == "none")
    on_cpu = build_augmentation(name, Split(*(t.cpu() for t in (split.images, split.labels, split.mean, split.std))))
    other, _ = on_cpu(split.images.cpu(), None, torch.Generator().manual_seed(0))
    assert out.float().mean().item() == pytest.approx(other.float().mean().item(), rel=0.25)


@pytest.mark.parametrize(
    "name", ["none", "crop_flip", "affine_jitter", "cutout", "autoaugment_cifar", "flip_policies", "affine20_colour"]
)
def test_augmented_steps_are_replayed(name: str) -> None:
    data = {"dataset": "synthetic", "channels": 3, "samples": 640, "batch_size": 64, "augment": name}
    data |= {"pixels": "symmetric"} if name == "flip_policies" else {}
    config = config_of(data=data, precision="float32", epochs=3)
    replayed, eager = train(config), train(config, graphs=False)
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.05)
    assert train(config) == replayed


@pytest.mark.parametrize("graphs", [True, False], ids=["graph", "eager"])
def test_streamed_data_have_the_numbers_of_resident_ones(graphs: bool) -> None:
    def trained(streamed: bool) -> list[EpochResult]:
        results = run_trial(config_of(epochs=3), device="cuda", graphs=graphs, streamed=streamed)
        return untimed(results)

    for ours, theirs in zip(trained(True), trained(False), strict=True):
        assert ours.train_loss == theirs.train_loss
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.02)


# -- a class for each pixel --------------------------------------------------------------------------------------------


PIXELS: dict[str, Any] = {
    "data": {"dataset": "synthetic", "dense": True, "size": (21, 18), "samples": 300, "batch_size": 32},
    "regularization": {"dice": 0.5, "side_weight": 0.5, "label_smoothing": 0.1},
    "optimizer": {"name": "adamw", "lr": 1e-2},
    "precision": "float32",
    "epochs": 3,
}


@pytest.mark.parametrize("basis", ["gram", "none"])
@pytest.mark.parametrize("family", ["unet", "u2net"])
def test_classes_of_pixels_are_learnt_the_same_from_a_graph(family: str, basis: str, tmp_path: Path) -> None:
    model = {"family": family, "size": "small", "width": 8, "basis": {"name": basis}}
    config = TrialConfig.model_validate({**PIXELS, "model": model})
    path = tmp_path / "checkpoint.pt"
    replayed, eager = train(config, path), train(config, graphs=False)
    for ours, theirs in zip(replayed, eager, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.05)
        assert ours.mean_iou is not None and ours.mean_iou == pytest.approx(theirs.mean_iou, abs=0.1)
    assert train(config) == replayed, "twice the same numbers"
    assert replayed[-1].train_loss < replayed[0].train_loss
    assert evaluate(config, path, device="cuda")["mean_iou"] > 0.3


# -- many trials in one process ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [False, True], ids=["classes", "masks"])
@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_each_pass_of_validation_gives_the_same_numbers(
    precision: str, dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = torch.device("cuda")
    for module in (step, validation):
        monkeypatch.setattr(module, "EVALUATION_BATCH", 16)  # 60 images: three batches and what is left over
    unet = {"family": "unet", "size": "small", "width": 8}
    config = TrialConfig.model_validate({**PIXELS, "model": unet}) if dense else config_of()
    config = config.model_copy(update={"precision": precision})
    model, split = build_on(config, device), load_training(config.data, device)[1]
    assert split is not None
    own, shared = (GraphedValidation(config, model, split, True, pool) for pool in (None, shared_pool(device)))
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, benchmark=False):
        expected = EagerValidation(config, model, split)()
        found = [own(), own(), own(), shared(), shared(), own(), shared()]
    assert found == [expected] * 7, "step by step, recorded, and replayed"
    for each in (own, shared):
        each.release()


def test_an_old_checkpoint_costs_epochs_but_changes_no_number(tmp_path: Path) -> None:
    config, path = config_of(), tmp_path / "checkpoint.pt"
    whole = train(config)
    interrupted = run_trial(config, device="cuda", checkpoint=path)
    next(interrupted)
    interrupted.close()
    for done in (1, 2, 3):  # epochs of which no checkpoint is written
        again = run_trial(config, device="cuda", checkpoint=path, checkpoint_seconds=1e6, keep_last=False)
        for _ in range(1 + done):
            next(again)
        again.close()
        assert len(load_checkpoint(path)["results"]) == 1
    assert train(config, path) == whole


def test_finished_trials_leave_no_memory_behind() -> None:
    configs = [config_of(model={"depth": 2, "width": width}, epochs=2) for width in (8, 24, 16)]
    gc.collect()
    gc.disable()
    try:
        after = []
        for _ in range(6):
            results = [train(config) for config in configs]
            stopped = run_trial(configs[0], device="cuda")
            next(stopped)
            del stopped
            after.append((results, torch.cuda.memory_allocated(), torch.cuda.memory_reserved()))
    finally:
        gc.enable()
    numbers, allocated, reserved = zip(*after, strict=True)
    assert all(each == numbers[0] for each in numbers)
    assert len(set(allocated[1:])) == 1, "a model, an optimizer or a graph is still there"
    assert reserved[-1] <= reserved[1] + 64 * 2**20, "12 trials later"


def test_graphs_of_one_trial_after_the_other_use_the_same_memory_with_the_same_numbers() -> None:
    small, large = config_of(model={"depth": 2, "width": 4}), config_of(model={"depth": 4, "width": 24})
    drop_pools()
    alone = [(drop_pools(), train(config))[1] for config in (small, large)]
    assert [train(config) for config in (small, large, small, large)] == [*alone, *alone]


def test_a_process_takes_no_more_than_its_share_and_the_next_trial_has_its_own() -> None:
    """In a process of its own: what other tests hold there, cuBLAS' workspaces too, would count."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(take_shares).result(timeout=300)


def take_shares() -> None:
    total = torch.cuda.get_device_properties().total_memory
    for share in (0.1, 0.05, 0.2):
        train(config_of(epochs=1))
        use_memory(share)
        held = torch.cuda.memory_reserved()
        assert held <= share / 2 * total, "what was cached is given back"
        allowed = int(share * total) - CONTEXT_MIB * 2**20
        torch.empty(allowed - held - 2**21, dtype=torch.uint8, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(share * total), dtype=torch.uint8, device="cuda")
        train(config_of(epochs=1))
    use_memory(1.0)
    torch.empty(int(0.5 * total), dtype=torch.uint8, device="cuda")


def test_small_networks_gain_by_sharing_a_gpu_and_lbfgs_is_left_out() -> None:
    small = config_of(data={"dataset": "mnist", "batch_size": 64}, model={"depth": 2, "width": 4})
    lbfgs, stages = config_of(optimizer={"name": "lbfgs", "lr": 0.5}), list[str]()
    sharing = measure_sharing([small, lbfgs], [10.0, 20.0], 4, stages.append)
    assert stages == ["context", "kernels", "graphs", "steps", "shared"]
    assert sorted(sharing.speed_ups) == [1, 2, 4] and len(sharing.step_seconds) == 4
    assert sharing.speed_ups[1] == 1 and sharing.speed_ups[4] > 1.5
    assert sharing.waiting == 1
    assert sharing.trial_mib == [10.0, 20.0] and sharing.memory_mib > 1000
    assert sorted(measure_sharing([small], [10.0], 3).speed_ups) == [1, 2, 3]
    assert measure_sharing([lbfgs], [20.0], 4).speed_ups == {}
