"""With a scaler for each edge, no bias and a padded input, a layer is the published KAN convolution."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan import BASES, KANConv2d


def b_splines(x: Tensor, knots: Tensor, order: int) -> list[Tensor]:
    """Every B-spline of the knots at x, by the recursion of Cox and de Boor."""
    splines = [((x >= low) & (x < high)).to(x.dtype) for low, high in itertools.pairwise(knots)]
    for s in range(1, order + 1):
        splines = [
            (x - knots[i]) / (knots[i + s] - knots[i]) * left
            + (knots[i + s + 1] - x) / (knots[i + s + 1] - knots[i + 1]) * right
            for i, (left, right) in enumerate(itertools.pairwise(splines))
        ]
    return splines


def test_each_channel_of_each_patch_goes_through_an_efficient_kan_layer_of_its_own() -> None:
    """Convolutional-KANs: one KANLinear(9, 1) for each pair of channels, with base weight, spline weight and scaler."""
    torch.manual_seed(0)
    basis = BASES["bspline"](grid_size=10, spline_order=3, grid_range=1.0)
    layer = KANConv2d(2, 3, 3, padding=1, pad="input", bias=False, spline_scaler=True, basis=basis).double()
    assert layer.spline_scaler is not None
    nn.init.normal_(layer.spline_scaler)
    knots = torch.arange(-3, 14, dtype=torch.float64) * 0.2 - 1
    spline_weight, base_weight = layer.basis_weight().detach(), layer.edge_weights().detach()[:, :, 13]
    x = torch.randn(2, 2, 5, 6, dtype=torch.float64)
    patches = F.unfold(x, 3, padding=1).view(2, 2, 9, 30)
    expected = torch.zeros(2, 3, 30, dtype=torch.float64)
    for o, c, entry in itertools.product(range(3), range(2), range(9)):
        edge = (o, c, entry // 3, entry % 3)
        values = patches[:, c, entry]
        expected[:, o] += base_weight[edge] * values * torch.sigmoid(values)
        for k, spline in enumerate(b_splines(values, knots, order=3)):
            expected[:, o] += layer.spline_scaler[edge].item() * spline_weight[(*edge[:2], k, *edge[2:])] * spline
    torch.testing.assert_close(layer(x).detach(), expected.view(2, 3, 5, 6), atol=1e-10, rtol=0)
