"""Mixtures of KAN convolutions: the sum they promise, and a load-balance loss that tells balance from collapse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trials.kan import BASES, MixtureKANConv1d, MixtureKANConv2d, MixtureKANConv3d
from trials.kan.layer import KANLayer

MIXTURES: dict[int, Any] = {1: MixtureKANConv1d, 2: MixtureKANConv2d, 3: MixtureKANConv3d}


def mixture_and_input(dims: int = 2, **options: Any) -> tuple[Any, torch.Tensor]:
    torch.manual_seed(0)
    mixture = MIXTURES[dims](4, 6, 3, padding=1, **{"experts": 3, "top_k": 2, **options})
    return mixture, torch.randn(5, 4, *(6, 5, 4)[:dims])


@pytest.mark.parametrize("basis", sorted(BASES))
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_output_is_the_gated_sum_of_the_experts(basis: str, dims: int, groups: int) -> None:
    mixture, x = mixture_and_input(dims, basis=basis, groups=groups, spline_scaler=True)
    logits = mixture.gate(x.flatten(2).mean(2))
    expected = torch.zeros_like(mixture(x))
    for n, row in enumerate(logits):
        best = row.topk(2)
        for share, expert in zip(best.values.softmax(0), best.indices, strict=True):
            expected[n] += share * mixture.experts[expert](x[n : n + 1])[0]
    torch.testing.assert_close(mixture(x), expected, atol=1e-5, rtol=1e-4)


def test_only_chosen_experts_and_the_gate_get_gradients() -> None:
    mixture, x = mixture_and_input(top_k=1)
    with torch.no_grad():
        mixture.gate.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    mixture(x).square().sum().backward()
    moved = [bool(expert.weight.grad is not None and expert.weight.grad.any()) for expert in mixture.experts]
    assert moved == [False, True, False]
    mixture, x = mixture_and_input()
    mixture(x).square().sum().backward()
    assert mixture.gate.weight.grad.any()


def test_the_load_balance_loss_is_1_when_balanced_and_the_number_of_experts_when_collapsed() -> None:
    mixture, x = mixture_and_input(top_k=1)
    x = torch.randn(3000, 4, 2, 2)
    with torch.no_grad():
        mixture.gate.bias.zero_()
        mixture.gate.weight.zero_()
        mixture.gate.weight[:, :3] = 100 * torch.eye(3)
    assert mixture.load_balance(x).item() == pytest.approx(1, abs=0.05)
    with torch.no_grad():
        mixture.gate.weight.zero_()
        mixture.gate.bias.copy_(torch.tensor([100.0, 0.0, 0.0]))
    assert mixture.load_balance(x).item() == pytest.approx(3)


def test_the_load_balance_loss_pulls_towards_balance() -> None:
    mixture, x = mixture_and_input(top_k=1)
    x = torch.randn(200, 4, 3, 3)
    with torch.no_grad():
        mixture.gate.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    optimizer = torch.optim.SGD(mixture.gate.parameters(), lr=1.0)
    before = mixture.load_balance(x).item()
    for _ in range(20):
        loss = mixture.load_balance(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert mixture.load_balance(x).item() < before - 0.5


def test_a_sample_does_not_depend_on_its_batch() -> None:
    mixture, x = mixture_and_input()
    mixture.eval()
    torch.testing.assert_close(mixture(x)[:1], mixture(x[:1]))


def test_a_new_mixture_keeps_the_variance_up_to_its_gates() -> None:
    torch.manual_seed(0)
    mixture = MixtureKANConv2d(16, 64, 3, experts=4, top_k=1)
    assert 0.8 <= mixture(torch.randn(64, 16, 8, 8)).var().item() <= 1.2


def test_experts_share_their_basis_and_nothing_else() -> None:
    mixture, _ = mixture_and_input(basis="wavelet")
    layers = [m for m in mixture.modules() if isinstance(m, KANLayer)]
    assert len(layers) == 3 and len({id(layer.basis) for layer in layers}) == 1
    assert len({id(layer.weight) for layer in layers}) == 3
    assert sum(isinstance(p, nn.Parameter) for p in mixture.parameters()) == 2 + 2 + 3 * 2


def test_bfloat16_autocast_is_finite() -> None:
    mixture, x = mixture_and_input()
    with torch.autocast("cpu", torch.bfloat16):
        y = mixture(x)
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    torch.testing.assert_close(y.float(), mixture(x), atol=0.05, rtol=0.05)


@pytest.mark.parametrize("top_k", [0, 4])
def test_top_k_out_of_range_is_refused(top_k: int) -> None:
    with pytest.raises(ValueError, match=f"top_k={top_k} and experts=3"):
        mixture_and_input(top_k=top_k)
