"""Which operations an image goes through, and how strong: AutoAugment, RandAugment, TrivialAugment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from trials.data.augment.operations import OPERATIONS, SIGNED, operate
from trials.data.splits import Split

__all__ = ["AutoAugment", "RandAugment", "TrivialAugment", "strengths"]

_WITHOUT_INVERT = OPERATIONS[:-1]


def strengths(
    bins: int, size: Sequence[int], *, shear: float, shift: float | None, turn: float, blend: float, bits: int
) -> Tensor:
    """How strong each operation is in each of so many steps: (operations, bins).

    The largest shear, shift in pixels (None: 150/331 of the side), turn in degrees, blend, and bits that are lost.
    """
    ramp = torch.linspace(0, 1, bins)
    height, width = size
    most = {
        "ShearX": shear,
        "ShearY": shear,
        "TranslateX": 150 / 331 * width if shift is None else shift,
        "TranslateY": 150 / 331 * height if shift is None else shift,
        "Rotate": turn,
        **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), blend),
    }
    table = {name: value * ramp for name, value in most.items()}
    table["Posterize"] = 8 - torch.round(ramp * bits)
    table["Solarize"] = 255 * (1 - ramp)
    return torch.stack([table.get(name, torch.zeros(bins)) for name in OPERATIONS])


class _Policy:
    """Holds on the device of `split` what its draws are looked up in: no copy is left to make in a batch."""

    def __init__(self, split: Split, table: Tensor) -> None:
        if split.images.dtype != torch.uint8:
            raise ValueError("data.augment: this one changes colours and needs images of bytes, not floats")
        self.strengths = table.to(split.device)
        self.signed = torch.tensor([name in SIGNED for name in OPERATIONS], device=split.device)

    def operate(
        self, images: Tensor, masks: Tensor | None, operation: Tensor, level: Tensor, generator: Generator
    ) -> tuple[Tensor, Tensor | None]:
        """The operation of each image, (N,), at the level of each, (N,), towards either side."""
        strength = self.strengths[operation, level]
        negative = torch.rand(len(images), generator=generator, device=images.device) < 0.5
        strength = torch.where(self.signed[operation] & negative, -strength, strength)
        return operate(images, masks, operation, strength)


class AutoAugment(_Policy):
    """One of 25 pairs of operations, each with a probability and a strength that were learnt on `name`, cifar10 or svhn
    (arXiv 1805.09501). The pairs are torchvision's."""

    def __init__(self, name: str, split: Split) -> None:
        from torchvision.transforms import AutoAugment as Published
        from torchvision.transforms import AutoAugmentPolicy

        table = strengths(10, split.images.shape[2:], shear=0.3, shift=None, turn=30, blend=0.9, bits=4)
        super().__init__(split, table)
        pairs = Published(AutoAugmentPolicy(name)).policies
        device = split.device
        self.operations = torch.tensor([[OPERATIONS.index(step[0]) for step in pair] for pair in pairs], device=device)
        self.chances = torch.tensor([[step[1] for step in pair] for pair in pairs], device=device)
        self.levels = torch.tensor([[step[2] or 0 for step in pair] for pair in pairs], device=device)

    def __call__(self, images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
        count, device = len(images), images.device
        pair = torch.randint(len(self.operations), (count,), generator=generator, device=device)
        for step in range(2):
            done = torch.rand(count, generator=generator, device=device) <= self.chances[:, step][pair]
            operation = self.operations[:, step][pair].masked_fill(~done, 0)
            images, masks = self.operate(images, masks, operation, self.levels[:, step][pair], generator)
        return images, masks


class RandAugment(_Policy):
    """`count` operations at random, each at step `level` of 31 (arXiv 1909.13719)."""

    def __init__(self, split: Split, count: int = 2, level: int = 9) -> None:
        super().__init__(
            split, strengths(31, split.images.shape[2:], shear=0.3, shift=None, turn=30, blend=0.9, bits=4)
        )
        self.count, self.level = count, level

    def __call__(self, images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
        shape, device = (len(images),), images.device
        for _ in range(self.count):
            operation = torch.randint(len(_WITHOUT_INVERT), shape, generator=generator, device=device)
            level = torch.full(shape, self.level, device=device)
            images, masks = self.operate(images, masks, operation, level, generator)
        return images, masks


class TrivialAugment(_Policy):
    """One operation at random, at a random step of 31 of a wide range (arXiv 2103.10158)."""

    def __init__(self, split: Split) -> None:
        super().__init__(
            split, strengths(31, split.images.shape[2:], shear=0.99, shift=32, turn=135, blend=0.99, bits=6)
        )

    def __call__(self, images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
        shape, device = (len(images),), images.device
        operation = torch.randint(len(_WITHOUT_INVERT), shape, generator=generator, device=device)
        level = torch.randint(self.strengths.shape[1], shape, generator=generator, device=device)
        return self.operate(images, masks, operation, level, generator)
