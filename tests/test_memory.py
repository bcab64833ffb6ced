"""The estimate of peak memory, against what training really allocates."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch

from tests.benchmarks.memory import CASES, config_of, measured
from trials.config import TrialConfig
from trials.measure.live import LiveBytes
from trials.measure.memory import estimate_memory

BAND = (0.7, 1.5)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_what_the_profiler_sees(case: str, one_thread: None) -> None:
    config = config_of(CASES[case])
    ratio = estimate_memory(config, "cpu", threads=1) / measured(config)
    assert BAND[0] <= ratio <= BAND[1]


def changed(config: TrialConfig, part: str, **values: object) -> TrialConfig:
    return config.model_copy(update={part: getattr(config, part).model_copy(update=values)})


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_more_of_anything_takes_more(device: str) -> None:
    config = config_of(CASES["plain"])
    least = estimate_memory(config, device)
    for larger in (
        changed(config, "data", batch_size=64),
        changed(config, "data", limit=60_000),
        changed(config, "model", width=48),
        changed(config, "model", depth=6),
    ):
        assert estimate_memory(larger, device) > least


def test_the_state_of_each_optimizer_is_counted() -> None:
    config = config_of(CASES["weights above all"])
    weights = 4 * sum_of_parameters(config) / 2**20

    def with_optimizer(**optimizer: object) -> float:
        document = {**config.model_dump(), "optimizer": optimizer}
        return estimate_memory(TrialConfig.model_validate(document), "cpu")

    short, long = with_optimizer(name="lbfgs", history_size=5), with_optimizer(name="lbfgs", history_size=9)
    assert long - short == pytest.approx(8 * weights)
    assert short - with_optimizer(name="adamw") > 10 * weights


def sum_of_parameters(config: TrialConfig) -> int:
    from trials.measure.sizes import count_parameters

    return count_parameters(config)


def test_a_network_too_large_for_any_machine_is_estimated() -> None:
    config = changed(config_of(CASES["bspline"]), "model", width=4096, depth=20, growth=1)
    assert estimate_memory(config, "cpu") > 100_000


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_storages_are_counted_once_and_until_they_are_freed(device: str) -> None:
    with LiveBytes() as live:
        x = torch.ones(250, device=device)
        view = x.view(10, 25)
        y = view + 1
        assert live.now == 2000
        del y
        assert live.now == 1000
        del x
        assert live.now == 1000, "a view keeps it"
        del view
        gc.collect()
        assert (live.now, live.peak) == (0, 2000)
