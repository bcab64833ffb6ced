"""Recomputing the features in the backward pass changes the memory, and not one number that matters."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trials.kan import BASES, KANConv1d, KANConv2d, KANLinear, Perturbation, recompute
from trials.kan.basis.basis import Basis

EVERY_BASIS = pytest.mark.parametrize("basis", sorted(BASES))


def saved_bytes(layer: nn.Module, x: torch.Tensor) -> int:
    """What the graph of one forward pass keeps, the parameters excepted."""
    parameters = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    return sum(size for pointer, size in kept.items() if pointer not in parameters)


@EVERY_BASIS
def test_only_the_input_is_kept(basis: str) -> None:
    x = torch.randn(8, 4, 10, 10, requires_grad=True)
    small = 4096
    assert saved_bytes(KANConv2d(4, 6, 3, basis=basis), x) <= x.nbytes + small
    assert saved_bytes(KANConv2d(4, 6, 3, basis=basis, recompute=False), x) > 3 * x.nbytes


def test_bsplines_keep_at_most_15_mib_where_the_features_are_27() -> None:
    x = torch.randn(64, 16, 28, 28, requires_grad=True)
    assert saved_bytes(KANConv2d(16, 32, 3, padding=1), x) <= 15 * 2**20


@EVERY_BASIS
@pytest.mark.parametrize("pieces", [1, 3], ids=["whole", "pieces"])
@pytest.mark.parametrize("kind", ["linear", "conv", "small"])
def test_outputs_and_gradients_are_those_without(
    basis: str, pieces: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "small":
        monkeypatch.setattr(recompute, "KEPT_BYTES", 0)
    results = []
    for again in (True, False):
        torch.manual_seed(0)
        layer: Any = (
            KANLinear(4, 5, basis=basis, recompute=again)
            if kind != "conv"
            else KANConv1d(4, 5, 3, stride=2, padding=1, groups=1, basis=basis, recompute=again)
        )
        x = torch.randn(7, 4, *((9,) if kind == "conv" else ())).requires_grad_()
        sample = x[:1].numel() * layer.planes * 4
        monkeypatch.setattr(recompute, "piece_bytes", lambda device, n=7 // pieces * sample: n)
        y = layer(x)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_gradients_that_nobody_wants_are_not_computed() -> None:
    layer = KANConv2d(2, 3, 3)
    x = torch.randn(1, 2, 5, 5)
    layer(x).sum().backward()
    assert layer.weight.grad is not None and x.grad is None
    layer.weight.requires_grad_(False)
    x.requires_grad_()
    layer.zero_grad()
    layer(x).sum().backward()
    assert x.grad is not None and layer.weight.grad is None
    with torch.no_grad():
        assert not layer(x).requires_grad


def test_a_base_branch_with_parameters_learns() -> None:
    layer = KANLinear(2, 3, base=nn.PReLU())
    layer(torch.randn(50, 2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize("placement", ["full", "poly", "degree"])
def test_perturbed_layers_have_the_same_gradients(placement: Any) -> None:
    results = []
    for again in (True, False):
        torch.manual_seed(0)
        layer = KANConv2d(3, 4, 3, recompute=again, perturbation=Perturbation(0.3, 0.5, placement))
        x = torch.randn(5, 3, 6, 6, requires_grad=True)
        layer(x).square().sum().backward()
        assert layer.weight.grad is not None
        results.append((x.grad, layer.weight.grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_features_of_a_small_batch_of_vectors_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    columns, forward = Basis.columns, Basis.forward
    monkeypatch.setattr(Basis, "columns", lambda self, z: passes.append("features") or columns(self, z))
    monkeypatch.setattr(Basis, "forward", lambda self, z: passes.append("features and slopes") or forward(self, z))
    layer, x = KANLinear(3, 2, basis="gram"), torch.randn(5, 3, requires_grad=True)
    passes.clear()  # of the first weights
    layer(x).sum().backward()
    assert passes == ["features and slopes"]
    layer(x.detach()).sum().backward()
    assert passes == ["features and slopes", "features"]
    passes.clear()
    with torch.no_grad():
        layer(x)
    monkeypatch.setattr(recompute, "KEPT_BYTES", 0)
    layer(x).sum().backward()
    assert passes == ["features", "features", "features and slopes"]


@EVERY_BASIS
def test_saved_inputs_outlive_a_change_of_the_parameters(basis: str) -> None:
    layer = KANLinear(3, 2, basis=basis)
    x = torch.randn(5, 3)
    loss = layer(x).square().sum()
    loss.backward(retain_graph=True)
    first = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
    layer.zero_grad()
    loss.backward()
    for ours, theirs in zip(first, (p.grad for p in layer.parameters()), strict=True):
        assert torch.equal(ours, theirs)
    loss = layer(x).square().sum()
    with torch.no_grad():
        layer.weight.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_an_unusual_base_function_is_differentiated() -> None:
    for base, again in itertools.product((F.gelu, torch.sin, lambda z: z**2), (True, False)):
        layer = KANLinear(2, 2, base=base, recompute=again).double()
        assert torch.autograd.gradcheck(layer, (torch.randn(3, 2, dtype=torch.float64, requires_grad=True),))
