"""Grids are refined without changing a function, and moved by refitting it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trials.kan import BASES, KANConv2d, KANLinear

REFINABLE = ["bspline"]
MOVABLE = ["bspline", "rbf"]


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("grid_size", [1, 2, 5])
def test_knot_insertion_is_exact_inside_the_grid(order: int, grid_size: int) -> None:
    coarse = BASES["bspline"](grid_size=grid_size, spline_order=order, grid_range=1.7)
    fine, matrix = coarse.refine()
    z = torch.linspace(-1.6999, 1.6999, 997, dtype=torch.float64)
    assert fine.n_features == 2 * grid_size + order
    torch.testing.assert_close(fine.expand(z) @ matrix, coarse.expand(z), atol=1e-12, rtol=0)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("factor", [3, 4, 10])
def test_each_interval_may_become_any_number(order: int, factor: int) -> None:
    coarse = BASES["bspline"](grid_size=3, spline_order=order, grid_range=1.7)
    fine, matrix = coarse.refine(factor)
    z = torch.linspace(-1.6999, 1.6999, 997, dtype=torch.float64)
    assert fine.n_features == 3 * factor + order
    torch.testing.assert_close(fine.expand(z) @ matrix, coarse.expand(z), atol=1e-12, rtol=0)


def test_four_for_each_interval_are_two_and_two() -> None:
    coarse = BASES["bspline"](grid_size=3)
    half, first = coarse.refine()
    torch.testing.assert_close(coarse.refine(4)[1], half.refine()[1] @ first, atol=1e-14, rtol=0)
    with pytest.raises(ValueError, match="factor >= 2"):
        coarse.refine(1)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_grid_may_have_its_middle_anywhere(order: int) -> None:
    z = torch.linspace(-2, 2, 499, dtype=torch.float64)
    here = BASES["bspline"](grid_size=4, spline_order=order, grid_range=0.5)
    there = BASES["bspline"](grid_size=4, spline_order=order, grid_range=0.5, grid_centre=0.5)
    torch.testing.assert_close(there.expand(z + 0.5), here.expand(z), atol=1e-12, rtol=0)
    fine, matrix = there.refine()
    inside = torch.linspace(0.001, 0.999, 97, dtype=torch.float64)
    torch.testing.assert_close(fine.expand(inside) @ matrix, there.expand(inside), atol=1e-12, rtol=0)
    assert there.on_range(2.0).grid_centre == 0.5


def test_a_grid_is_moved_about_its_middle() -> None:
    torch.manual_seed(0)
    layer = KANLinear(2, 3, basis=BASES["bspline"](grid_size=20, grid_range=0.5, grid_centre=3.0))
    z = 3 + torch.rand(400, 2) - 0.5
    before = layer(z)
    layer.update_grid(z, share=1.0)
    assert layer.basis.grid_centre == 3.0 and abs(layer.basis.grid_range - 0.5) < 0.01
    torch.testing.assert_close(layer(z), before, atol=1e-2, rtol=0)


def test_cubic_knot_insertion_is_1_4_6_4_1_eighths() -> None:
    _, matrix = BASES["bspline"](grid_size=9).refine()
    assert matrix[:, 5][matrix[:, 5] != 0].mul(8).tolist() == [1, 4, 6, 4, 1]


@pytest.mark.parametrize("scaler", [False, True], ids=["", "scaler"])
def test_a_refined_layer_computes_what_it_did_and_trains(scaler: bool) -> None:
    torch.manual_seed(0)
    layer = KANConv2d(3, 4, 3, padding=1, spline_scaler=scaler)
    if layer.spline_scaler is not None:
        nn.init.normal_(layer.spline_scaler)
    x = torch.rand(2, 3, 6, 6) * 3.98 - 1.99
    before = layer(x)
    layer.refine()
    layer.refine()
    assert layer.basis.n_features == 4 * 5 + 3
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=1e-4)
    layer(x).square().sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.any()


@pytest.mark.parametrize("name", sorted(set(BASES) - set(REFINABLE)))
def test_a_basis_without_an_exact_refinement_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="no grid that can be refined"):
        KANLinear(2, 2, basis=name).refine()


@pytest.mark.parametrize("name", MOVABLE)
def test_a_moved_grid_covers_the_data_and_keeps_the_function(name: str) -> None:
    torch.manual_seed(0)
    layer = KANLinear(3, 5, basis=BASES[name](grid_size=12), base=None, spline_scaler=True)
    assert layer.spline_scaler is not None
    nn.init.normal_(layer.spline_scaler)
    scaler = layer.spline_scaler.detach().clone()
    z = 0.9 * torch.randn(4000, 3)
    before = layer(z)
    layer.update_grid(z)
    basis: Any = layer.basis
    inside = (z.abs() <= basis.grid_range).float().mean().item()
    assert inside == pytest.approx(0.99, abs=1e-3)
    assert torch.equal(layer.spline_scaler, scaler), "it belongs to edges, not to functions"
    error = (layer(z) - before).square().mean() / before.var()
    assert error < 0.05
    with torch.no_grad():
        layer.weight.mul_(0)
    assert not torch.allclose(layer(z), before)


def test_moving_a_grid_to_where_it_is_changes_nothing() -> None:
    torch.manual_seed(0)
    layer = KANLinear(3, 5)
    weight = layer.weight.detach().clone()
    layer.update_grid(torch.full((10, 3), 2.0))
    torch.testing.assert_close(layer.weight.detach(), weight, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(BASES) - set(MOVABLE)))
def test_a_basis_without_a_fixed_grid_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="no grid to move"):
        KANLinear(2, 2, basis=name).update_grid(torch.randn(9, 2))
