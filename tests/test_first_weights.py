"""New layers keep the variance of outputs and of gradients, whatever the basis is and however many there are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.benchmarks.gains import CASES, gradient_ratio
from trials.kan import BASES, BottleneckKANConv2d, KANLinear
from trials.kan.basis.basis import Integrals
from trials.kan.layer import balanced_share, base_integrals

EVERY_CASE = pytest.mark.parametrize("case", CASES)
BASE_BRANCHES = {"silu": F.silu, "relu": F.relu, "gelu": F.gelu, "identity": nn.Identity()}


def integrals(case: str) -> Integrals:
    basis = CASES[case]
    return BASES[basis["name"]](**{key: each for key, each in basis.items() if key != "name"}).integrals()


def gain(basis: Integrals, base: Integrals, share: float) -> float:
    """Of the variance of a gradient, through a layer whose outputs have variance 1."""
    return float(share * basis.slope.sum() / basis.variance.sum() + (1 - share) * base.slope / base.variance)


def test_every_basis_is_among_the_cases() -> None:
    assert {basis["name"] for basis in CASES.values()} == set(BASES)


@EVERY_CASE
def test_eight_layers_keep_the_variance_of_outputs_and_gradients(case: str) -> None:
    """With half of the variance for each branch the ratio was 12 for gram 3, 48 for rbf 8 and 10,000 for fourier 4."""
    variances, ratio = gradient_ratio(CASES[case])
    assert min(variances) >= 0.8 and max(variances) <= 1.2
    assert 0.3 <= ratio <= 3


@pytest.mark.parametrize("case", ["gram 1", "gram 3", "rbf 8", "fourier 1"])
def test_without_a_base_branch_the_basis_decides_how_gradients_grow(case: str) -> None:
    """The variance of outputs is kept; the gradient's grows by the basis' gain G in each layer, and no share helps."""
    variances, ratio = gradient_ratio(CASES[case], base=None)
    assert min(variances) >= 0.8 and max(variances) <= 1.2
    found = integrals(case)
    expected = (found.slope.sum() / found.variance.sum()).item() ** 3.5
    assert 0.5 * expected <= ratio <= 1.5 * expected


@EVERY_CASE
@pytest.mark.parametrize("name", BASE_BRANCHES)
def test_the_share_is_a_half_or_just_small_enough(case: str, name: str) -> None:
    basis, base = integrals(case), base_integrals(BASE_BRANCHES[name], torch.device("cpu"))
    share = float(balanced_share(basis, base))
    most = max(1.3, 1.075 * float(base.slope / base.variance))
    assert 0 < share <= 0.5
    assert gain(basis, base, share) == pytest.approx(most) or (share == 0.5 and gain(basis, base, 0.5) <= most)


@pytest.mark.parametrize("case", ["gram 1", "gram 3", "bspline 5", "bernstein 3"])
def test_without_a_bias_the_variance_has_the_share_that_it_has_with_one(case: str) -> None:
    basis, base = integrals(case), base_integrals(F.silu, torch.device("cpu"))
    share = float(balanced_share(basis, base, bias=False))
    ours = share * basis.variance.sum() / (basis.variance + basis.mean.square()).sum()
    others = (1 - share) * base.variance / (base.variance + base.mean.square())
    assert float(ours / (ours + others)) == pytest.approx(float(balanced_share(basis, base)))


@pytest.mark.parametrize("share", [None, 0.2])
@pytest.mark.parametrize("case", ["gram 1", "rbf 8"])
def test_the_basis_branch_has_its_share_of_the_variance(case: str, share: float | None) -> None:
    torch.manual_seed(0)
    basis: dict[str, Any] = dict(CASES[case])
    layer = KANLinear(64, 512, basis=BASES[basis.pop("name")](**basis), basis_share=share)
    expected = share or float(balanced_share(integrals(case), base_integrals(F.silu, torch.device("cpu"))))
    variance = layer.basis.moments()[1].sum() * layer.basis_weight().detach().var() * 64
    assert float(variance) == pytest.approx(expected, rel=0.05)


def test_a_bottleneck_beside_its_base_branch_has_the_share_of_its_basis() -> None:
    torch.manual_seed(0)
    layer = BottleneckKANConv2d(64, 256, 3, basis="rbf", reduction=2, norm=lambda width: nn.BatchNorm2d(width))
    expected = float(balanced_share(integrals("rbf 8"), base_integrals(F.silu, torch.device("cpu"))))
    assert float(layer.up.weight.detach().var() * layer.up.weight[0].numel()) == pytest.approx(expected, rel=0.05)
