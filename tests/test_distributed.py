"""Two processes that train one model take the steps that one would take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, multiprocessing

from trials.config import TrialConfig
from trials.measure.sizes import check_batch
from trials.training.distributed import ALONE, Processes
from trials.training.run import run_trial

DOCUMENT: dict[str, Any] = {
    "data": {"dataset": "digits", "limit": 300, "batch_size": 33},
    "model": {"depth": 1, "width": 4, "basis": {"name": "rbf"}, "normalization": "layer"},
    "regularization": {"l1_weight": 1e-4, "l1_activation": 1e-3},
    "epochs": 2,
}


def config_of(**changes: Any) -> TrialConfig:
    return TrialConfig.model_validate({**DOCUMENT, **changes})


ADAMW = config_of()
LBFGS = config_of(  # few steps, because its line search makes much of a rounding error
    optimizer={"name": "lbfgs", "lr": 0.3, "max_iter": 3}, data={**DOCUMENT["data"], "batch_size": 101}, epochs=1
)
NORMALISED = config_of(model={**DOCUMENT["model"], "normalization": "batch"})
AFFINE = config_of(
    model={"family": "resnet", "depth": 18, "width": 2, "basis": {"name": "none"}, "affine": True},
    data={**DOCUMENT["data"], "batch_size": 101},
    regularization={},
    epochs=1,
)
CHANGED = config_of(
    model={**DOCUMENT["model"], "basis": {"name": "bspline", "grid_size": 8}, "normalization": "batch"},
    grid_schedule={"extensions": 1},
    adapt_grid={"times": 1},
    optimizer={"name": "adamw", "lr": 1e-4},
)
ACCUMULATED = config_of(accumulate=2, epochs=1)
RANDOM = config_of(
    model={**DOCUMENT["model"], "normalization": "batch", "dropout": 0.1},
    data={**DOCUMENT["data"], "augment": "affine"},
)


def train(config: TrialConfig, folder: Path, processes: Processes = ALONE) -> tuple[list[Any], dict[str, Any]]:
    """The numbers of each epoch, and the weights where this process is the one that writes."""
    path = folder / f"{processes.rank}.safetensors"
    results = [*run_trial(config, device="cpu", weights=path, processes=processes)]
    from safetensors.torch import load_file

    weights = load_file(path) if path.exists() else {}
    return [(each.epoch, each.train_loss, each.validation_loss, each.accuracy) for each in results], weights


def join(rank: int, folder: str, configs: Sequence[TrialConfig]) -> None:
    """One of two processes: train each configuration, and leave the numbers behind."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    (Path(folder) / str(rank)).mkdir()
    done = [train(config, Path(folder) / str(rank), Processes(rank, 2)) for config in configs]
    torch.save(done, Path(folder) / f"{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_give_the_numbers_of_one(tmp_path: Path) -> None:
    configs = [ADAMW, LBFGS, NORMALISED, AFFINE, CHANGED, ACCUMULATED, RANDOM]
    multiprocessing.spawn(join, (str(tmp_path), configs), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for config, (numbers, weights), (others, nothing) in zip(configs, first, second, strict=True):
        assert numbers == others, "both know the same"
        assert nothing == {}, "one alone writes"
        if config == RANDOM:  # another draw
            assert all(torch.isfinite(each).all() for each in weights.values())
            continue
        alone, expected = train(config, tmp_path)
        for row, reference in zip(numbers, alone, strict=True):
            assert row == pytest.approx(reference, rel=1e-4)
        for name, each in expected.items():
            torch.testing.assert_close(weights[name], each, rtol=1e-3, atol=1e-4)


def test_every_sample_of_a_batch_goes_to_one_process() -> None:
    order = torch.randperm(70).view(5, 14)
    for size in (1, 2, 3, 14):
        parts = [Processes(rank, size).part(order) for rank in range(size)]
        assert torch.equal(torch.cat(parts, 1), order)
        assert min(part.shape[1] for part in parts) == Processes(0, size).smallest_part(14)


def test_a_batch_that_is_too_small_for_so_many_processes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.batch_size=33 is too small for 34 processes"):
        check_batch(ADAMW, 300, Processes(0, 34))
    with pytest.raises(ValueError, match=r"needs batch_size >= 2 for each of 20 processes"):
        check_batch(NORMALISED, 300, Processes(0, 20))
    check_batch(NORMALISED, 300, Processes(0, 16))
