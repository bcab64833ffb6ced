"""Which operations an image goes through, and how strong: AutoAugment, RandAugment, TrivialAugment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TypeAlias

import torch
from torch import Generator, Tensor

from trials.data.augment.operations import OPERATIONS, SIGNED, operate
from trials.data.splits import Split

__all__ = ["AnyPolicy", "AutoAugment", "RandAugment", "TrivialAugment", "strengths"]

_Step: TypeAlias = tuple[Tensor, Tensor]
"""The index of the operation of each image, and its strength, (N,) each."""
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
    """Draws operations for a batch, and does them.

    It holds on the device of `split` what its draws are looked up in: no copy is left to make in a batch.
    """

    def __init__(self, split: Split, table: Tensor) -> None:
        if split.images.dtype != torch.uint8:
            raise ValueError("data.augment: this one changes colours and needs images of bytes, not floats")
        self.strengths = table.to(split.device)
        self.signed = torch.tensor([name in SIGNED for name in OPERATIONS], device=split.device)

    def __call__(self, images: Tensor, masks: Tensor | None, generator: Generator) -> tuple[Tensor, Tensor | None]:
        for operation, strength in self.steps(len(images), generator):
            images, masks = operate(images, masks, operation, strength)
        return images, masks

    def steps(self, count: int, generator: Generator) -> Iterator[_Step]:
        """The operations on `count` images, one after the other."""
        raise NotImplementedError

    def step(self, operation: Tensor, level: Tensor, generator: Generator) -> _Step:
        """The operation of each image, (N,), at the level of each, (N,), towards either side."""
        strength = self.strengths[operation, level]
        negative = torch.rand(len(operation), generator=generator, device=operation.device) < 0.5
        return operation, torch.where(self.signed[operation] & negative, -strength, strength)


class AutoAugment(_Policy):
    """One of 25 pairs of operations, each with a probability and a strength that were learnt on a data set: cifar10,
    imagenet or svhn (arXiv 1805.09501). The pairs are torchvision's. Of several `names` any pair is drawn."""

    def __init__(self, split: Split, *names: str) -> None:
        from torchvision.transforms import AutoAugment as Published
        from torchvision.transforms import AutoAugmentPolicy

        table = strengths(10, split.images.shape[2:], shear=0.3, shift=None, turn=30, blend=0.9, bits=4)
        super().__init__(split, table)
        pairs = [pair for name in names for pair in Published(AutoAugmentPolicy(name)).policies]
        device = split.device
        self.operations = torch.tensor([[OPERATIONS.index(step[0]) for step in pair] for pair in pairs], device=device)
        self.chances = torch.tensor([[step[1] for step in pair] for pair in pairs], device=device)
        self.levels = torch.tensor([[step[2] or 0 for step in pair] for pair in pairs], device=device)

    def steps(self, count: int, generator: Generator) -> Iterator[_Step]:
        device = generator.device
        pair = torch.randint(len(self.operations), (count,), generator=generator, device=device)
        for step in range(2):
            done = torch.rand(count, generator=generator, device=device) <= self.chances[:, step][pair]
            operation = self.operations[:, step][pair].masked_fill(~done, 0)
            yield self.step(operation, self.levels[:, step][pair], generator)


class RandAugment(_Policy):
    """`count` operations at random, each at step `level` of 31 (arXiv 1909.13719)."""

    def __init__(self, split: Split, count: int = 2, level: int = 9) -> None:
        super().__init__(
            split, strengths(31, split.images.shape[2:], shear=0.3, shift=None, turn=30, blend=0.9, bits=4)
        )
        self.count, self.level = count, level

    def steps(self, count: int, generator: Generator) -> Iterator[_Step]:
        for _ in range(self.count):
            operation = _any_operation(count, generator)
            yield self.step(operation, torch.full_like(operation, self.level), generator)


class TrivialAugment(_Policy):
    """One operation at random, at a random step of 31 of a wide range (arXiv 2103.10158)."""

    def __init__(self, split: Split) -> None:
        super().__init__(
            split, strengths(31, split.images.shape[2:], shear=0.99, shift=32, turn=135, blend=0.99, bits=6)
        )

    def steps(self, count: int, generator: Generator) -> Iterator[_Step]:
        operation = _any_operation(count, generator)
        level = torch.randint(self.strengths.shape[1], (count,), generator=generator, device=generator.device)
        yield self.step(operation, level, generator)


class AnyPolicy(_Policy):
    """One of AutoAugment's three policies or TrivialAugment, at random for each image, each as often (arXiv
    2407.01092)."""

    def __init__(self, split: Split) -> None:
        self.auto, self.trivial = AutoAugment(split, "cifar10", "imagenet", "svhn"), TrivialAugment(split)

    def steps(self, count: int, generator: Generator) -> Iterator[_Step]:
        trivial = torch.randint(4, (count,), generator=generator, device=generator.device) == 3
        nothing = torch.zeros_like(trivial, dtype=torch.int64), torch.zeros_like(trivial, dtype=torch.float32)
        both = zip_longest(self.auto.steps(count, generator), self.trivial.steps(count, generator), fillvalue=nothing)
        for learnt, wide in both:
            yield torch.where(trivial, wide[0], learnt[0]), torch.where(trivial, wide[1], learnt[1])


def _any_operation(count: int, generator: Generator) -> Tensor:
    """An operation of each image, (N,): any but `Invert`."""
    return torch.randint(len(_WITHOUT_INVERT), (count,), generator=generator, device=generator.device)
