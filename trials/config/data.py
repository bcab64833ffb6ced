"""The data sets by name, each with what it must be told; how samples are split, batched and augmented."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from trials.config.base import Config

__all__ = [
    "ALL",
    "ArraysDataConfig",
    "DataConfig",
    "EMNISTDataConfig",
    "FolderDataConfig",
    "FunctionDataConfig",
    "ImageNetDataConfig",
    "KnownDataConfig",
    "SegmentationDataConfig",
    "SyntheticDataConfig",
]

_Augment = Literal[
    "none",
    "crop_flip",
    "affine",
    "affine_jitter",
    "cutout",
    "random_erasing",
    "autoaugment_cifar",
    "autoaugment_svhn",
    "randaugment",
    "trivialaugment",
    "flip_policies",
    "affine20_colour",
    "shift_scale",
]


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_Size = Annotated[tuple[Annotated[int, Field(ge=1, le=2**20)], ...], BeforeValidator(_tuple)]
MOST_AT_ONCE = 65536
"""Images a step, at most, but for all of them at once."""
ALL = 2**24
"""The batch size `all`."""


def _all(value: Any) -> Any:
    """`all` is a number that no training split reaches: a batch larger than the split is the split."""
    return ALL if value == "all" else value


def _written(value: int) -> int | str:
    return "all" if value == ALL else value


def _bounded(value: int) -> int:
    if value != ALL and not 1 <= value <= MOST_AT_ONCE:
        raise ValueError(f"must be >= 1 and <= {MOST_AT_ONCE}, or all")
    return value


_Batch = Annotated[
    int,
    BeforeValidator(_all),
    AfterValidator(_bounded),
    PlainSerializer(_written, when_used="json"),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE}, {"const": ALL}, {"const": "all"}]}
    ),
]
_Classes = Annotated[int, Field(ge=2, le=100_000)]


class DataConfig(Config):
    """How samples are split, batched and augmented, whichever data set they are of."""

    dataset: str = Field(description="data set by name")
    validation: float = Field(
        default=0.1, gt=0, lt=1, description="share of the training split held out to measure a trial; stratified"
    )
    split_seed: int = Field(
        default=0, ge=0, description="seed of the train/validation split; one value for a whole study"
    )
    limit: int | None = Field(
        default=None, ge=20, description="use this many images of the training split, drawn by split_seed; null: all"
    )
    batch_size: _Batch = Field(default=128, description="images a step; all: one step an epoch, of all of them")
    augment: _Augment = Field(
        default="none",
        description="how training samples are varied; crop_flip: random shift by up to 1/8 of the side, and horizontal "
        "flip; affine, affine_jitter: for digits; cutout, random_erasing, autoaugment_cifar, randaugment, "
        "trivialaugment: after crop_flip; autoaugment_svhn: alone; flip_policies: horizontal flip, then AutoAugment's "
        "policy of CIFAR-10, ImageNet or SVHN, or TrivialAugment, at random; affine20_colour: turn by up to 20°, "
        "scale, shift, brightness and contrast; shift_scale: for signals",
    )
    pixels: Literal["standard", "unit", "symmetric"] = Field(
        default="standard",
        description="what the network is given; standard: mean 0 and standard deviation 1 over the training split, in "
        "each channel; unit: bytes as [0, 1]; symmetric: bytes as [-1, 1], where published grids stand",
    )

    @property
    def source(self) -> str:
        """The name under which `trials.data.files` knows its files."""
        return self.dataset

    @property
    def regression(self) -> bool:
        """Whether a sample has numbers for targets, not classes."""
        return False

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        signals = len(getattr(self, "size", (1, 1))) == 1
        if self.augment != "none" and signals != (self.augment == "shift_scale"):
            kind, other = ("signals", "shift_scale or none") if signals else ("images", "crop_flip or none")
            raise ValueError(f"augment: {self.augment} cannot vary {kind}; use {other}")
        if getattr(self, "dense", False) and getattr(self, "classes", 0) > 255:
            raise ValueError("classes: at most 255 where dense is true, as 255 is the label of no class")
        return self


class KnownDataConfig(DataConfig):
    """A data set of which everything is known."""

    dataset: Literal["digits", "mnist", "fashion_mnist", "kmnist", "svhn", "cifar10", "cifar100", "tiny_imagenet"] = (
        Field(description="data set by name")
    )


class EMNISTDataConfig(DataConfig):
    """Handwritten letters and digits, 28x28 pixels (arXiv 1702.05373)."""

    dataset: Literal["emnist"] = Field(description="data set by name")
    split: Literal["balanced", "byclass", "bymerge", "digits", "letters", "mnist"] = Field(
        default="balanced", description="which of its six selections"
    )

    @property
    def source(self) -> str:
        return f"emnist_{self.split}"


class SyntheticDataConfig(DataConfig):
    """Images or signals made from a seed, for tests and benchmarks: a pattern for each class, shifted, under noise."""

    dataset: Literal["synthetic"] = Field(description="data set by name")
    size: _Size = Field(
        default=(16, 16), min_length=1, max_length=2, description="[height, width] of an image, [length] of a signal"
    )
    channels: int = Field(default=1, ge=1, le=1024, description="channels of each sample")
    classes: _Classes = Field(default=4, description="number of classes")
    samples: int = Field(default=2000, ge=2, le=10**8, description="of the training split; a quarter more for tests")
    noise: float = Field(default=0.5, ge=0, le=100, description="standard deviation of the noise, in patterns'")
    dense: bool = Field(default=False, description="a class for each pixel of an image, to be segmented")
    make_seed: int = Field(default=0, ge=0, description="of the patterns, shifts and noise")


class FolderDataConfig(DataConfig):
    """Images in a folder for each class, in train/ and in test/ or val/."""

    dataset: Literal["imagefolder"] = Field(description="data set by name")
    image_size: int = Field(ge=2, le=4096, description="side in pixels; images are scaled, and cropped to the middle")
    channels: Literal[1, 3] = Field(default=3, description="1: grey, 3: colours")
    classes: _Classes = Field(description="number of classes, which is that of the folders")
    samples: int | None = Field(
        default=None, ge=1, description="of the training split, for estimates where its files are not found"
    )


class ImageNetDataConfig(FolderDataConfig):
    """ImageNet (ILSVRC 2012): train/ and val/ with a folder for each of its 1,000 classes."""

    dataset: Literal["imagenet"] = Field(description="data set by name")  # type: ignore[assignment]
    image_size: int = Field(default=224, ge=2, le=4096, description="side in pixels; images are scaled, and cropped")
    classes: _Classes = Field(default=1000, description="number of classes, which is that of the folders")
    samples: int | None = Field(
        default=1_281_167, ge=1, description="of the training split, for estimates where its files are not found"
    )


class SegmentationDataConfig(DataConfig):
    """Images with a mask of classes for each, in train/ and test/: images/ and masks/, PNG, 255 = not labelled."""

    dataset: Literal["segmentation"] = Field(description="data set by name")
    image_size: int = Field(ge=2, le=4096, description="side in pixels; both are scaled, and cropped to the middle")
    channels: Literal[1, 3] = Field(default=3, description="1: grey, 3: colours")
    classes: int = Field(ge=2, le=255, description="number of classes that a pixel can have")
    samples: int | None = Field(
        default=None, ge=1, description="of the training split, for estimates where its files are not found"
    )


class ArraysDataConfig(DataConfig):
    """train.npz and test.npz, each with x, bytes or float32, (N, C, *size) or (N, *size), and y, (N,)."""

    dataset: Literal["arrays"] = Field(description="data set by name")
    size: _Size = Field(min_length=1, max_length=2, description="[height, width] of an image, [length] of a signal")
    channels: int = Field(default=1, ge=1, le=1024, description="channels of each sample")
    classes: _Classes = Field(description="number of classes; labels are 0 to classes - 1")
    dense: bool = Field(default=False, description="y is (N, *size): a class for each pixel, 255 = not labelled")
    samples: int | None = Field(
        default=None, ge=1, description="of the training split, for estimates where its files are not found"
    )


class FunctionDataConfig(DataConfig):
    """Data that a Python function returns; it is only called where the command line names it too, with --trust-data."""

    dataset: Literal["function"] = Field(description="data set by name")
    function: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="package.module:function; called with the data folder or None, it returns ((x, y), (x, y)): the "
        "arrays of the training and of the test split",
    )
    size: _Size = Field(min_length=1, max_length=2, description="[height, width] of an image, [length] of a signal")
    channels: int = Field(default=1, ge=1, le=1024, description="channels of each sample")
    classes: _Classes = Field(description="number of classes; labels are 0 to classes - 1")
    dense: bool = Field(default=False, description="y is (N, *size): a class for each pixel, 255 = not labelled")
    samples: int = Field(ge=1, description="of the training split, for estimates before the function is called")
