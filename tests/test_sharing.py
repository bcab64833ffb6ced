"""The parts of the measurement of sharing that need no GPU: what is measured, of which copies, and how it ends."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kansearch.cluster import gpu_sharing as deciding
from kansearch.cluster.packing import are_small, fill
from kansearch.engine.plan import draw
from kansearch.space import parse_space
from tests.helpers import SMALL_SPACE
from trials.config import TrialConfig
from trials.measure import sharing

BASES: list[dict[str, Any]] = [
    {"name": "bspline", "grid_size": 4, "spline_order": 3},
    {"name": "rbf", "grid_size": 5},
    {"name": "gram", "degree": 3},
    {"name": "none"},
]


def config_of(basis: dict[str, Any]) -> TrialConfig:
    settings = {"data": {"dataset": "digits", "batch_size": 4}, "optimizer": {"name": "adamw", "lr": 1e-3}}
    return TrialConfig.model_validate(settings | {"model": {"basis": basis, "depth": 2, "width": 4}, "epochs": 1})


def test_networks_are_made_at_the_same_time_and_their_copies_are_like_them() -> None:
    networks = sharing._networks([config_of(basis) for basis in BASES], torch.device("cpu"))
    assert [network.config.model.basis.name for network in networks] == [basis["name"] for basis in BASES]
    for network in networks:
        assert all(p.grad is None for p in network.model.parameters())
        twin = copy.deepcopy(network.model)
        images = torch.randn(3, 1, 8, 8)
        torch.testing.assert_close(twin.eval()(images), network.model.eval()(images), rtol=0, atol=0)
        assert not {p.data_ptr() for p in twin.parameters()} & {p.data_ptr() for p in network.model.parameters()}
    assert sharing._networks([], torch.device("cpu")) == []


def test_a_network_for_which_memory_ends_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    build = sharing.build_on

    def built(config: TrialConfig, device: torch.device) -> torch.nn.Module:
        if config.model.basis.name == "rbf":
            raise torch.OutOfMemoryError("CUDA out of memory")
        return build(config, device)

    monkeypatch.setattr(sharing, "build_on", built)
    networks = sharing._networks([config_of(basis) for basis in BASES], torch.device("cpu"))
    assert [network.config.model.basis.name for network in networks] == ["bspline", "gram", "none"]


def test_a_search_that_is_stopped_draws_no_more() -> None:
    asked = iter([False, False, True])
    sketch = deciding.Sketch(parse_space(SMALL_SPACE, "small.yaml"), lambda: next(asked))
    with pytest.raises(deciding._Unknown, match="interrupted"):
        sketch.drawn()
    assert next(asked, None) is None


@pytest.mark.parametrize("in_time", [11, 12])
def test_a_sketch_that_is_short_of_time_has_what_it_drew_where_that_is_enough(
    in_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(deciding, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    monkeypatch.setattr(deciding, "_LEAST_SECONDS", in_time - 0.5)
    space = parse_space(SMALL_SPACE, "small.yaml", ["search.time_budget=1"])
    sketch = deciding.Sketch(space, lambda: False)
    if in_time < deciding._ENOUGH:
        with pytest.raises(deciding._Unknown, match="it took more than"):
            sketch.drawn()
    else:
        assert list(sketch.drawn()) == draw(space, in_time, device="cuda").drawn


def test_small_steps_are_not_timed_and_larger_ones_are() -> None:
    assert are_small([1e9, 1e9, 1e12]) and not are_small([1e9, 1e12, 1e12])
    count, reason = fill([100.0] * 20, 80_000.0, 12, 2.2e10)
    assert (count, reason) == (12, "steps of at most 22 GFLOP leave it idle (its cores would hold 12, its memory 72)")
    assert fill([30_000.0], 80_000.0, 12, 1e9)[0] == 1


def test_what_is_measured_goes_from_small_to_large_with_its_memory() -> None:
    drawn, trial_mib = deciding._trainable(draw(parse_space(SMALL_SPACE, "small.yaml"), 12).drawn)
    assert len(drawn) == len(trial_mib) > 0 and min(trial_mib) > 0
    flops = [sharing_flops(each.config) for each in drawn if each.config is not None]
    assert flops == sorted(flops)


def sharing_flops(config: TrialConfig) -> int:
    from trials.measure.sizes import count_flops

    return count_flops(config)
