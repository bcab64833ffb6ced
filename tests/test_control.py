"""A control differs from a KAN in the basis alone: stage by stage, and P times the weights where a basis is."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from tests.test_families import TINY
from trials.config import DENSE_FAMILIES, ModelConfig, RegularizationConfig
from trials.data.shape import DataShape
from trials.kan.layer import KANLayer
from trials.models import MODELS, build_model
from trials.models.layers import ACTIVATIONS
from trials.training.step import activation_penalties, l1_penalty

MODEL: TypeAdapter[Any] = TypeAdapter(ModelConfig)
PUBLISHED = {"alexnet", "kanc"}
"""Families whose plain and KAN networks were published in different forms, and are built so."""
FIELDS: dict[str, dict[str, Any]] = {**TINY, "unet": {"width": 4, "depth": 2}, "u2net": {"width": 4}}
NATIVE = (nn.Conv1d, nn.Conv2d, nn.Linear)
ACTIVE = tuple(ACTIVATIONS.values())

Stage = tuple[nn.Module, torch.Size]


def pair(family: str, basis: dict[str, Any], signal: bool = False, **fields: Any) -> tuple[nn.Module, nn.Module]:
    """The KAN and the control of one configuration, and nothing but the basis is another."""
    shape = DataShape(2, (16,) if signal else (16, 16), 5, family in DENSE_FAMILIES)
    torch.manual_seed(0)
    both = ({"family": family, **FIELDS[family], **fields, "basis": each} for each in (basis, {"name": "none"}))
    kan, control = (build_model(MODEL.validate_python(each), shape) for each in both)
    return kan, control


def stages(network: nn.Module, samples: Tensor) -> list[Stage]:
    """The layers, norms, activations and poolings in the order that they compute, with the shapes that they give;
    flattening, which computes nothing, is left out."""
    found: list[Stage] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        found.append((module, y.shape))

    leaves = [each for each in network.modules() if not [*each.children()] and not isinstance(each, nn.Flatten)]
    whole = [*leaves, *(each for each in network.modules() if isinstance(each, KANLayer))]
    inner = {id(part) for each in whole if isinstance(each, KANLayer) for part in each.modules() if part is not each}
    handles = [each.register_forward_hook(note) for each in whole if id(each) not in inner]
    network(samples)
    for handle in handles:
        handle.remove()
    return found


def geometry(layer: nn.Module) -> dict[str, Any]:
    names = ("stride", "padding", "dilation", "groups", "kernel_size", "in_channels", "out_channels")
    names += ("in_features", "out_features")
    sizes = {name: getattr(layer, name) for name in names if hasattr(layer, name)}
    if isinstance(layer, nn.Linear) or not hasattr(layer, "kernel_size"):
        sizes.pop("groups", None)
    return {**sizes, "bias": layer.bias is not None}


def assert_alike(kan: nn.Module, control: nn.Module, samples: Tensor) -> tuple[int, int]:
    """How many KAN layers are in the place of a native layer, and how many of those of an activation before it too."""
    others = iter(stages(control, samples))
    count = activations = extra = 0
    for mine, shape in stages(kan, samples):
        other, its_shape = next(others)
        if isinstance(mine, KANLayer):
            if isinstance(other, ACTIVE):
                activations += 1
                other, its_shape = next(others)
            assert isinstance(other, NATIVE)
            assert geometry(mine) == geometry(other) and shape == its_shape
            assert mine.weight.numel() == mine.planes * other.weight.numel()
            extra += (mine.planes - 1) * other.weight.numel()
            count += 1
        else:
            assert type(mine) is type(other) and shape == its_shape and repr(mine) == repr(other)
            assert [p.shape for p in mine.parameters()] == [p.shape for p in other.parameters()]
    assert next(others, None) is None
    assert size_of(kan) - size_of(control) == extra
    return count, activations


def size_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_every_family_is_compared_or_a_published_form() -> None:
    assert FIELDS.keys() == MODELS.keys() - {"mlp"} > PUBLISHED


@pytest.mark.parametrize("family", sorted(FIELDS.keys() - PUBLISHED))
@pytest.mark.parametrize("classifier", ["linear", "kan"])
@pytest.mark.parametrize("bottleneck", [None, 2], ids=["full", "bottleneck"])
def test_a_kan_has_p_times_the_weights_of_its_convolutions_and_nothing_else_is_different(
    family: str, classifier: str, bottleneck: int | None
) -> None:
    fields = {"classifier": classifier, "bottleneck": bottleneck, "bottleneck_minimum": 1, "base_branch": True}
    with torch.device("meta"):
        kan, control = pair(family, {"name": "gram", "degree": 3}, **fields)
        count, activations = assert_alike(kan, control, torch.empty(2, 2, 16, 16))
    behind_bottleneck = 3 if bottleneck else 0
    assert count >= 3
    assert activations == (behind_bottleneck if family == "simple" else count - 1), "all but the first layer's"
    assert all(layer.planes == 4 for layer in kan.modules() if isinstance(layer, KANLayer))


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("head", ["pool", "flatten"])
@pytest.mark.parametrize("classifier", ["linear", "kan"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"bottleneck": 2, "bottleneck_minimum": 2},
        {"normalization": "instance", "affine": False, "bias": False},
        {"normalization": "none", "normalize_input": False},
        {"base_branch": False, "base_activation": "gelu", "normalization": "layer"},
        {"downsampling": "stride", "kernel_size": 5, "normalize_input": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("signal", [False, True], ids=["image", "signal"])
def test_a_plain_network_is_alike_with_every_option(
    depth: int, head: str, classifier: str, fields: dict[str, Any], signal: bool
) -> None:
    model = {"depth": depth, "width": 4, "head": head, "classifier": classifier, **fields}
    samples = torch.randn(3, 2, 16) if signal else torch.randn(3, 2, 16, 16)
    kan, control = pair("plain", {"name": "bspline", "grid_size": 3}, signal, **model)
    count = depth + (classifier == "kan")
    assert assert_alike(kan, control, samples) == (count, count - 1)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS.keys() - {"prelu"}))
@pytest.mark.parametrize("normalization", ["batch", "instance", "layer", "group", "none"])
def test_what_goes_into_the_average_depends_on_the_sample(activation: str, normalization: str) -> None:
    """A mean over what was normalised over pixels would be a constant."""
    fields = {"base_activation": activation, "normalization": normalization, "width": 8, "depth": 2, "halvings": 1}
    for network in pair("plain", {"name": "gram"}, **fields):
        head, blocks = (network.get_submodule(name) for name in ("head", "blocks"))
        assert isinstance(head, nn.Sequential)
        averaged = head[:-1](blocks(torch.randn(6, 2, 16, 16)))
        assert averaged.shape == (6, 16) and averaged.std(0).mean() > 1e-3


def test_a_head_of_one_pixel_takes_every_normalisation() -> None:
    for normalization in ("batch", "instance", "layer", "group", "none"):
        for network in pair("vgg", {"name": "gram"}, normalization=normalization, width=4):
            head = network.train().get_submodule("head")
            logits = head(torch.randn(5, 32, 1, 1))
            assert logits.shape == (5, 5) and logits.std(0).min() > 1e-3


# -- penalties -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [None, 2])
def test_penalties_act_on_a_control_as_on_a_kan(bottleneck: int | None) -> None:
    """Each on every convolution and linear layer: Σ|w|, biases and norms left out; the mean of |y|, of y²."""
    fields = {"depth": 3, "width": 4, "bottleneck": bottleneck, "classifier": "kan"}
    penalties = RegularizationConfig(l1_activation=1.0, l2_activation=0.5)
    for network in pair("plain", {"name": "gram"}, **fields):
        layers = [each for each in network.modules() if isinstance(each, (KANLayer, *NATIVE))]
        assert len(layers) == 4 + 2 * 2 * (bottleneck is not None)
        expected = sum(each.weight.abs().sum() for each in layers)
        torch.testing.assert_close(l1_penalty(network), expected)
        seen: list[Tensor] = []
        handles = [each.register_forward_hook(partial(_note, seen)) for each in layers]
        with activation_penalties(network.eval(), penalties) as found:
            network(torch.randn(3, 2, 16, 16))
        for handle in handles:
            handle.remove()
        means = [value for y in seen for value in (y.abs().mean(), 0.5 * y.square().mean())]
        torch.testing.assert_close(torch.stack(found), torch.stack(means))


def _note(seen: list[Tensor], layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
    seen.append(y)
