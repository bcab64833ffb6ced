"""Networks that give a class to each pixel: they train, whatever the size; what is ignored has no effect; the figures
are scikit-learn's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from sklearn.metrics import jaccard_score
from torch import Tensor, nn
from torch.nn import functional as F

from trials.config import ModelConfig, RegularizationConfig, U2NetConfig, UNetConfig
from trials.config.basis import PlainConfig
from trials.data.images import IGNORED
from trials.data.shape import DataShape
from trials.kan import BASES
from trials.kan.layer import KANLayer
from trials.measure.pixels import confusion, evaluation_batch
from trials.measure.quality import segmentation_metrics
from trials.measure.scores import pixel_scores
from trials.models import build_model
from trials.models.enlarge import enlarge, halve
from trials.models.u2net import RSU
from trials.training.losses import losses, pixel_losses, soft_dice_loss
from trials.training.step import backward, train_step

FAMILIES = ("unet", "u2net")
SIDES = {"unet": 3, "u2net": 6}
"""Outputs beside the output proper, the U-Net being halved four times."""


def model_of(family: str, image: tuple[int, int] = (12, 10), classes: int = 4, channels: int = 2, **more: Any) -> Any:
    torch.manual_seed(0)
    fields = {"family": family, "size": "small", "width": 4, "basis": {"name": "none"}, **more}
    config = TypeAdapter(ModelConfig).validate_python(fields)
    return build_model(config, DataShape(channels, image, classes, dense=True))


def batch_of(image: tuple[int, int] = (12, 10), count: int = 2, classes: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(classes, (count, *image), generator=generator)
    labels[:, :2] = IGNORED
    return torch.randn(count, 2, *image, generator=generator), labels


@pytest.mark.parametrize("basis", [*sorted(BASES), "none"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_basis_trains_every_weight(family: str, basis: str) -> None:
    options = {"classifier": "kan", "dropout": 0.1, "size": "full"} if family == "unet" else {}
    model = model_of(family, basis={"name": basis}, **options)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loss = train_step(model.train(), optimizer, RegularizationConfig(dice=0.5), *batch_of())
    assert loss.isfinite()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.isfinite().all() and p.grad.norm() < 1e3, name
        assert p.dim() == 1 or not torch.equal(p, before[name]), name  # a normalisation takes a bias before it away


@pytest.mark.parametrize("options", [{"bottleneck": 2}, {"experts": 2}, {"normalization": "instance"}], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_options_of_a_layer_reach_these_families(family: str, options: dict[str, Any]) -> None:
    plain = model_of(family, basis={"name": "gram", "degree": 2})
    model = model_of(family, basis={"name": "gram", "degree": 2}, **options)
    assert ("normalization" in options) == (len(list(model.parameters())) == len(list(plain.parameters())))
    model.eval().double()
    images = batch_of(count=3)[0].double()
    torch.testing.assert_close(model(images)[:1], model(images[:1]), msg="a sample depends on its batch")


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 33), (31, 17), (16, 16)], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_size_of_image_gives_maps_of_that_size(family: str, size: tuple[int, int]) -> None:
    for deep in (True, False):
        model = model_of(family, size, deep_supervision=deep)
        outputs = model.train()(torch.randn(2, 2, *size))
        maps = outputs if deep else (outputs,)
        assert len(maps) == 1 + deep * SIDES[family]
        assert {tuple(each.shape) for each in maps} == {(2, 4, *size)}
        assert model.eval()(torch.randn(2, 2, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize("size", [(2, 2), (3, 5), (9, 4)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_enlarging_is_bilinear_interpolation_cropped(size: tuple[int, int], layout: torch.memory_format) -> None:
    fine = torch.randn(2, 3, *size, dtype=torch.float64).contiguous(memory_format=layout)
    coarse = halve(fine)
    expected = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
    if coarse.shape != fine.shape:
        torch.testing.assert_close(enlarge(coarse, [size]), expected[:, :, : size[0], : size[1]])
    assert enlarge(coarse, [size]).shape == fine.shape
    assert torch.autograd.gradcheck(lambda x: enlarge(x, [(5, 7)]), torch.randn(1, 2, 3, 4).double().requires_grad_())


def test_the_control_has_the_published_numbers_of_weights() -> None:
    """U²-Net's and U²-Net†'s parameters. Theirs normalise what a convolution puts out, and ours what it takes in."""
    for size, published in (("full", 44_009_869), ("small", 1_131_181)):
        with torch.device("meta"):
            model = model_of("u2net", (64, 64), classes=1, channels=3, size=size, width=64)
        convolutions = [each for each in model.modules() if isinstance(each, nn.Conv2d)]
        blocks = [block for block in model.modules() if isinstance(block, RSU)]
        normalised = [each for block in blocks for each in block.modules() if isinstance(each, nn.Conv2d)]
        weights = sum(p.numel() for each in convolutions for p in each.parameters())
        assert weights + 2 * sum(each.out_channels for each in normalised) == published


def test_sizes_of_a_unet_are_what_they_say() -> None:
    def channels(**more: Any) -> list[int]:
        model = model_of("unet", basis={"name": "gram"}, depth=2, **more)
        return [each.weight.shape[0] for each in model.modules() if isinstance(each, KANLayer)]

    assert channels(size="full") == [4, 4, 8, 8, 16, 16, 8, 4, 8, 8, 4, 4]
    assert channels(size="small") == [4] * 12


@pytest.mark.parametrize("family", FAMILIES)
def test_each_output_under_deep_supervision_counts_with_its_weight(family: str) -> None:
    images, labels = batch_of()
    maps = model_of(family).train()(images)
    each = [losses(one, labels, RegularizationConfig(dice=0.3))[1] for one in maps]
    for weight in (0.0, 0.4):
        proper, whole = losses(maps, labels, RegularizationConfig(dice=0.3, side_weight=weight))
        torch.testing.assert_close(whole, each[0] + weight * sum(each[1:]))
        torch.testing.assert_close(proper, losses(maps[0], labels, RegularizationConfig())[0])


def test_the_loss_is_the_mean_over_labelled_pixels() -> None:
    _, labels = batch_of()
    logits = torch.randn(2, 4, 12, 10)
    loss, _ = losses(logits, labels, RegularizationConfig(label_smoothing=0.1))
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, ignore_index=IGNORED, label_smoothing=0.1))
    nothing = losses(logits.requires_grad_(), torch.full_like(labels, IGNORED), RegularizationConfig(dice=1.0))
    assert [term.item() for term in nothing] == [0.0, 0.0], "no pixel is labelled"
    assert (pixel_losses(logits, labels)[labels == IGNORED] == 0).all()


def test_the_dice_loss_is_its_formula() -> None:
    logits, labels = torch.randn(2, 3, 4, 5), torch.randint(2, (2, 4, 5))  # no pixel has class 2
    labels[0, 0] = IGNORED
    p, terms = logits.softmax(1), []
    for label in range(2):
        shared = both = 1.0
        for n, i, j in itertools.product(range(2), range(4), range(5)):
            if labels[n, i, j] != IGNORED:
                true, probable = float(labels[n, i, j] == label), float(p[n, label, i, j])
                shared, both = shared + 2 * true * probable, both + true + probable
        terms.append(1 - shared / both)
    assert float(soft_dice_loss(logits, labels)) == pytest.approx(sum(terms) / 2, abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_what_lies_under_an_ignored_pixel_has_no_effect(family: str, seed: int) -> None:
    """Neither its logits on the losses, nor its losses on any weight."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (2, 6, 5), generator=generator)
    hidden = torch.rand(2, 6, 5, generator=generator) < 0.4
    labels[hidden] = IGNORED
    regularization = RegularizationConfig(dice=0.7, label_smoothing=0.2)
    logits = torch.randn(2, 4, 6, 5, generator=generator).requires_grad_()
    losses(logits, labels, regularization)[1].backward()
    assert logits.grad is not None
    assert (logits.grad.abs().sum(1) > 0).logical_xor(hidden).all()
    changed = torch.where(hidden[:, None], 7.0, logits.detach())
    torch.testing.assert_close(losses(changed, labels, regularization), losses(logits, labels, regularization))
    predicted = changed.argmax(1)
    assert torch.equal(confusion(predicted, labels, 4), confusion(torch.where(hidden, 3, predicted), labels, 4))
    model = model_of(family, (6, 5))
    backward(model.train(), regularization, torch.randn(2, 2, 6, 5), torch.full_like(labels, IGNORED), torch.float32)
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


def double_loop(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    matrix = np.zeros((classes, classes), np.int64)
    for label, found in zip(labels.ravel(), predicted.ravel(), strict=True):
        if label != IGNORED:
            matrix[label, found] += 1
    return matrix


@pytest.mark.parametrize("classes", [2, 5, 9])
def test_confusion_and_scores_are_those_of_a_double_loop_and_scikit_learn(classes: int) -> None:
    rng = np.random.default_rng(classes)
    labels, predicted = (rng.integers(0, max(classes - 1, 2), (3, 7, 6)) for _ in range(2))  # one class too many
    labels[rng.random(labels.shape) < 0.2] = IGNORED
    matrix = confusion(torch.from_numpy(predicted), torch.from_numpy(labels), classes)
    assert np.array_equal(matrix.numpy(), double_loop(predicted, labels, classes))
    known = labels != IGNORED
    expected = jaccard_score(labels[known], predicted[known], average="macro")
    loss, accuracy, mean_iou = pixel_scores(torch.tensor(0.5), matrix).tolist()
    assert (loss, accuracy) == (0.5, pytest.approx((labels == predicted)[known].mean()))
    assert mean_iou == pytest.approx(expected)
    metrics = segmentation_metrics(0.5, matrix.numpy(), 3)
    by_class = jaccard_score(labels[known], predicted[known], average=None)
    assert metrics["mean_iou"] == pytest.approx(expected) and metrics["images"] == 3
    assert metrics["per_class_iou"][: len(by_class)] == pytest.approx(by_class.tolist())
    assert metrics["per_class_iou"][len(by_class) :] == [None] * (classes - len(by_class))
    dice = [2 * iou / (1 + iou) for iou in by_class]
    assert metrics["dice"] == pytest.approx(np.mean(dice))


def test_figures_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        segmentation_metrics(float("nan"), np.eye(2, dtype=np.int64), 1)
    with pytest.raises(ValueError, match="no pixel of the test split is labelled"):
        segmentation_metrics(0.0, np.zeros((2, 2), np.int64), 1)


def test_images_that_are_evaluated_together_have_a_million_pixels() -> None:
    assert [evaluation_batch(512, (side, side)) for side in (8, 64, 1024, 4096)] == [512, 256, 1, 1]


@pytest.mark.parametrize("family", ["plain", "vgg", *FAMILIES])
def test_a_family_made_for_another_task_is_refused(family: str) -> None:
    config = TypeAdapter(ModelConfig).validate_python({"family": family})
    reason = "needs a segmentation data set" if family in FAMILIES else "for segmentation use unet or u2net"
    with pytest.raises(ValueError, match=f"model.family={family} .*{reason}"):
        build_model(config, DataShape(1, (8, 8), 3, dense=family not in FAMILIES))


def test_defaults_are_the_papers_sizes() -> None:
    plain = PlainConfig(name="none")
    unet, u2net = UNetConfig(family="unet", basis=plain), U2NetConfig(family="u2net", basis=plain)
    assert (unet.depth, unet.width, u2net.width, unet.size, u2net.size) == (4, 64, 64, "full", "full")
