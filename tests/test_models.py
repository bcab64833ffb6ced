"""Every model that a configuration can describe builds and trains; the control is exactly the usual network."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trials.config import PlainModelConfig, VGGConfig
from trials.config.basis import PlainConfig
from trials.data.shape import DataShape
from trials.kan import BASES, Perturbation
from trials.kan.layer import KANLayer
from trials.models import build_model
from trials.models.normalization import build_normalization
from trials.models.plain import halving_layers

BASIS_NAMES = [*sorted(BASES), "none"]


def model_of(image_size: int = 8, channels: int = 1, classes: int = 5, **fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_model(PlainModelConfig.model_validate(fields), DataShape(channels, (image_size, image_size), classes))


def train_step(model: nn.Module, images: torch.Tensor) -> None:
    """One step, after which every parameter must have moved."""
    labels = torch.arange(len(images)) % 5
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    F.cross_entropy(model(images), labels).backward()
    optimizer.step()
    for name, p in model.named_parameters():
        assert p.isfinite().all() and not torch.equal(p, before[name]), name


@pytest.mark.parametrize("basis", BASIS_NAMES)
@pytest.mark.parametrize("normalization", ["batch", "instance", "layer", "group", "none"])
@pytest.mark.parametrize("bottleneck", [None, 2], ids=["full", "bottleneck"])
def test_every_combination_builds_and_trains(basis: str, normalization: str, bottleneck: int | None) -> None:
    images = torch.randn(10, 1, 8, 8)
    for head, classifier in itertools.product(("pool", "flatten"), ("linear", "kan")):
        model = model_of(
            basis={"name": basis}, normalization=normalization, bottleneck=bottleneck, head=head, classifier=classifier,
            width=8, dropout=0.1,
        )  # fmt: skip
        train_step(model, images)
        model.eval().double()
        together, alone = model(images.double())[:1], model(images[:1].double())
        torch.testing.assert_close(together, alone, msg="a sample depends on its batch")


@pytest.mark.parametrize("basis", sorted(BASES))
@pytest.mark.parametrize("bottleneck", [None, 2], ids=["full", "bottleneck"])
def test_every_basis_trains_with_every_option(basis: str, bottleneck: int | None) -> None:
    options = {"init": "power_law", "spline_scaler": True, "noise": 0.1, "perturbation": "degree", "classifier": "kan"}
    model = model_of(basis={"name": basis}, bottleneck=bottleneck, experts=2, width=8, depth=2, **options)
    scalers = [name for name, _ in model.named_parameters() if name.endswith("spline_scaler")]
    assert len(scalers) == 4  # the first layer, two experts and the classifier
    train_step(model, torch.randn(20, 1, 8, 8))


@pytest.mark.parametrize("downsampling", ["max_pool", "avg_pool", "stride"])
@pytest.mark.parametrize("head", ["pool", "flatten"])
@pytest.mark.parametrize("image_size", [7, 8, 28])
def test_every_downsampling_fits_every_image_size(downsampling: str, head: str, image_size: int) -> None:
    for depth, halvings, kernel_size in ((1, 2, 5), (3, 2, 3), (4, 6, 1)):
        model = model_of(
            image_size, downsampling=downsampling, head=head, depth=depth, halvings=halvings, kernel_size=kernel_size,
            width=3, basis={"name": "gram"},
        )  # fmt: skip
        assert model(torch.randn(2, 1, image_size, image_size)).shape == (2, 5)


@pytest.mark.parametrize("normalize_input", [True, False])
def test_the_control_is_exactly_the_usual_network(normalize_input: bool) -> None:
    model = model_of(
        28, depth=3, width=8, basis={"name": "none"}, base_activation="relu", normalization="batch", halvings=2,
        normalize_input=normalize_input,
    )  # fmt: skip
    reference = nn.Sequential(
        *([nn.BatchNorm2d(1)] if normalize_input else []),
        nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5),
    )  # fmt: skip
    reference.load_state_dict(dict(zip(reference.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(4, 1, 28, 28)
    torch.testing.assert_close(model(images), reference(images))
    torch.testing.assert_close(model.eval()(images), reference.eval()(images))


def test_depth_width_and_growth_are_what_they_say() -> None:
    convolutions = [
        m for m in model_of(28, depth=4, width=6, growth=3, halvings=1).modules() if isinstance(m, KANLayer)
    ]
    assert [layer.weight.shape[0] for layer in convolutions] == [6, 6, 18, 18]


def test_a_network_normalises_with_parameters_unless_told() -> None:
    for basis, affine in itertools.product(("rbf", "none"), (True, False)):
        model = model_of(depth=2, bottleneck=2, basis={"name": basis}, affine=affine)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == 5 and {m.affine for m in norms} == {affine}
    assert PlainModelConfig().affine


def test_dropout_acts_in_training_alone_and_never_on_the_image() -> None:
    model = model_of(depth=1, dropout=0.9)
    assert not any(isinstance(m, Perturbation) for m in model.modules())
    model, images = model_of(depth=3, dropout=0.9), torch.randn(4, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_the_first_layer_never_has_a_bottleneck() -> None:
    first, second = model_of(width=8, depth=2, halvings=0, bottleneck=2).blocks  # type: ignore[misc]
    assert [tuple(p.shape) for p in first.parameters() if p.dim() > 1] == [(8, 9, 3, 3)]
    assert [tuple(p.shape[2:]) for p in second.parameters() if p.dim() > 1] == [(1, 1), (3, 3), (1, 1)]


def test_the_base_branch_and_its_activation_reach_every_layer() -> None:
    for base_branch in (True, False):
        model = model_of(base_branch=base_branch, base_activation="gelu", classifier="kan", bottleneck=2)
        bases = [getattr(m, "base", None) for m in model.modules() if hasattr(m, "base")]
        assert any(isinstance(base, nn.GELU) for base in bases) == base_branch
        assert not any(isinstance(base, nn.SiLU) for base in bases)


@pytest.mark.parametrize(
    ("depth", "halvings", "image_size", "expected"),
    [
        (3, 2, 28, [0, 1]),
        (8, 2, 28, [2, 5]),
        (2, 2, 28, [0, 1]),
        (1, 2, 28, [0, 0]),
        (6, 6, 28, [0, 1, 2]),
        (3, 2, 7, [0]),
        (3, 0, 28, []),
        (3, 2, 3, []),
    ],
)
def test_halvings_are_spread_over_the_depth(depth: int, halvings: int, image_size: int, expected: list[int]) -> None:
    assert halving_layers(depth, halvings, image_size) == expected


@pytest.mark.parametrize("name", ["batch", "instance", "layer", "group"])
def test_normalisations_give_mean_0_and_variance_1(name: str) -> None:
    x = 3 * torch.randn(64, 6, 5, 5) + 2
    y = build_normalization(name, 6, affine=False)(x)
    if name == "group":  # gcd(8, 6) = 2 groups
        y = y.view(64, 2, 3, 5, 5).flatten(0, 1)
    dims = {"batch": (0, 2, 3), "instance": (2, 3), "layer": (1, 2, 3), "group": (1, 2, 3)}[name]
    torch.testing.assert_close(y.mean(dims), torch.zeros_like(y.mean(dims)), atol=1e-5, rtol=0)
    torch.testing.assert_close(y.var(dims, correction=0), torch.ones_like(y.mean(dims)), atol=1e-4, rtol=0)
    assert not list(build_normalization(name, 6, affine=False).parameters())
    assert len(list(build_normalization(name, 6, affine=True).parameters())) == 2


def test_an_unknown_normalisation_is_named() -> None:
    with pytest.raises(ValueError, match="'power'"):
        build_normalization("power", 3, affine=False)


def test_a_signal_of_one_dimension_passes_the_plain_family_alone() -> None:
    shape = DataShape(2, (32,), 3)
    for basis in ("gram", "none"):
        config = PlainModelConfig.model_validate(
            {"basis": {"name": basis}, "width": 4, "bottleneck": 2, "head": "flatten"}
        )
        assert build_model(config, shape)(torch.randn(5, 2, 32)).shape == (5, 3)
    with pytest.raises(ValueError, match=r"vgg takes images, not signals; use plain"):
        build_model(VGGConfig(family="vgg", width=1), shape)


@pytest.mark.parametrize(("depth", "convolutions"), [(11, 8), (13, 10), (16, 13), (19, 16)])
def test_a_vgg_has_its_convolutions_and_poolings(depth: Literal[11, 13, 16, 19], convolutions: int) -> None:
    config = VGGConfig(family="vgg", depth=depth, width=2, basis=PlainConfig(name="none"))
    model = build_model(config, DataShape(3, (32, 32), 10))
    assert sum(isinstance(each, nn.Conv2d) for each in model.modules()) == convolutions
    assert sum(isinstance(each, nn.MaxPool2d) for each in model.modules()) == 5
    assert model(torch.randn(4, 3, 32, 32)).shape == (4, 10)
