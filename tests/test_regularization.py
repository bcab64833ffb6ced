"""Dropout and noise act where they are placed; every penalty has its own coefficient."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch

from trials.config import PlainModelConfig, RegularizationConfig
from trials.data.shape import DataShape
from trials.kan import KANConv2d, KANLinear, MixtureKANConv2d, Perturbation
from trials.kan.layer import KANLayer
from trials.models import build_model
from trials.training.edges import weights_by_edge
from trials.training.step import activation_penalties, entropy_penalty, train_step

PLACEMENTS = ["full", "poly", "degree"]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"noise": 0.5}], ids=["dropout", "noise"])
def test_perturbations_act_in_training_alone_and_keep_the_seed(placement: Any, options: dict[str, float]) -> None:
    layer = KANConv2d(4, 3, 3, perturbation=Perturbation(**options, placement=placement))
    x = torch.randn(6, 4, 5, 5)
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        outputs.append(layer(x))
    assert torch.equal(*outputs)
    assert not torch.equal(layer(x), outputs[0])
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    bare = KANConv2d(4, 3, 3)
    bare.load_state_dict(layer.state_dict())
    assert torch.equal(layer(x), bare(x))


def test_each_placement_reaches_its_own_branch() -> None:
    x = torch.full((500, 1), 0.7)
    distinct: dict[str, dict[str, int]] = {}
    for placement in PLACEMENTS:
        torch.manual_seed(0)
        layer = KANLinear(1, 1, basis="rbf", perturbation=Perturbation(0.5, placement=placement))  # type: ignore[arg-type]
        counts = {}
        for branch, planes in (("basis", slice(0, 8)), ("base", slice(8, 9))):
            with torch.no_grad():
                layer.weight.zero_()
                layer.weight[:, planes] = torch.arange(1.0, 10.0)[planes]
            counts[branch] = len(set(layer(x).flatten().tolist()))
        distinct[placement] = counts
    assert distinct["full"] == {"basis": 2, "base": 2}
    assert distinct["poly"] == {"basis": 2, "base": 1}
    assert distinct["degree"]["basis"] > 20 and distinct["degree"]["base"] == 1


@pytest.mark.parametrize("options", [{"dropout": 0.3}, {"noise": 0.3}, {"dropout": 0.3, "noise": 0.3}])
def test_the_factors_have_mean_1_and_the_variance_they_promise(options: dict[str, float]) -> None:
    torch.manual_seed(0)
    factors = Perturbation(**options).factors(1000, 200, torch.zeros(1))
    assert factors is not None
    keep, noise = 1 - options.get("dropout", 0.0), options.get("noise", 0.0)
    assert factors.mean().item() == pytest.approx(1, abs=0.01)
    assert factors.var().item() == pytest.approx((1 + noise**2) / keep - 1, rel=0.03)


@pytest.mark.parametrize("options", [{"dropout": 1.0}, {"noise": -0.1}, {"placement": "weights"}])
def test_perturbations_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        Perturbation(**options)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_model_places_its_perturbations(placement: str) -> None:
    for bottleneck, experts in itertools.product((None, 2), (None, 2)):
        fields = {"perturbation": placement, "dropout": 0.2, "noise": 0.1, "bottleneck": bottleneck, "experts": experts}
        model = build_model(
            PlainModelConfig.model_validate({"depth": 3, "width": 8, **fields}), DataShape(1, (8, 8), 5)
        )
        found = {id(m): m for m in model.modules() if isinstance(m, Perturbation)}
        assert len(found) == 2 and {m.placement for m in found.values()} == {placement}
        x = torch.randn(4, 1, 8, 8)
        assert not torch.equal(model(x), model(x))


def penalties_of(model: torch.nn.Module, x: torch.Tensor, **coefficients: float) -> float:
    options = {"load_balance": 0.0, **coefficients}
    with activation_penalties(model, RegularizationConfig.model_validate(options)) as penalties:
        model(x)
    return sum(penalty.item() for penalty in penalties)


def test_each_coefficient_moves_its_own_term_alone() -> None:
    torch.manual_seed(0)
    model = build_model(PlainModelConfig(depth=2, width=4, classifier="kan", experts=2), DataShape(1, (8, 8), 5)).eval()
    x = torch.randn(6, 1, 8, 8)
    outputs = []
    for module in model.modules():
        if isinstance(module, KANLayer | MixtureKANConv2d):
            module.register_forward_hook(lambda module, inputs, y: outputs.append(y.detach()))
    model(x)
    assert len(outputs) == 3
    ones = {
        "l1_activation": sum(y.abs().mean().item() for y in outputs),
        "l2_activation": sum(y.square().mean().item() for y in outputs),
        "load_balance": penalties_of(model, x, load_balance=1.0),
    }
    assert penalties_of(model, x) == 0
    for name, expected in ones.items():
        assert penalties_of(model, x, **{name: 1.0}) == pytest.approx(expected, rel=1e-5)
        assert penalties_of(model, x, **{name: 0.5}) == pytest.approx(0.5 * expected, rel=1e-5)
    together = penalties_of(model, x, l1_activation=0.1, l2_activation=0.01)
    assert together == pytest.approx(0.1 * ones["l1_activation"] + 0.01 * ones["l2_activation"], rel=1e-5)


def test_penalties_reach_the_gradient_and_leave_no_hooks() -> None:
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 5
    gradients = []
    for coefficient in (0.0, 1.0):
        torch.manual_seed(0)
        model = build_model(PlainModelConfig(depth=1, width=4), DataShape(1, (8, 8), 5)).eval()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
        train_step(model, optimizer, RegularizationConfig(l2_activation=coefficient), images, labels)
        layer = next(m for m in model.modules() if isinstance(m, KANLayer))
        assert layer.weight.grad is not None and not layer._forward_hooks
        gradients.append(layer.weight.grad.clone())
    layer.zero_grad()
    outputs: list[torch.Tensor] = []
    for each in (layer, model.get_submodule("head")[-1]):  # type: ignore[index]
        each.register_forward_hook(lambda module, inputs, y: outputs.append(y.square().mean()))
    model(images)
    torch.stack(outputs).sum().backward()
    torch.testing.assert_close(gradients[1] - gradients[0], layer.weight.grad, atol=1e-5, rtol=1e-4)


def test_the_entropy_of_edges_is_that_of_their_shares() -> None:
    layer = KANLinear(2, 3, basis="rbf")
    with torch.no_grad():
        layer.weight.fill_(-0.3)
    assert entropy_penalty(layer).item() == pytest.approx(math.log(6)), "alike"
    shares = torch.tensor([[0.5, 0.25], [0.125, 0.125], [0.0, 0.0]])
    with torch.no_grad():
        layer.weight.copy_(7 * shares.repeat(1, layer.planes))
    found = entropy_penalty(layer)
    assert found.item() == pytest.approx(1.75 * math.log(2), abs=1e-6), "of any scale; edges at zero count nothing"
    found.backward()
    assert layer.weight.grad is not None and layer.weight.grad.isfinite().all()
    assert entropy_penalty(torch.nn.ReLU()).item() == 0


def test_the_entropy_penalty_leaves_fewer_edges() -> None:
    """The shares of edges that nothing asks for go to zero, and those that the target needs stay."""
    torch.manual_seed(0)
    x = torch.randn(200, 4)
    shares = {}
    for coefficient in (0.0, 0.3):
        torch.manual_seed(1)
        layer = KANLinear(4, 1, basis="rbf")
        optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
        penalties = RegularizationConfig(l1_weight=1e-3, edge_entropy=coefficient)
        for _ in range(600):
            train_step(layer, optimizer, penalties, x, torch.sin(2 * x[:, :1]))
        norms = weights_by_edge(layer).detach().abs().sum((0, 2, 3))
        shares[coefficient] = norms[0] / norms.sum()
    assert shares[0.3] > 0.95 and shares[0.0] < 0.6


@pytest.mark.parametrize("share", [1.0, 0.25])
@pytest.mark.parametrize("shape", [(4000, 3), (400, 3, 10), (100, 3, 6, 7)])
def test_additive_noise_is_drawn_for_each_element_in_its_channels_measure(shape: tuple[int, ...], share: float) -> None:
    torch.manual_seed(0)
    scale = torch.tensor([0.1, 1.0, 7.0]).view(1, 3, *(1 for _ in shape[2:]))
    z = (torch.randn(shape) * scale + 5).requires_grad_()
    noise = Perturbation(additive=0.3, share=share)
    added = noise(z) - z
    dims = [i for i in range(z.dim()) if i != 1]
    hit = (added.abs() > 1e-6).float().mean(dims)
    torch.testing.assert_close(hit, torch.full((3,), share), atol=0.05, rtol=0)
    expected = 0.3 * share**0.5 * scale.flatten()
    torch.testing.assert_close(added.std(dims).detach(), expected, atol=0, rtol=0.08)
    assert (added.mean(dims).abs() < 0.05 * scale.flatten()).all()
    noise(z).sum().backward()
    assert z.grad is not None and torch.equal(z.grad, torch.ones_like(z)), "it is a constant for the gradient"
    assert torch.equal(noise.eval()(z), z)


@pytest.mark.parametrize("placement", ["full", "poly"])
@pytest.mark.parametrize("basis", ["rbf", "none"])
def test_additive_noise_is_beside_the_other_perturbations(basis: str, placement: str) -> None:
    fields = {"family": "plain", "depth": 3, "width": 4, "basis": {"name": basis}, "perturbation": placement}
    shape = DataShape(1, (8, 8), 10)
    noisy = build_model(PlainModelConfig.model_validate({**fields, "additive_noise": 0.2, "noise": 0.1}), shape)
    added = [module for module in noisy.modules() if isinstance(module, Perturbation) and module.additive]
    multiplied = [module for module in noisy.modules() if isinstance(module, Perturbation) and module.noise]
    assert len(added) == len(multiplied) == 2, "in each layer but the first"
    quiet = build_model(PlainModelConfig.model_validate(fields), shape)
    assert not any(isinstance(module, Perturbation) for module in quiet.modules())


@pytest.mark.parametrize("options", [{"additive": -1.0}, {"share": 0.0}, {"additive": 0.1, "placement": "poly"}])
def test_additive_noise_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="additive >= 0"):
        Perturbation(**options)
