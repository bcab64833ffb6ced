"""Augmentations by name: `AUGMENTATIONS`, `build_augmentation`.

Each works on a whole batch where it lies, with random numbers for each sample from one generator. Its result follows
from the generator's state alone. On CUDA it can be captured in a graph: it never waits for the device, and no shape
depends on a value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from torch import Generator, Tensor

from trials.data.augment.erase import cutout, random_erasing
from trials.data.augment.geometry import affine20, crop_flip, flip, random_affine
from trials.data.augment.jitter import colour_jitter, jitter
from trials.data.augment.policies import AnyPolicy, AutoAugment, RandAugment, TrivialAugment
from trials.data.augment.signals import shift_scale
from trials.data.splits import Split

__all__ = ["AUGMENTATIONS", "Augmentation", "build_augmentation"]

Augmentation: TypeAlias = Callable[[Tensor, Tensor | None, Generator], tuple[Tensor, Tensor | None]]
"""Samples (N, C, *size), bytes or floats, and masks (N, *size), bytes, or None -> the same, varied."""


def _erased(erase: Callable[..., tuple[Tensor, Tensor | None]]) -> Callable[[Split], list[Augmentation]]:
    """`erase` after `crop_flip`, with the colour that the network sees as 0."""
    return lambda split: [crop_flip, partial(erase, colour=split.mean)]


AUGMENTATIONS: dict[str, Callable[[Split], list[Augmentation]]] = {
    "none": lambda split: [],
    "crop_flip": lambda split: [crop_flip],
    "affine": lambda split: [random_affine],
    "affine_jitter": lambda split: [random_affine, jitter],
    "cutout": _erased(cutout),
    "random_erasing": _erased(random_erasing),
    "autoaugment_cifar": lambda split: [crop_flip, AutoAugment(split, "cifar10")],
    "autoaugment_svhn": lambda split: [AutoAugment(split, "svhn")],
    "randaugment": lambda split: [crop_flip, RandAugment(split)],
    "trivialaugment": lambda split: [crop_flip, TrivialAugment(split)],
    "flip_policies": lambda split: [flip, AnyPolicy(split)],
    "affine20_colour": lambda split: [affine20, colour_jitter],
    "shift_scale": lambda split: [shift_scale],
}
"""The steps of each, for a split: one after the other."""


def build_augmentation(name: str, split: Split) -> Augmentation:
    """The augmentation by its name in a configuration, for batches of `split`, on its device.

    Raises ValueError where it cannot vary such samples.
    """
    signals = split.images.dim() != 4
    if name != "none" and signals != (name == "shift_scale"):
        kind, other = ("signals", "shift_scale or none") if signals else ("images", "crop_flip or none")
        raise ValueError(f"data.augment={name} cannot vary {kind}; use {other}")
    steps = AUGMENTATIONS[name](split)

    def augment(samples: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
        for step in steps:
            samples, masks = step(samples, masks, generator)
        return samples, masks

    return augment
