"""Weights of 8 bits, bases out of tables, products of integers: how far each is from what it stands for."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.test_prune import images, model_of
from trials.kan import BASES, KANConv1d, KANConv2d, KANConv3d, KANLinear
from trials.kan.layer import KANLayer
from trials.saved.compress.choose import choose_fast, table_error
from trials.saved.compress.fast import IntegerKAN, IntegerLayer, TabulatedKAN, can_be_integer, can_be_tabulated
from trials.saved.compress.integers import LEVELS, ZERO, IntegerProduct
from trials.saved.compress.quantize import dequantize, quantize
from trials.saved.compress.stored import Fast, accelerate, build_fast, describe
from trials.saved.weights import WeightsError
from trials.training.edges import edged_layers, planes_at

NETWORKS: dict[str, dict[str, Any]] = {
    "KAN": {"width": 6, "depth": 2, "head": "flatten", "classifier": "kan"},
    "control": {"width": 6, "depth": 2, "basis": {"name": "none"}},
    "experts": {"width": 6, "depth": 2, "experts": 2},
    "bottleneck": {"width": 8, "depth": 2, "bottleneck": 2, "bottleneck_minimum": 2, "spline_scaler": True},
}

# -- weights of 8 bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_rounded_weight_is_half_a_scale_away_at_most(kind: str) -> None:
    network = model_of(**NETWORKS[kind])
    state = quantize(network)
    back = dequantize(state, "model.safetensors")
    assert back.keys() == network.state_dict().keys()
    rounded = {f"{name}.weight" for name in edged_layers(network)}
    assert {name for name, each in state.items() if each.dtype == torch.int8} == rounded
    for name, own in network.state_dict().items():
        if name not in rounded:
            assert back[name].equal(own)
            continue
        layer = network.get_submodule(name.removesuffix(".weight"))
        planes = getattr(layer, "planes", 1)
        scale = state[f"{name}.scale"].view(len(own), planes, 1)
        assert scale.numel() == len(own) * planes
        error = (back[name] - own).abs().view(len(own), planes, -1)
        assert (error <= scale * 0.5001).all()
        exact = own.view(len(own), planes, -1).abs().amax(-1, keepdim=True)
        torch.testing.assert_close(scale, exact / 127)


def test_zeros_stay_zeros() -> None:
    network = model_of(**NETWORKS["KAN"])
    layer = next(iter(edged_layers(network).values()))
    with torch.no_grad():
        layer.weight[1] = 0
        layer.weight[2, :3] = 0
    back = dequantize(quantize(network), "x")["blocks.0.1.weight"]
    assert not back[1].any() and not back[2, :3].any() and back[2, 3:].any()


@pytest.mark.parametrize("scale", [None, torch.ones(5), torch.ones(6, 5), torch.ones(6, 1, 1), torch.ones(6).int()])
def test_scales_that_do_not_fit_are_refused(scale: Tensor | None) -> None:
    tensors = {"weight": torch.ones(6, 12, 3, 3, dtype=torch.int8)}
    tensors |= {} if scale is None else {"weight.scale": scale}
    with pytest.raises(WeightsError, match=r"model\.safetensors: weight has no scales that fit it"):
        dequantize(tensors, "model.safetensors")


# -- tables --------------------------------------------------------------------------------------------------------

LAYERS = {
    "conv": (lambda basis: KANConv2d(4, 6, 3, padding=1, stride=2, basis=basis), (3, 4, 9, 9)),
    "grouped": (
        lambda basis: KANConv2d(4, 6, 3, padding=2, dilation=2, groups=2, bias=False, basis=basis),
        (3, 4, 9, 9),
    ),
    "no base": (lambda basis: KANConv2d(4, 6, 3, base=None, spline_scaler=True, basis=basis), (3, 4, 9, 9)),
    "signal": (lambda basis: KANConv1d(4, 6, 3, padding=1, basis=basis), (3, 4, 9)),
    "volume": (lambda basis: KANConv3d(2, 3, 3, padding=1, basis=basis), (2, 2, 4, 5, 4)),
    "linear": (lambda basis: KANLinear(12, 7, basis=basis), (3, 2, 12)),
}


def layer_of(kind: str, basis: str = "bspline") -> tuple[KANLayer, Tensor]:
    torch.manual_seed(0)
    build, shape = LAYERS[kind]
    return build(BASES[basis]()).eval(), torch.randn(shape)


@torch.no_grad()
@pytest.mark.parametrize("basis", BASES)
def test_a_table_errs_by_less_than_its_bound(basis: str) -> None:
    """h²/8 max|φ''|, the bound of linear interpolation."""
    layer, _ = layer_of("linear", basis)
    fast = TabulatedKAN(layer, -12.0, 12.0)
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    exact = planes_at(layer, z).double()
    bend = exact.diff(n=2, dim=0).abs().amax(0) / float(z[1] - z[0]) ** 2
    error = (fast.planes(z.float()).double() - exact).abs().amax(0)
    assert (error <= fast.step**2 / 8 * bend * 1.02 + 1e-5).all(), "and the rounding of a place in the table"
    assert error.max() < 1e-3
    top = exact.abs().amax(0)
    assert table_error(fast) >= float((error / top).max()) * 0.9
    if basis == "sine":  # it goes up and down beyond any table, and its error says so
        assert table_error(fast) > 1
    else:
        assert table_error(fast) < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_out_of_a_table_is_the_layer(kind: str) -> None:
    layer, z = layer_of(kind)
    fast = TabulatedKAN(layer, -12.0, 12.0).eval()
    torch.testing.assert_close(fast(z), layer(z), atol=5e-5, rtol=1e-4)
    torch.testing.assert_close(fast(5 * z), layer(5 * z), atol=5e-4, rtol=1e-3, msg="beyond the grid too")
    assert fast(z[:0]).shape == layer(z[:0]).shape
    assert not [*fast.state_dict()][len(layer.state_dict()) :], "a table is no part of the state"


# -- products of integers ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_product_of_integers_is_exact() -> None:
    """Of whole numbers it is what a convolution of doubles gives, at the largest values that there are too."""
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 5, 3, padding=1, stride=2)
    layer.weight.copy_(torch.randint(-127, 128, layer.weight.shape))
    layer.weight[:, 0, 0, 0] = 127  # so that a scale is 1
    layer.weight[0] = 127
    values = torch.randint(0, LEVELS + 1, (3, 64, 7, 7), dtype=torch.uint8)
    values[0] = LEVELS
    product = IntegerProduct(layer.weight.detach(), layer, 1.0, ZERO)
    exact = copy.deepcopy(layer).double()(values.double() - ZERO)
    torch.testing.assert_close(product(values).double(), exact, atol=0.01, rtol=1e-6)
    torch.testing.assert_close(copy.deepcopy(product)(values), product(values))


@torch.no_grad()
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("kind", ["conv", "grouped", "no base", "linear"])
def test_integers_err_by_few_hundredths(kind: str, basis: str) -> None:
    layer, z = layer_of(kind, basis)
    assert can_be_integer(layer)
    fast, exact = IntegerKAN(layer, -4.0, 4.0).eval(), layer(z)
    error = (fast(z) - exact).square().mean().sqrt() / exact.std()
    assert 0 < error < 0.12


@torch.no_grad()
@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Conv2d(4, 8, 3, padding=1), (2, 4, 6, 6)), (nn.Linear(12, 7), (2, 3, 12))],
    ids=["conv", "linear"],
)
def test_a_plain_layer_of_integers_errs_by_few_hundredths(layer: nn.Module, shape: tuple[int, ...]) -> None:
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for inputs in (z, z.relu(), z.relu() + 1):
        fast, exact = IntegerLayer(layer, float(inputs.min()), float(inputs.max())).eval(), layer(inputs)
        assert (fast(inputs) - exact).square().mean().sqrt() / exact.std() < 0.05


# -- when each is used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "int8"])
def test_what_learns_or_is_traced_is_exact(kind: Any) -> None:
    layer, z = layer_of("conv")
    fast = build_fast(layer, Fast(kind, -3.0, 3.0)).eval()
    exact = layer(z)
    with torch.no_grad():
        assert not fast(z).equal(exact), "it is another way"
    assert fast(z.clone().requires_grad_()).equal(exact)
    assert fast.train()(z).equal(exact)
    fast.eval()
    program = torch.export.export(fast, (z,), strict=False)
    torch.testing.assert_close(program.module()(z), exact)
    doubled = copy.deepcopy(fast).double()
    torch.testing.assert_close(doubled(z.double()).float(), exact, atol=1e-5, rtol=1e-4)


def test_only_layers_that_can_be_are_computed_another_way() -> None:
    assert not can_be_tabulated(KANConv2d(2, 2, 3, padding=1, pad="input"))
    assert not can_be_integer(KANConv1d(2, 2, 3))
    assert not can_be_integer(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))
    for layer, fast in ((nn.Conv2d(2, 2, 3), Fast("table", -1.0, 1.0)), (nn.BatchNorm2d(2), Fast("int8", -1.0, 1.0))):
        with pytest.raises(ValueError, match="no way"):
            build_fast(layer, fast)
    with pytest.raises(ValueError, match="low < high must hold"):
        build_fast(KANLinear(2, 2), Fast("table", 1.0, -1.0))


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("ways", [["table"], ["int8"], ["table", "int8"]], ids="+".join)
def test_what_is_chosen_is_faster_and_near(kind: str, ways: Any) -> None:
    network = model_of(**NETWORKS[kind])
    shown = images(128)
    with torch.no_grad():
        before = network(shown)
    chosen, timings = choose_fast(network, shown, ways)
    assert {each.name for each in timings if each.chosen != "exact"} == chosen.keys()
    for each in timings:
        own = each.microseconds[each.chosen]
        assert own[-1] == min(times[-1] for times in each.microseconds.values()) or each.chosen == "exact"
        assert (each.chosen == "exact") == bool(each.reason)
        assert each.name in chosen or each.chosen == "exact"
        assert "experts" not in each.name, "they are mixed, and not computed one by one"
    accelerate(network, describe({}, chosen))
    with torch.no_grad():
        after = network(shown)
    assert (after - before).square().mean().sqrt() < 0.2 * before.std()


def test_a_table_that_is_too_rough_is_not_kept() -> None:
    network = nn.Sequential(KANConv2d(2, 2, 3, basis=BASES["bspline"](spline_order=0)))
    chosen, (timing,) = choose_fast(network, images(128), ["table"])
    assert not chosen
    assert timing.chosen == "exact"
    assert timing.reason.startswith("the table errs by")
