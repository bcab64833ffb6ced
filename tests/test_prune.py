"""Edges and channels are taken out of a network: what is left computes what the rest of it did, and zeros stay zero."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trials.config import RegularizationConfig, TrialConfig
from trials.data.shape import DataShape
from trials.kan.layer import KANLayer
from trials.models import build_model
from trials.saved.compress.channels import cut_channels, narrow_network, prune_channels
from trials.saved.compress.prune import (
    count_edges,
    network_edges,
    prune_edges,
    remove_edges,
    zeros_held,
)
from trials.training.edges import edged_layers, planes_at, weights_by_edge
from trials.training.optim import build_optimizer
from trials.training.step import train_step

IMAGE = DataShape(2, (8, 8), 3)


def model_of(shape: DataShape = IMAGE, **model: Any) -> nn.Module:
    """An untrained network, but with statistics of its normalisations and biases as if it were trained."""
    torch.manual_seed(0)
    document = {"data": {"dataset": "digits"}, "model": {"family": "plain", **model}}
    network = build_model(TrialConfig.model_validate(document).model, shape)
    for name, each in (*network.named_buffers(), *network.named_parameters()):
        if "running" in name or name.endswith("bias"):
            each.detach().uniform_(0.5, 1.5)
    return network.eval()


def images(count: int = 16, shape: DataShape = IMAGE) -> Tensor:
    return torch.randn(count, shape.channels, *shape.size, generator=torch.Generator().manual_seed(1))


# -- edges ---------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_an_edge_is_as_important_as_its_function_varies() -> None:
    network = model_of(width=4, depth=2)
    (first, *_) = network_edges(network, images())
    layer = first.layer
    assert isinstance(layer, KANLayer)
    norm = network.blocks[0][0]
    z = norm(images()).transpose(0, 1).flatten(1)  # (C, values), fewer than are sampled
    weights = weights_by_edge(layer)
    function = planes_at(layer, z[1]) @ weights[3, 1, :, 4]
    assert first.spread[3, 1, 4] == pytest.approx(float(function.std(correction=0)), rel=1e-4)
    assert first.mean[3, 1, 4] == pytest.approx(float(function.mean()), rel=1e-4)


@pytest.mark.parametrize("basis", [{"name": "bspline"}, {"name": "wavelet"}, {"name": "none"}], ids=lambda b: b["name"])
def test_a_pruned_edge_is_zero_at_any_input(basis: Any) -> None:
    network = model_of(width=6, depth=3, basis=basis, head="flatten", classifier="kan")
    edges = network_edges(network, images())
    total = sum(each.spread.numel() for each in edges)
    assert prune_edges(edges, 0.4) == int(0.4 * total)
    assert count_edges(network) == (total - int(0.4 * total), total)
    z = torch.linspace(-30, 30, 501)
    for each in edges:
        functions = torch.einsum("zp,oipk->oikz", planes_at(each.layer, z), weights_by_edge(each.layer))
        zero = ~functions.any(-1)
        assert not zero.all(), each.name
        least = each.spread[~zero].min()
        assert (each.spread[zero] <= least * 1.0001).all(), "the least of a layer go first"


def test_no_layer_loses_its_last_edge() -> None:
    network = model_of(width=4, depth=3)
    prune_edges(network_edges(network, images()), 0.999)
    for layer in edged_layers(network).values():
        assert weights_by_edge(layer).any()


@pytest.mark.parametrize("share", [-0.1, 1.0, 7.0])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    network = model_of(width=4, depth=2)
    for prune in (lambda edges: prune_edges(edges, share), lambda edges: prune_channels(network, edges, share)):
        with pytest.raises(ValueError, match=r"0 <= share < 1 must hold"):
            prune([])


def test_the_bias_takes_over_the_mean_of_an_edge() -> None:
    network = model_of(width=6, depth=1, basis={"name": "none"}, kernel_size=1, normalization="none", halvings=0)
    layer, shown = network.blocks[0][-1], images(64)
    (first, *_) = network_edges(network, shown)
    before = layer(shown).mean((0, 2, 3))
    chosen = torch.zeros_like(first.spread, dtype=torch.bool)
    chosen[2, 0] = True
    remove_edges(first, chosen)
    assert not layer.weight[2, 0].any()
    torch.testing.assert_close(layer(shown).mean((0, 2, 3)), before, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
        {"name": "lion", "lr": 0.01, "weight_decay": 0.1},
        {"name": "lbfgs", "lr": 0.5},
    ],
    ids=lambda each: each["name"],
)
def test_zeros_survive_training_and_nothing_else_does(optimizer: dict[str, Any]) -> None:
    network = model_of(width=6, depth=2, spline_scaler=True, bottleneck=2, bottleneck_minimum=2)
    prune_edges(network_edges(network, images()), 0.5)
    zeros = {name: weights_by_edge(each).eq(0).all(2) for name, each in edged_layers(network).items()}
    before = {name: each.weight.detach().clone() for name, each in edged_layers(network).items()}
    config = TrialConfig.model_validate({"data": {"dataset": "digits"}, "optimizer": optimizer})
    penalties = RegularizationConfig(l1_weight=1e-3, l2_activation=1e-3)
    network.train()
    with zeros_held(network):
        own = build_optimizer(config.optimizer, network)
        for _ in range(3):
            train_step(network, own, penalties, images(), torch.arange(16) % 3)
    for name, each in edged_layers(network).items():
        assert weights_by_edge(each).eq(0).all(2).equal(zeros[name]), name
        assert not each.weight.equal(before[name]), "the rest has learnt"
    assert not any(each.weight._backward_hooks for each in edged_layers(network).values())


# -- channels ------------------------------------------------------------------------------------------------------

PLAIN = {"width": 8, "depth": 3}
CHAINS = {
    "plain": {**PLAIN},
    "no norm": {**PLAIN, "normalization": "none"},
    "affine": {**PLAIN, "affine": True},
    "KAN head": {**PLAIN, "head": "flatten", "classifier": "kan", "basis": {"name": "wavelet"}},
    "scaler": {**PLAIN, "spline_scaler": True, "bias": False, "basis": {"name": "chebyshev"}},
    "bottleneck": {**PLAIN, "bottleneck": 2, "bottleneck_minimum": 4},
    "full base branch": {**PLAIN, "bottleneck": 2, "bottleneck_minimum": 4, "bottleneck_base": "full"},
    "experts": {**PLAIN, "experts": 3, "experts_per_image": 3},
    "control": {**PLAIN, "basis": {"name": "none"}, "head": "flatten"},
    "narrow control": {**PLAIN, "basis": {"name": "none"}, "bottleneck": 2, "bottleneck_minimum": 4},
    "stride": {**PLAIN, "downsampling": "stride", "dropout": 0.1, "perturbation": "degree"},
    "vgg": {"family": "vgg", "depth": 11, "width": 4},
    "simple": {"family": "simple", "depth": 4, "width": 4, "normalization": "instance"},
    "kanc": {"family": "kanc", "width": 6, "hidden": 9},
    "alexnet": {"family": "alexnet", "width": 4, "hidden": 8, "classifier": "kan", "classifier_basis": {"name": "rbf"}},
}


READERS = {"down", "base_conv"}
"""Parts of a bottleneck that read its inputs."""


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """The layers of a chain in their order, a bottleneck or a mixture being one."""
    from trials.saved.compress.channels import _layers

    return _layers(network)


def outputs_of(layer: nn.Module) -> int:
    part = getattr(layer, "up", layer)
    return len((part.experts[0] if hasattr(part, "experts") else part).weight)


@torch.no_grad()
def silence(reader: nn.Module, gone: Tensor) -> None:
    """Zero what a layer does with the channels that are `gone`, (C,), bool."""
    if hasattr(reader, "down"):
        parts = [each for name, each in reader.named_children() if name in READERS]
    else:
        parts = [*getattr(reader, "experts", [reader])]
    for part in parts:
        by_channel = part.weight.view(len(part.weight), getattr(part, "planes", 1), len(gone), -1)
        by_channel[:, :, gone] = 0
        if hasattr(reader, "gate"):
            reader.gate.weight[:, gone] = 0


@pytest.mark.parametrize("chain", CHAINS)
def test_a_network_without_channels_is_the_one_that_does_nothing_with_them(chain: str) -> None:
    shape = DataShape(2, (12, 12), 3) if chain in ("alexnet", "kanc") else IMAGE
    whole, cut = model_of(shape, **CHAINS[chain]), model_of(shape, **CHAINS[chain])
    layers, keep = layers_of(whole), {}
    for name, reader in list(zip(layers, [*layers.values()][1:], strict=False)):
        width = outputs_of(layers[name])
        keep[name] = torch.randperm(width)[: max(width // 2, 1)].sort().values
        silence(reader, torch.isin(torch.arange(width), keep[name], invert=True))
    cut_channels(cut, keep)
    assert sum(p.numel() for p in cut.parameters()) < sum(p.numel() for p in whole.parameters())
    shown = images(4, shape)
    torch.testing.assert_close(cut(shown), whole(shown), atol=1e-5, rtol=1e-4)
    cut.train()(shown).sum().backward()
    assert all(p.grad is not None for p in cut.parameters() if p.requires_grad)

    again = model_of(shape, **CHAINS[chain])
    narrow_network(again, {name: len(kept) for name, kept in keep.items()})
    again.load_state_dict(cut.state_dict())
    torch.testing.assert_close(again.eval()(shown), cut.eval()(shown))


@pytest.mark.parametrize("normalization", ["layer", "group"])
def test_normalisations_over_channels_follow(normalization: str) -> None:
    cut = model_of(width=16, depth=3, normalization=normalization, head="flatten", affine=True)
    widths = prune_channels(cut, network_edges(cut, images()), 0.3)
    assert set(widths.values()) == {12, 23, 45}
    assert cut(images()).isfinite().all()
    again = model_of(width=16, depth=3, normalization=normalization, head="flatten", affine=True)
    narrow_network(again, widths)
    again.load_state_dict(cut.state_dict())
    assert again(images()).equal(cut(images()))


def test_the_channels_that_matter_least_go() -> None:
    """A channel that nothing reads goes first, and nobody notices."""
    network = model_of(width=8, depth=3, halvings=0)
    before = network(images())
    layers = layers_of(network)
    silent = {name: index for index, name in enumerate([*layers][:-1], 2)}
    for (name, index), reader in zip(silent.items(), [*layers.values()][1:], strict=True):
        silence(reader, torch.arange(outputs_of(layers[name])) == index)
    expected = network(images())
    assert not torch.allclose(before, expected)
    widths = prune_channels(network, network_edges(network, images()), 1 / 8)
    assert set(widths.values()) == {7}
    torch.testing.assert_close(network(images()), expected, atol=1e-5, rtol=1e-4)


def test_a_channel_that_never_changes_is_no_loss() -> None:
    """Its reader's bias takes over what it adds."""
    fields = {"basis": {"name": "none"}, "base_activation": "gelu", "normalization": "none", "kernel_size": 1}
    network = model_of(width=8, depth=2, halvings=0, **fields)
    with torch.no_grad():
        for layer in [*layers_of(network).values()][:-1]:
            layer.weight[:3] = 0  # these channels are their biases
    before = network(images())
    widths = prune_channels(network, network_edges(network, images()), 3 / 8)
    assert set(widths.values()) == {5}
    torch.testing.assert_close(network(images()), before, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("model", "shape", "reason"),
    [
        ({"family": "resnet", "depth": 18, "width": 4}, IMAGE, "families alexnet, kanc, plain, simple, vgg; this is"),
        ({"family": "simple", "depth": 4, "width": 4, "groups": 2}, IMAGE, "grouped convolutions, groups=2"),
    ],
)
def test_other_networks_keep_their_channels(model: dict[str, Any], shape: DataShape, reason: str) -> None:
    network = model_of(shape, **model)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with pytest.raises(ValueError, match=reason):
        prune_channels(network, network_edges(network, images()), 0.5)
    assert all(each.equal(before[name]) for name, each in network.state_dict().items()), "nothing has changed"


@pytest.mark.parametrize("widths", [{"blocks.0.1": 9}, {"blocks.0.1": 0}, {"blocks.9.1": 2}, {"head.2": 2}])
def test_widths_that_do_not_fit_are_refused(widths: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"no layer .* channels fits the network"):
        narrow_network(model_of(width=8, depth=2), widths)
