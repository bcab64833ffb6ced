"""Augmentations: deterministic, of the same type and range, masks follow their images, and each does what it says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torchvision import transforms
from torchvision.transforms import InterpolationMode, autoaugment
from torchvision.transforms import functional as F
from torchvision.transforms.v2 import functional as v2

from tests.datafiles import data_config
from trials.data.augment import AUGMENTATIONS, build_augmentation
from trials.data.augment.erase import cutout, random_erasing
from trials.data.augment.geometry import affine20, affine_map, crop_flip, flip, random_affine, warp
from trials.data.augment.jitter import adjust_colour, colour_jitter, jitter
from trials.data.augment.operations import OPERATIONS, SIGNED, operate
from trials.data.augment.policies import AnyPolicy, AutoAugment, TrivialAugment, strengths
from trials.data.augment.signals import shift_scale
from trials.data.held import augmentation_bytes
from trials.data.shape import DataShape
from trials.data.splits import Split, random_split

CPU = torch.device("cpu")
IMAGES = [name for name in AUGMENTATIONS if name != "shift_scale"]
COLOURS = ("autoaugment_cifar", "autoaugment_svhn", "randaugment", "trivialaugment", "flip_policies")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int = 12, channels: int = 3, size: tuple[int, ...] = (20, 24), dense: bool = True) -> Split:
    torch.manual_seed(0)
    return random_split(DataShape(channels, size, 5, dense), count, CPU)


def floats(split: Split) -> Split:
    return Split(split.images.float() / 50 - 2, split.labels, split.mean / 50 - 2, split.std / 50)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_type_shape_and_determinism(name: str, channels: int, dtype: torch.dtype) -> None:
    split = random_images(channels=channels, size=(40,) if name == "shift_scale" else (20, 24))
    split = split if dtype == torch.uint8 else floats(split)
    if name in COLOURS and dtype != torch.uint8:
        with pytest.raises(ValueError, match="needs images of bytes"):
            build_augmentation(name, split)
        return
    augment = build_augmentation(name, split)
    before = split.images.clone(), split.labels.clone()
    samples, masks = augment(split.images, split.labels, seeded())
    assert samples.dtype == dtype and samples.shape == split.images.shape and samples.isfinite().all()
    assert masks is not None and masks.dtype == torch.uint8 and masks.shape == split.labels.shape
    assert set(masks.unique().tolist()) <= {0, 1, 2, 3, 4, 255}
    assert torch.equal(split.images, before[0]) and torch.equal(split.labels, before[1]), "what is given stays"
    again, _ = build_augmentation(name, split)(split.images, None, seeded())
    assert torch.equal(again, samples), "the same without masks, and the second time"
    if name == "none":
        assert torch.equal(samples, split.images)
    else:
        other, _ = augment(split.images, None, seeded(1))
        assert not torch.equal(samples, other) and (samples != split.images).flatten(1).any(1).sum() > 3


@pytest.mark.parametrize("name", IMAGES)
def test_a_mask_goes_where_its_image_goes(name: str) -> None:
    """An image that is its own mask, where no colour is changed: each pixel still shows its class, or is ignored."""
    labels = torch.arange(5, dtype=torch.uint8).repeat_interleave(6)[None, None, :].expand(64, 30, 30).contiguous()
    images = (50 * labels + 25)[:, None].contiguous()
    split = Split(images, labels, torch.tensor([125.0]), torch.tensor([70.0]))
    samples, masks = build_augmentation(name, split)(images, labels, seeded())
    assert masks is not None
    known = masks != 255
    expected = (50 * masks + 25)[:, None]
    right = ((samples.int() - expected.int()).abs() <= 24)[:, 0][known].float().mean()
    if name in (*COLOURS, "affine_jitter", "affine20_colour"):
        moved = (masks != labels).flatten(1).any(1)
        assert moved.any() and right > 0.3
    else:
        assert right > 0.95 and (name == "none" or known.float().mean() < 1)


# -- geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nearest", [True, False], ids=["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("angle", "shear", "scale", "x", "y"),
    [(0, 0, 1, 3, -2), (12, 7, 1.1, 2, -3), (-90, 0, 1, 0, 0), (20, -5, 0.9, 0, 1)],
)
def test_an_affine_map_is_torchvisions(angle: float, shear: float, scale: float, x: int, y: int, nearest: bool) -> None:
    split = random_images(size=(20, 20))
    values = [torch.full((12,), float(value)) for value in (angle, shear, scale, x, y)]
    moved, masks = warp(split.images, split.labels, affine_map(*values), nearest=nearest)
    mode = InterpolationMode.NEAREST if nearest else InterpolationMode.BILINEAR
    expected = F.affine(split.images, angle, [x, y], scale, [shear, 0.0], interpolation=mode)
    assert ((moved.int() - expected.int()).abs() > 1).float().mean() < 0.005
    nearby = F.affine(split.labels[:, None], angle, [x, y], scale, [shear, 0.0], fill=[255.0])[:, 0]
    assert masks is not None and (masks != nearby).float().mean() < 0.005


def test_nothing_to_do_changes_nothing() -> None:
    split = random_images()
    one, zero = torch.ones(12), torch.zeros(12)
    moved, masks = warp(split.images, split.labels, affine_map(zero, zero, one, zero, zero))
    assert torch.equal(moved, split.images) and masks is not None and torch.equal(masks, split.labels)
    assert torch.equal(jitter(split.images, None, seeded(), strength=0.0)[0], split.images)
    for name in OPERATIONS[:10]:
        same, _ = operate(split.images, None, torch.full((12,), OPERATIONS.index(name)), zero)
        assert torch.equal(same, split.images), name


def test_random_affine_keeps_within_its_bounds() -> None:
    """A dot 8 pixels from the middle of 40: turned by 15°, sheared by 10°, scaled by 1.1 and shifted by 4 at most."""
    images = torch.zeros(500, 1, 41, 41, dtype=torch.uint8)
    images[:, :, 20, 28] = 255
    moved, _ = random_affine(images, None, seeded())
    place = moved.flatten(1).argmax(1)
    rows, columns = place // 41 - 20, place % 41 - 20
    assert rows.abs().max() <= 8 * 1.1 * math.sin(math.radians(25)) + 4.2 + 1 and rows.unique().numel() > 8
    assert columns.min() >= 8 * 0.9 * math.cos(math.radians(25)) - 4.2 - 1 and columns.max() <= 8.8 + 4.2 + 1


def test_crop_flip_moves_masks_with_their_images() -> None:
    split = random_images(size=(16, 16))
    images = split.labels[:, None] + 1
    moved, masks = crop_flip(images, split.labels, seeded())
    assert masks is not None and torch.equal(torch.where(masks == 255, 0, masks + 1), moved[:, 0])


def test_a_flip_mirrors_half_of_the_images_with_their_masks() -> None:
    split = random_images(400, size=(8, 10))
    moved, masks = flip(split.images, split.labels, seeded())
    mirrored = (moved == split.images.flip(3)).flatten(1).all(1)
    assert masks is not None and 160 < mirrored.sum() < 240
    assert torch.equal(moved[~mirrored], split.images[~mirrored])
    assert torch.equal(masks, torch.where(mirrored[:, None, None], split.labels.flip(2), split.labels))


def test_affine20_draws_what_torchvision_draws() -> None:
    """A dot 12 pixels from the middle of 41: its place over many draws has the mean and spread of torchvision's."""
    dot = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    dot[:, :, 19:22, 31:34] = 255
    ours, _ = affine20(dot.expand(1500, -1, -1, -1).contiguous(), None, seeded())
    torch.manual_seed(0)
    published = transforms.RandomAffine(degrees=20, translate=(0.1, 0.1), scale=(0.9, 1.1))
    theirs = torch.cat([published(dot) for _ in range(1500)])
    line = torch.arange(41.0)
    for axis in (2, 3):
        places = [
            (each.float().sum((1, 5 - axis)) * line).sum(1) / each.float().sum((1, 2, 3)) for each in (ours, theirs)
        ]
        (mean, std), (mean2, std2) = ((place.mean(), place.std()) for place in places)
        assert abs(mean - mean2) < 0.3 and abs(std / std2 - 1) < 0.1
        assert abs(places[0].min() - places[1].min()) < 1.5 and abs(places[0].max() - places[1].max()) < 1.5


# -- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_torchvisions(name: str) -> None:
    images = random_images().images
    images[0] = images[0] // 4 + 50  # little contrast
    images[1, 0] = 7  # none at all
    images[2] = torch.arange(24, dtype=torch.uint8) * 8
    levels: dict[str, list[float]] = {"Posterize": [4, 7, 8], "Solarize": [0, 178.5, 255], "Rotate": [-20, 7.5]}
    for strength in levels.get(name, [-5.7, 10.2] if "Translate" in name else [-0.9, 0.3]):
        ours, _ = operate(images, None, torch.full((12,), OPERATIONS.index(name)), torch.full((12,), float(strength)))
        theirs = autoaugment._apply_op(images, name, strength, InterpolationMode.NEAREST, None)
        difference = (ours.int() - theirs.int()).abs()
        if name in SIGNED[:5]:
            assert (difference > 0).float().mean() < 0.005
        else:
            assert difference.max() <= (1 if name in ("Color", "Sharpness") else 0)  # of rounding


@pytest.mark.parametrize(
    ("policy", "bins", "options"),
    [
        (autoaugment.AutoAugment(), 10, {"shear": 0.3, "shift": None, "turn": 30, "blend": 0.9, "bits": 4}),
        (autoaugment.RandAugment(), 31, {"shear": 0.3, "shift": None, "turn": 30, "blend": 0.9, "bits": 4}),
        (autoaugment.TrivialAugmentWide(), 31, {"shear": 0.99, "shift": 32, "turn": 135, "blend": 0.99, "bits": 6}),
    ],
    ids=["auto", "rand", "trivial"],
)
def test_strengths_are_the_published_ones(policy: Any, bins: int, options: dict[str, Any]) -> None:
    ours = strengths(bins, (20, 24), **options)
    wide = isinstance(policy, autoaugment.TrivialAugmentWide)
    theirs = policy._augmentation_space(*((bins,) if wide else (bins, (20, 24))))
    for name, (values, signed) in theirs.items():
        torch.testing.assert_close(ours[OPERATIONS.index(name)], values.float().expand(bins))
        assert signed == (name in SIGNED)


def test_each_image_draws_a_policy_of_its_own() -> None:
    images = random_images(1, dense=False).images.expand(300, -1, -1, -1).contiguous()
    split = Split(images, torch.zeros(300), torch.full((3,), 127.0), torch.full((3,), 60.0))
    results, _ = AutoAugment(split, "cifar10")(images, None, seeded())
    assert len({image.numpy().tobytes() for image in results}) > 60
    assert (results == images).flatten(1).all(1).any(), "some probabilities are below 1"


def test_operations_of_a_batch_are_those_of_each_image() -> None:
    images = random_images(len(OPERATIONS)).images
    strength = torch.linspace(0.1, 0.9, len(OPERATIONS)) + torch.tensor([0.0] * 10 + [5, 100, 0, 0, 0])
    together, _ = operate(images, None, torch.arange(len(OPERATIONS)), strength)
    for i in range(len(OPERATIONS)):
        alone, _ = operate(images[i : i + 1], None, torch.tensor([i]), strength[i : i + 1])
        assert torch.equal(alone[0], together[i])


def policy_steps(images: torch.Tensor, policy: Any, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(policy.steps(len(images), seeded(seed)))


def test_any_policy_draws_each_of_the_four_as_often_with_its_own_pairs_and_strengths() -> None:
    images = random_images(1, dense=False).images.expand(40_000, -1, -1, -1)
    split = Split(images, torch.zeros(1), torch.full((3,), 127.0), torch.full((3,), 60.0))
    first, second = policy_steps(images, AnyPolicy(split))
    shares = [torch.zeros(len(OPERATIONS)), torch.zeros(len(OPERATIONS))]
    for name in ("cifar10", "imagenet", "svhn"):
        pairs = autoaugment.AutoAugment(autoaugment.AutoAugmentPolicy(name)).policies
        for pair in pairs:
            for step, (operation, chance, _) in enumerate(pair):
                shares[step][OPERATIONS.index(operation)] += chance / len(pairs) / 4
                shares[step][0] += (1 - chance) / len(pairs) / 4
    shares[0][:-1] += 1 / 4 / (len(OPERATIONS) - 1)
    shares[1][0] += 1 / 4
    for (operation, _), expected in zip((first, second), shares, strict=True):
        torch.testing.assert_close(operation.bincount(minlength=len(OPERATIONS)) / 40_000, expected, atol=0.01, rtol=0)
    turned = first[1][first[0] == OPERATIONS.index("Rotate")].abs()
    assert turned.max() > 120 and (turned <= 30).float().mean() > 0.4, (
        "wide ones of TrivialAugment, others of AutoAugment"
    )


def test_one_policy_of_any_is_the_policy_itself() -> None:
    images = random_images(64, dense=False).images
    split = Split(images, torch.zeros(1), torch.full((3,), 127.0), torch.full((3,), 60.0))
    policy = AnyPolicy(split)
    assert len(policy.auto.operations) == 75
    expected = TrivialAugment(split)
    for ours, theirs in zip(policy_steps(images, policy.trivial), policy_steps(images, expected), strict=True):
        assert all(map(torch.equal, ours, theirs))


@pytest.mark.parametrize("channels", [1, 3])
def test_brightness_and_contrast_are_torchvisions_in_either_order(channels: int) -> None:
    images = random_images(channels=channels, dense=False).images
    images[0] = images[0] // 8
    bright, contrast = torch.linspace(0.8, 1.2, 12), torch.linspace(1.2, 0.85, 12)
    for first in (True, False):
        ours = adjust_colour(images, bright, contrast, torch.full((12,), first))
        for image, result, b, c in zip(images, ours, bright.tolist(), contrast.tolist(), strict=True):
            steps = [lambda x, b=b: v2.adjust_brightness(x, b), lambda x, c=c: v2.adjust_contrast(x, c)]
            for step in steps if first else steps[::-1]:
                image = step(image)
            assert (result.int() - image.int()).abs().max() <= 1 and (result != image).float().mean() < 0.002


def test_colour_jitter_draws_both_factors_and_the_order() -> None:
    images = torch.full((4000, 1, 4, 4), 100.0)
    images[:, :, :2] = 140.0
    varied, _ = colour_jitter(images, None, seeded())
    bright = varied.mean((1, 2, 3)) / 120
    contrast = (varied[:, 0, 0, 0] - varied[:, 0, 3, 0]) / 40 / bright
    for factor in (bright, contrast):
        assert 0.799 <= factor.min() < 0.81 and 1.19 < factor.max() <= 1.201
        assert factor.mean() == pytest.approx(1, abs=0.01) and factor.std() == pytest.approx(0.4 / 12**0.5, rel=0.05)


def test_jitter_multiplies_brightness_and_contrast() -> None:
    images = torch.full((2000, 1, 4, 4), 100.0)
    images[:, :, :2] = 140.0
    varied, _ = jitter(images, None, seeded())
    bright = varied.mean((1, 2, 3)) / 120
    contrast = (varied[:, 0, 0, 0] - varied[:, 0, 3, 0]) / 40 / bright
    for factor in (bright, contrast):
        assert factor.min() >= 0.799 and factor.max() <= 1.201 and factor.std() > 0.1


# -- covering, signals -----------------------------------------------------------------------------------------------


def covered(erase: Any, count: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pixels of images (20, 24) are covered, and the masks."""
    images, masks = torch.zeros(count, 1, 20, 24, dtype=torch.uint8), torch.zeros(count, 20, 24, dtype=torch.uint8)
    images, masks = erase(images, masks, seeded(), colour=torch.tensor([99.6]))
    assert set(images.unique().tolist()) == {0, 100}, "in the mean colour"
    return images[:, 0] == 100, masks


def test_cutout_covers_a_square_of_half_the_side_cut_at_the_border() -> None:
    pixels, masks = covered(cutout)
    assert torch.equal(masks == 255, pixels)
    rows, columns = pixels.any(2).sum(1), pixels.any(1).sum(1)
    assert torch.equal(pixels.sum((1, 2)), rows * columns), "a rectangle"
    assert rows.max() == columns.max() == 10 and rows.min() == columns.min() == 5
    assert pixels.float().mean(0).min() > 0, "anywhere"


def test_random_erasing_covers_rectangles_of_the_published_sizes_in_half_of_the_images() -> None:
    pixels, masks = covered(random_erasing, 2000)
    assert torch.equal(masks == 255, pixels)
    chosen = pixels.flatten(1).any(1)
    assert 0.45 < chosen.float().mean() < 0.55
    rows, columns = pixels[chosen].any(2).sum(1), pixels[chosen].any(1).sum(1)
    area = rows * columns
    assert torch.equal(pixels[chosen].sum((1, 2)), area)
    share = area / (20 * 24)
    assert share.min() > 0.01 and share.max() < 0.37 and share.std() > 0.05
    assert (rows > columns).any() and (rows < columns).any()


def test_signals_are_shifted_and_scaled_with_their_labels() -> None:
    signals = torch.rand(200, 2, 40) + 1
    labels = torch.arange(40, dtype=torch.uint8).expand(200, 40).contiguous()
    varied, masks = shift_scale(signals, labels, seeded())
    assert masks is not None
    shifts, factors = set(), []
    for sample in range(200):
        start = int(masks[sample, 20]) - 20
        factor = varied[sample, 0, 20] / signals[sample, 0, 20 + start]
        for at in range(40):
            source = at + start
            inside = 0 <= source < 40
            expected = factor * signals[sample, :, source] if inside else torch.zeros(2)
            torch.testing.assert_close(varied[sample, :, at], expected)
            assert masks[sample, at] == (source if inside else 255)
        shifts.add(start)
        factors.append(float(factor))
    assert shifts == set(range(-5, 6))
    assert 0.8 <= min(factors) < 0.83 and 1.17 < max(factors) <= 1.2


@pytest.mark.parametrize(("name", "size"), [("crop_flip", (40,)), ("shift_scale", (8, 8))])
def test_what_cannot_be_varied_so_is_refused(name: str, size: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"data\.augment={name} cannot vary"):
        build_augmentation(name, random_images(size=size))


def test_memory_of_augmenting_grows_with_the_batch() -> None:
    none, affine, auto = (
        augmentation_bytes(data_config(dataset="cifar10", augment=name), 64)
        for name in ("none", "affine", "autoaugment_cifar")
    )
    assert 0 < none < affine < auto
    assert none == pytest.approx(64 * 3072 * 8, rel=0.01), "two float copies"
    assert augmentation_bytes(data_config(dataset="cifar10", augment="affine"), 128) == 2 * affine
