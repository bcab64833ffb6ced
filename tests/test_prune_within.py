"""Edges, nodes and inputs that go while the validation error stays small."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.test_mlp import model_of
from trials.config import TrialConfig
from trials.data.shape import DataShape
from trials.data.splits import load_training
from trials.models import build_network
from trials.models.mlp import MLP
from trials.saved.compress.prune import count_edges
from trials.saved.compress.within import (
    least_harmful,
    mlp_layers,
    prune_within,
    remove_one,
    sweep,
    unread_inputs,
    validation_error,
)
from trials.saved.weights import load_weights
from trials.training.run import run_trial

ROWS = DataShape(4, (), 1, regression=True)


def rows(count: int = 200) -> Tensor:
    return torch.rand(count, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def network_of(**fields: Any) -> MLP:
    network = model_of(ROWS, basis={"name": "bspline", "grid_size": 4}, **fields).double().eval()
    assert isinstance(network, MLP)
    return network


def cut(network: MLP, layer: int, outputs: Any, inputs: Any) -> None:
    """Set edges to zero."""
    weight = mlp_layers(network)[layer].layer.edge_weights()  # type: ignore[operator]
    with torch.no_grad():
        weight[outputs, inputs] = 0


def test_nodes_that_nothing_reads_go_with_both_factors_of_a_product() -> None:
    network = network_of(widths=[3], multiply=1)  # outputs 0, 1: sums; 2 and 3: factors of the third node
    cut(network, 1, slice(None), [0, 2])
    before = network(rows())
    sweep(network, rows())
    assert torch.equal(network(rows()), before)
    first, last = mlp_layers(network)
    assert first.alive.any(1).tolist() == [False, True, False, False]
    assert count_edges(network)[0] == 4 + 1 and last.rows(0) == [0] and first.rows(2) == [2, 3]


def test_nodes_that_never_change_become_a_bias() -> None:
    network = network_of(widths=[3, 2], multiply=1)
    cut(network, 0, [0, 2, 3], slice(None))  # a sum and a whole product are numbers; one factor of it would not be
    before = network(rows())
    sweep(network, rows())
    torch.testing.assert_close(network(rows()), before)
    assert mlp_layers(network)[1].alive.any(0).tolist() == [False, True, False]
    one_factor = network_of(widths=[2], multiply=1)
    cut(one_factor, 0, [1], slice(None))
    edges = count_edges(one_factor)[0]
    sweep(one_factor, rows())
    assert count_edges(one_factor)[0] == edges


def test_an_input_that_a_function_lacks_is_unread_after_pruning(tmp_path: Path) -> None:
    document = {
        "data": {
            "dataset": "formula",
            "formula": "sin(2*x) + y**2 + 0*z",
            "variables": [f"{name} in [-1, 1]" for name in "xyz"],
            "samples": 200,
            "batch_size": "all",
        },
        "model": {"family": "mlp", "widths": [2], "basis": {"name": "bspline", "grid_size": 4}},
        "optimizer": {"name": "adamw_lbfgs"},
        "precision": "float64",
        "epochs": 40,
    }
    config = TrialConfig.model_validate(document)
    weights = tmp_path / "model.safetensors"
    list(run_trial(config, device="cpu", weights=weights))
    network = build_network(config)
    load_weights(weights, network)
    training, held_out = load_training(config.data, torch.device("cpu"))
    assert held_out is not None
    error = validation_error(held_out)
    start = error(network)
    gone, found = prune_within(network, training.normalised(training.images), 1.5 * start + 0.02, error)
    assert unread_inputs(network) == [2]
    assert gone >= 2 and found == error(network) <= 1.5 * start + 0.02


def test_edges_that_are_all_needed_stay() -> None:
    network = network_of(widths=[2])
    wanted = network(rows())

    def error(each: nn.Module) -> float:
        return float((each(rows()) - wanted).detach().square().mean().sqrt())

    assert prune_within(network, rows(), 1e-9, error) == (0, 0.0)
    gone, found = prune_within(network, rows(), math.inf, error)
    assert gone == count_edges(network)[1] and found > 0 and count_edges(network)[0] == 0


def test_networks_without_edges_of_their_own_stay_whole() -> None:
    network = model_of(ROWS, basis={"name": "power_mlp"})
    assert isinstance(network, MLP) and mlp_layers(network) == [] and unread_inputs(network) == []
    before = network(rows().float())
    sweep(network, rows().float())
    assert torch.equal(network(rows().float()), before)


def test_the_least_harmful_edge_is_the_one_that_nobody_misses() -> None:
    network = network_of(widths=[2])
    weight = mlp_layers(network)[0].layer.edge_weights()  # type: ignore[operator]
    with torch.no_grad():
        weight[1, 2] *= 1e-6
    wanted = network(rows()).detach()

    def error(each: nn.Module) -> float:
        return float((each(rows()) - wanted).detach().square().mean().sqrt())

    name = mlp_layers(network)[0].name
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert least_harmful(network, rows(), error, ()) == ((name, 1 * 4 + 2), pytest.approx(0.0, abs=1e-6))
    assert all(value.equal(before[key]) for key, value in network.state_dict().items()), "it only tries"
    other = least_harmful(network, rows(), error, {(name, 6)})
    assert other is not None and other[0] != (name, 6) and other[1] > 1e-4
    remove_one(network, rows(), (name, 6))
    assert count_edges(network)[0] == count_edges(network)[1] - 1
