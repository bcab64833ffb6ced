"""Every model family: for every basis, as a control, with every option, and exactly the network of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from tests.test_models import train_step
from trials.config import DENSE_FAMILIES, ModelConfig, TrialConfig
from trials.data.shape import DataShape
from trials.kan import BASES, KANConv2d, MixtureKANConv2d, Perturbation
from trials.models import MODELS, build_model, build_network
from trials.training.run import run_trial

MODEL: TypeAdapter[Any] = TypeAdapter(ModelConfig)
TINY: dict[str, dict[str, Any]] = {
    "plain": {"width": 2},
    "vgg": {"width": 1},
    "kanc": {"width": 2},
    "simple": {"width": 2},
    "alexnet": {"width": 1, "hidden": 4},
    "resnet": {"width": 2},
    "densenet": {"width": 2, "growth": 1},
}
"""Fields with which each family is small."""


def config_of(family: str, **fields: Any) -> Any:
    return MODEL.validate_python({"family": family, **TINY[family], **fields})


def model_of(family: str, size: int = 8, channels: int = 1, **fields: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_model(config_of(family, **fields), DataShape(channels, (size, size), 5))


def test_every_family_is_tried() -> None:
    assert TINY.keys() == MODELS.keys() - {*DENSE_FAMILIES, "mlp"}, "mlp has no convolutions, and tests of its own"


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("basis", [*sorted(BASES), "none"])
def test_every_family_is_built_of_every_basis(family: str, basis: str) -> None:
    with torch.device("meta"):
        model = model_of(family, basis={"name": basis})
        if family != "densenet":  # 120 layers: its forward pass is tried below
            assert model(torch.empty(2, 1, 8, 8)).shape == (2, 5)
    kan = [each for each in model.modules() if isinstance(each, KANConv2d)]
    assert bool(kan) == (basis != "none")
    assert bool([each for each in model.modules() if isinstance(each, nn.Conv2d)]) == (basis == "none")
    assert {type(layer.basis) for layer in kan} <= {BASES.get(basis)}


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("basis", ["bspline", "none"])
def test_every_family_trains_all_its_parameters(family: str, basis: str) -> None:
    fields: dict[str, Any] = {"basis": {"name": basis}, "normalization": "layer", "affine": True}
    fields |= {"base_activation": "silu", "classifier": "kan"}
    if family == "alexnet":
        fields |= {"classifier_basis": {"name": "fourier", "grid_size": 2}, "classifier_dropout": 0.0}
    train_step(model_of(family, **fields), torch.randn(10, 1, 8, 8))


@pytest.mark.parametrize("family", TINY)
def test_experts_bottlenecks_and_dropout_reach_every_family(family: str) -> None:
    fields = {"basis": {"name": "gram"}, "bottleneck": 2, "bottleneck_minimum": 1, "experts": 3, "dropout": 0.1}
    with torch.device("meta"):
        model = model_of(family, **fields)
        assert model(torch.empty(2, 1, 8, 8)).shape == (2, 5)
    mixtures = [each for each in model.modules() if isinstance(each, MixtureKANConv2d)]
    assert mixtures and all(len(each.experts) == 3 for each in mixtures)
    assert any(isinstance(each, Perturbation) for each in model.modules())


@pytest.mark.parametrize("family", TINY)
def test_a_trained_network_gives_the_same_outputs_from_its_exported_weights(family: str, tmp_path: Path) -> None:
    model = {"family": family, **TINY[family], "basis": {"name": "gram", "degree": 2}}
    data = {"dataset": "digits", "limit": 40, "validation": 0.25, "batch_size": 15}
    config = TrialConfig.model_validate({"data": data, "model": model, "epochs": 1})
    checkpoint = tmp_path / "checkpoint.pt"
    [result] = run_trial(config, checkpoint=checkpoint, weights=tmp_path / "model.safetensors", device="cpu")
    trained, loaded = build_network(config).eval(), build_network(config).eval()
    trained.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    images = torch.randn(4, 1, 8, 8)
    assert torch.equal(trained(images), loaded(images))
    assert result.parameters == sum(p.numel() for p in loaded.parameters())


@pytest.mark.parametrize(("depth", "bottleneck"), [(18, False), (34, False), (50, True), (101, True), (152, True)])
def test_a_resnet_has_its_layers(depth: int, bottleneck: bool) -> None:
    with torch.device("meta"):
        model = model_of("resnet", 32, 3, depth=depth, basis={"name": "none"})
        assert model(torch.empty(2, 3, 32, 32)).shape == (2, 5)
    kernels = [each.kernel_size[0] for each in model.modules() if isinstance(each, nn.Conv2d)]
    projections = 4 if bottleneck else 3
    assert len(kernels) + 1 == depth + projections  # the classifier is a layer too
    assert (kernels.count(1) > projections) == bottleneck


@pytest.mark.parametrize("depth", [121, 169, 201])
def test_a_densenet_has_its_layers(depth: int) -> None:
    with torch.device("meta"):
        model = model_of("densenet", 32, 3, depth=depth, basis={"name": "none"})
    assert sum(isinstance(each, nn.Conv2d) for each in model.modules()) + 1 == depth


def test_a_densenet_control_is_the_published_one_without_the_norm_before_its_first_pooling() -> None:
    with torch.device("meta"):
        config = config_of(
            "densenet", width=64, growth=32, stem="imagenet", basis={"name": "none"}, normalize_input=False
        )
        model = build_model(config, DataShape(3, (224, 224), 1000))
    assert sum(p.numel() for p in model.parameters()) == 7_978_856 - 2 * 64


def test_the_imagenet_stem_quarters_the_image() -> None:
    for family in ("resnet", "densenet"):
        for stem, side in (("cifar", 32), ("imagenet", 8)):
            with torch.device("meta"):
                model = model_of(family, 32, 3, stem=stem, basis={"name": "none"})
                assert model.blocks[0](torch.empty(1, 3, 32, 32)).shape[2:] == (side, side)  # type: ignore[index]


def test_a_residual_block_adds_what_it_computes() -> None:
    model = model_of("resnet", basis={"name": "none"}).eval()
    block, x = model.blocks[1], torch.randn(2, 2, 8, 8)  # type: ignore[index]
    torch.testing.assert_close(block(x), x + block.branch(x))


def test_a_kanc_is_exactly_the_published_cnn() -> None:
    model = model_of("kanc", 28, basis={"name": "none"}, base_activation="relu", width=5, hidden=7)
    reference = nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(5, 10, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(250, 7), nn.ReLU(), nn.Linear(7, 5),
    )  # fmt: skip
    reference.load_state_dict(dict(zip(reference.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(3, 1, 28, 28)
    torch.testing.assert_close(model(images), reference(images))


def test_an_image_too_small_for_a_kanc_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs images of 8x8 pixels at least, got \(7, 7\)"):
        model_of("kanc", 7)


def test_a_simple_network_is_exactly_the_published_one() -> None:
    fields = {"basis": {"name": "none"}, "base_activation": "relu", "normalize": "output", "groups": 2}
    model = model_of("simple", 16, 3, width=4, **fields)
    layers: list[nn.Module] = []
    for channels, out, stride in ((3, 4, 1), (4, 8, 2), (8, 16, 2), (16, 32, 1)):
        groups = 1 if channels == 3 else 2
        layers += [nn.Conv2d(channels, out, 3, stride, 1, groups=groups), nn.BatchNorm2d(out), nn.ReLU()]
    reference = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5))
    reference.load_state_dict(dict(zip(reference.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(model(images), reference(images))


def test_a_simple_network_normalises_where_it_is_told() -> None:
    for site, first, last in (("input", nn.BatchNorm2d, nn.PReLU), ("output", KANConv2d, nn.PReLU)):
        blocks: Any = model_of("simple", normalize=site, output_activation="prelu").blocks
        assert all(isinstance(block[0], first) and isinstance(block[-1], last) for block in blocks)


def test_an_alexnet_is_exactly_the_published_one() -> None:
    model = model_of("alexnet", 32, 3, width=2, hidden=6)
    factors = [(3, 2), (2, 6), (6, 12), (12, 8), (8, 8)]
    layers: list[nn.Module] = []
    for index, (channels, out) in enumerate(factors):
        layers += [
            nn.Conv2d(channels, out, 3, padding=1),
            nn.ReLU(),
            *([nn.MaxPool2d(2)] if index in (0, 1, 4) else []),
        ]
    layers += [nn.Flatten(), nn.Linear(128, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5)]
    reference = nn.Sequential(*layers)
    reference.load_state_dict(dict(zip(reference.state_dict(), model.state_dict().values(), strict=True)))
    images = torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(model.eval()(images), reference(images))
    assert sum(isinstance(each, nn.Dropout) for each in model.modules()) == 2


def test_a_sixth_stage_of_a_vgg_has_no_pooling() -> None:
    model = model_of("vgg", 64, 3, sixth_stage=2, basis={"name": "none"})
    convolutions = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
    assert [each.out_channels for each in convolutions] == [1, 2, 4, 4, 8, 8, 8, 8, 16, 16]
    assert sum(isinstance(each, nn.MaxPool2d) for each in model.modules()) == 5


def test_without_bias_no_kan_layer_has_one() -> None:
    for fields in ({}, {"experts": 2}, {"bottleneck": 2}, {"bottleneck": 2, "bottleneck_base": "full"}):
        for bias in (True, False):
            model = model_of("simple", bias=bias, affine=False, classifier="kan", **fields)
            kan = [name for name, _ in model.named_parameters() if name.endswith("bias") and "gate" not in name]
            assert bool(kan) == bias


def test_a_bottleneck_is_as_wide_as_its_minimum() -> None:
    for minimum, width in ((1, 4), (8, 8), (64, 16)):
        for base in ("narrow", "full"):
            model = model_of("simple", width=8, bottleneck=4, bottleneck_minimum=minimum, bottleneck_base=base)
            [down, *_] = [p for p in model.parameters() if p.shape[2:] == (1, 1)]
            assert down.shape[:2] == (min(width, 8), 8)


def test_a_classifier_without_a_basis_is_refused() -> None:
    with pytest.raises(ValueError, match=r"classifier=kan needs a basis: name one in `classifier_basis`"):
        config_of("alexnet", classifier="kan")


def test_a_kan_head_learns_the_loss_down() -> None:
    model = model_of("kanc", basis={"name": "gram"}, convolution="plain", classifier="kan")
    images, labels = torch.randn(20, 1, 8, 8), torch.arange(20) % 5
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
