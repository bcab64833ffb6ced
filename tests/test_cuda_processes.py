"""Two processes on two GPUs train what one trains: step by step, from a CUDA graph, and as `retrain` starts them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from kansearch.seeds.retrain import retrain
from kansearch.seeds.retraining import Retraining
from tests.test_deliver import comparable
from tests.test_distributed import ADAMW, AFFINE, LBFGS, NORMALISED
from trials.config import TrialConfig
from trials.training.distributed import ALONE, Processes, join
from trials.training.run import run_trial

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="no two CUDA devices")

CONFIGS = [config.model_copy(update={"precision": "float32"}) for config in (ADAMW, NORMALISED, AFFINE, LBFGS)]


def losses_of(config: TrialConfig, device: str, processes: Processes, graphs: bool | None) -> list[float]:
    results = run_trial(config, device=device, graphs=graphs, processes=processes)
    return [loss for each in results for loss in (each.train_loss, each.validation_loss) if loss is not None]


def work(rank: int, folder: str, configs: Sequence[TrialConfig]) -> None:
    """One of two processes: train each configuration in both ways; the first one leaves the numbers behind."""
    processes, device = Processes(rank, 2), f"cuda:{rank}"
    join(processes, device, f"{folder}/meeting")
    torch.backends.cudnn.allow_tf32 = False
    found = [[losses_of(config, device, processes, graphs) for graphs in (False, None)] for config in configs]
    Path(folder, f"{rank}.json").write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # NCCL waits for ever for a graph that is still there


def test_two_gpus_give_the_numbers_of_one(tmp_path: Path) -> None:
    multiprocessing.spawn(work, (str(tmp_path), CONFIGS), nprocs=2)  # type: ignore[no-untyped-call]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second, "both know the same"
    before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
    try:
        for config, (eager, replayed) in zip(CONFIGS, first, strict=True):
            expected = losses_of(config, "cuda:0", ALONE, False)
            assert eager == pytest.approx(expected, rel=2e-3)
            assert replayed == pytest.approx(expected, rel=2e-3)
    finally:
        torch.backends.cudnn.allow_tf32 = before


def test_seeds_on_two_gpus_are_those_of_one(tmp_path: Path) -> None:
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": {"depth": 2, "width": 8}, "epochs": 3})
    two = retrain(Retraining(config, tmp_path / "two", 3))
    for seed, run in zip(range(3), two["runs"], strict=True):
        one = retrain(Retraining(config.model_copy(update={"seed": seed}), tmp_path / f"one-{seed}"))
        assert comparable(run) == comparable(one["runs"][0])


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_retrain_trains_one_model_on_two_gpus(normalization: str, tmp_path: Path) -> None:
    model = {"depth": 2, "width": 8, "normalization": normalization}
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": model, "epochs": 10})
    one, two = (retrain(Retraining(config, tmp_path / f"{count}", processes=count)) for count in (1, 2))
    assert two["accuracy"] == pytest.approx(one["accuracy"], abs=0.02) and one["accuracy"] > 0.9
