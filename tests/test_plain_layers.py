"""Networks of learnable activations and of PowerMLP's layers: sizes, first weights, training, and what reads them."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from kansearch.report.front_plot import COLOURS, MARKERS
from kansearch.report.palette import _KNOWN
from kansearch.report.svg import SHAPES
from trials.config import BasisConfig, TrialConfig
from trials.config.basis import CONTROLS, expands, is_control
from trials.data.shape import DataShape
from trials.kan import BASES, ChannelActivation, GroupRational, PowerLayer, SplineActivation
from trials.measure.sizes import measure
from trials.models import build_model
from trials.models.layers import build_block
from trials.saved.compress.channels import cut_channels, narrow_network, prune_channels
from trials.saved.compress.choose import choose_fast
from trials.saved.compress.prune import network_edges, prune_edges
from trials.saved.compress.quantize import dequantize, quantize
from trials.saved.inspection import inspect_network
from trials.training.run import run_trial

NAMES = sorted(
    name
    for model in get_args(get_args(BasisConfig)[0])
    for name in get_args(model.model_fields["name"].annotation)
    if not expands(name) and name != "none"
)
EVERY = pytest.mark.parametrize("name", NAMES)
SHAPE = DataShape(2, (8, 8), 3)


def config_of(basis: Any, **model: Any) -> TrialConfig:
    basis = {"name": basis} if isinstance(basis, str) else basis
    return TrialConfig.model_validate({"data": {"dataset": "digits"}, "model": {**model, "basis": basis}})


def network_of(basis: Any, **model: Any) -> Any:
    torch.manual_seed(0)
    return build_model(config_of(basis, **model).model, SHAPE)


def images(count: int = 16) -> Tensor:
    return torch.randn(count, 2, 8, 8, generator=torch.Generator().manual_seed(1))


def test_every_name_is_a_basis_or_a_plain_layer_and_the_controls_are_those_without_a_kan() -> None:
    assert NAMES == ["power_mlp", "rational", "spline_activation"]
    assert set(CONTROLS) == {"none", "power_mlp", "spline_activation"}
    assert not is_control("rational") and not any(map(is_control, BASES))
    assert all(map(expands, BASES))


@pytest.mark.parametrize("groups", [8, 3])
def test_a_rational_network_is_the_plain_one_and_its_coefficients(groups: int) -> None:
    fields = {"depth": 4, "width": 5, "halvings": 1}
    plain = measure(config_of("none", **fields), ["parameters", "flops"])
    rational = measure(config_of({"name": "rational", "groups": groups}, **fields), ["parameters", "flops"])
    network = network_of({"name": "rational", "groups": groups}, **fields)
    widths = [each.channels for each in network.modules() if isinstance(each, GroupRational)]
    assert widths == [2, 5, 5, 10, 10], "one before each layer, the first as well"
    ours = [1, *widths[1:]]  # digits have one channel
    assert rational["parameters"] - plain["parameters"] == sum(6 + 4 * min(groups, width) for width in ours)
    assert rational["flops"] == plain["flops"]
    starts = [each.start for each in network.modules() if isinstance(each, GroupRational)]
    assert starts == ["identity"] + 4 * ["swish"]


def test_a_network_of_spline_activations_has_a_spline_more_for_each_channel() -> None:
    fields = {"depth": 3, "width": 6, "halvings": 0}
    basis = {"name": "spline_activation", "grid_size": 4, "spline_order": 2}
    plain, splines = (measure(config_of(each, **fields), ["parameters", "flops"]) for each in ("none", basis))
    assert splines["parameters"] - plain["parameters"] == 3 * 6 * (4 + 2 + 1)
    assert splines["flops"] - plain["flops"] == 2 * 3 * 6 * (4 + 2 + 1) * 64
    alone = measure(config_of(basis, **fields, base_branch=False), ["parameters"])
    assert alone["parameters"] - plain["parameters"] == 3 * 6 * (4 + 2)


@pytest.mark.parametrize("classifier", ["linear", "kan"])
@pytest.mark.parametrize("bottleneck", [None, 2])
def test_power_mlp_has_the_sizes_of_a_kan_with_one_function(classifier: str, bottleneck: int | None) -> None:
    fields = {"depth": 3, "width": 8, "classifier": classifier, "bottleneck": bottleneck}
    ours, kan = (measure(config_of(each, **fields)) for each in ("power_mlp", {"name": "gram", "degree": 1}))
    assert (ours["parameters"], ours["flops"]) == (kan["parameters"], kan["flops"])


@EVERY
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("dims", [1, 2])
def test_a_new_layer_keeps_the_variance(name: str, first: bool, dims: int) -> None:
    torch.manual_seed(0)
    block = build_block(config_of(name, normalization="none").model, 16, 256, first=first, kernel_size=3, dims=dims)
    y = block(torch.randn(64, 16, *(12, 12)[:dims]))[(..., *(slice(1, -1),) * dims)]
    assert 0.8 <= y.square().mean().item() <= 1.2


def gradient_ratio(name: str) -> float:
    """Standard deviation of the gradient at the first of eight layers over that at the last."""
    torch.manual_seed(0)
    fields = {"depth": 8, "width": 24, "growth": 1, "halvings": 0}
    network: Any = build_model(config_of(name, **fields).model, DataShape(2, (12, 12), 3))
    seen: list[Tensor] = []
    for block in network.blocks:
        block.register_forward_hook(lambda _, inputs, y: y.register_hook(seen.append) and None)
    network.train()(torch.randn(64, 2, 12, 12)).square().sum().backward()
    last, *_, first = [float(each.std()) for each in seen]
    return first / last


@pytest.mark.parametrize("name", [*NAMES, "sine"])
def test_gradients_grow_through_eight_layers_as_in_the_plain_network(name: str) -> None:
    """The plain one is torch's, with outputs of a third of the variance behind its first layer: a factor of 0.6."""
    assert 1 / 3 <= gradient_ratio(name) / gradient_ratio("none") <= 3


@EVERY
@pytest.mark.parametrize(
    "fields", [{}, {"bottleneck": 2}, {"classifier": "kan"}, {"dropout": 0.05, "perturbation": "poly"}], ids=str
)
def test_a_network_learns_digits(name: str, fields: dict[str, Any]) -> None:
    document = {
        "data": {"dataset": "digits", "limit": 600, "batch_size": 32},
        "model": {"depth": 3, "width": 8, **fields, "basis": {"name": name}},
        "optimizer": {"name": "adamw", "lr": 1e-2},
        "epochs": 5,
    }
    results = list(run_trial(TrialConfig.model_validate(document), device="cpu"))
    assert results[-1].accuracy > 0.6
    assert results[-1].train_loss < results[0].train_loss


@pytest.mark.parametrize("name", ["rational", "spline_activation"])
def test_the_functions_of_learnable_activations_are_inspected(name: str) -> None:
    network, initial = network_of(name, depth=3, width=4), network_of(name, depth=3, width=4)
    for parameter in network.parameters():
        parameter.detach().mul_(1.1)
    layers = {layer.name: layer for layer in inspect_network(network, initial, images())}
    found = {n: m for n, m in network.named_modules() if isinstance(m, ChannelActivation)}
    assert layers.keys() == found.keys() and len(layers) == (4 if name == "rational" else 3)
    for module_name, module in found.items():
        layer, channels = layers[module_name], range(module.channels)
        assert layer.basis == name and layer.kernel == () and layer.importance.shape == (module.channels, 1, 1)
        drawn = torch.from_numpy(layer.functions(([*channels], [0] * len(channels), [0] * len(channels))))
        column = torch.from_numpy(layer.z).float()[:, None].expand(-1, module.channels)
        torch.testing.assert_close(drawn.float(), module(column).detach().T, atol=1e-4, rtol=1e-4)
        assert (layer.grid is None) == (name == "rational")


@EVERY
@pytest.mark.parametrize("head", ["pool", "flatten"])
@torch.no_grad()
def test_channels_that_nothing_reads_can_be_taken_out(name: str, head: str) -> None:
    fields = {"depth": 3, "width": 6, "head": head, "growth": 1}
    network, x = network_of(name, **fields).eval(), images()
    chain = [each for each in network.modules() if isinstance(each, (nn.Conv2d, nn.Linear))]
    kept = torch.tensor([0, 2, 3, 5])
    for layer in chain:
        if layer.weight.shape[1] == 2:  # the first reads the image
            continue
        pixels = layer.weight.shape[1] // 6
        for channel in (1, 4):
            layer.weight[:, channel * pixels : (channel + 1) * pixels] = 0
    expected = network(x)
    names = [f"blocks.{index}" for index in range(3)]
    layers = {n: kept for n, m in network.named_modules() if _is_block_layer(n, m, names)}
    assert len(layers) == 3
    cut_channels(network, layers)
    torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-4)
    other = network_of(name, **fields).eval()
    narrow_network(other, dict.fromkeys(layers, 4))
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(x), expected, atol=1e-5, rtol=1e-4)


def _is_block_layer(name: str, module: nn.Module, blocks: list[str]) -> bool:
    inside = name.rpartition(".")[0] in blocks
    return inside and isinstance(module, (nn.Conv2d, PowerLayer))


@EVERY
def test_edges_and_channels_are_pruned_by_importance(name: str) -> None:
    network, x = network_of(name, depth=3, width=8, growth=1).eval(), images()
    before = network(x)
    edges = network_edges(network, x)
    total = sum(each.spread.numel() for each in edges)
    assert prune_edges(edges, 0.2) == int(0.2 * total)
    widths = prune_channels(network, network_edges(network, x), 0.25)
    assert set(widths.values()) == {6}
    assert network(x).shape == before.shape and network(x).isfinite().all()


@EVERY
@torch.no_grad()
def test_weights_of_eight_bits_and_faster_layers_are_near(name: str) -> None:
    network, x = network_of(name, depth=3, width=8, classifier="kan").eval(), images()
    exact, other = network(x), network_of(name, depth=3, width=8, classifier="kan").eval()
    other.load_state_dict(dequantize(quantize(network), "model.safetensors"))
    assert (other(x) - exact).norm() < 0.05 * exact.norm()
    fast, _ = choose_fast(network, x, ["table"])
    assert not fast, "there is no basis for a table"


@EVERY
def test_a_network_exports_and_moves(name: str) -> None:
    network, x = network_of(name, depth=3, width=8).eval(), images(3)
    program = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.testing.assert_close(program.module()(images(5)), network(images(5)))
    assert network.double()(x.double()).dtype == torch.float64


def test_every_basis_has_a_mark_and_a_colour_of_its_own() -> None:
    names = {*BASES, *NAMES, "none"}
    assert _KNOWN.keys() == names
    shapes = [series.shape for series in _KNOWN.values()]
    assert len(set(shapes)) == len(shapes) and set(shapes) <= SHAPES.keys()
    assert set(shapes) <= MARKERS.keys() and len(set(map(str, MARKERS.values()))) == len(MARKERS)
    assert {series.colour for series in _KNOWN.values()} == COLOURS.keys()


def test_a_spline_activation_is_a_spline_activation_in_every_place() -> None:
    network = network_of("spline_activation", depth=3, width=4, bottleneck=2, bottleneck_minimum=2)
    assert sum(isinstance(each, SplineActivation) for each in network.modules()) == 2 * 3 + 1
    inner = {id(part) for each in network.modules() if isinstance(each, SplineActivation) for part in each.modules()}
    assert not any(isinstance(each, nn.SiLU) and id(each) not in inner for each in network.modules())
