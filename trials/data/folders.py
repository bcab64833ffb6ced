"""Data sets that are folders of image files: a folder for each class, Tiny ImageNet, and images with masks."""

from __future__ import annotations

import os
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from trials.config import FolderDataConfig, SegmentationDataConfig
from trials.data.decode import SUFFIXES, decode_image, decode_mask, decoded, image_size
from trials.data.errors import DataFileError
from trials.data.images import Images

__all__ = [
    "class_folders",
    "count_folder",
    "count_segmentation",
    "image_files",
    "read_folder",
    "read_segmentation",
    "read_tiny_imagenet",
]

_TINY = 64


def read_folder(config: FolderDataConfig, folder: Path) -> tuple[Images, Images]:
    """train/ and test/, or val/ where there is no test/: a folder for each class, classes in the order of the names."""
    classes = class_folders(folder / "train")
    if len(classes) != config.classes:
        raise DataFileError(f"{folder / 'train'}: {len(classes)} folders where data.classes={config.classes}")
    held = _test_folder(folder)
    if strange := sorted(set(class_folders(held)) - set(classes)):
        raise DataFileError(f"{held / strange[0]}: a class that is not in {folder / 'train'}")
    splits = (_listed(folder / "train", classes), _listed(held, classes))
    if not splits[1][0]:
        raise DataFileError(f"{held}: no folder of a class that is in {folder / 'train'}")
    training, test = (_images(files, labels, config.image_size, config.channels) for files, labels in splits)
    return training, test


def count_folder(folder: Path) -> int:
    """Training images."""
    return _count(folder / "train")


@lru_cache(maxsize=8)
def _count(folder: Path) -> int:
    return sum(len(image_files(folder / name)) for name in class_folders(folder))


def read_tiny_imagenet(folder: Path) -> tuple[Images, Images]:
    """Tiny ImageNet as it is distributed. Its test images have no labels, so that its val/ is the test split here."""
    classes = (folder / "wnids.txt").read_text().split()
    if len(classes) != 200:
        raise DataFileError(f"{folder / 'wnids.txt'}: {len(classes)} classes where 200 are expected")
    files, labels = [], []
    for label, name in enumerate(classes):
        found = image_files(folder / "train" / name / "images")
        files += found
        labels += [label] * len(found)
    annotations = folder / "val" / "val_annotations.txt"
    named = [line.split("\t")[:2] for line in annotations.read_text().splitlines() if line]
    if wrong := [line for line in named if len(line) < 2 or line[1] not in classes]:
        raise DataFileError(f"{annotations}: a line with {wrong[0]}, not an image and its class")
    held = [folder / "val" / "images" / name for name, _ in named]
    return (
        _images(files, labels, _TINY, 3),
        _images(held, [classes.index(name) for _, name in named], _TINY, 3),
    )


def read_segmentation(config: SegmentationDataConfig, folder: Path) -> tuple[Images, Images]:
    """train/ and test/, each with images/ and masks/: a mask, PNG, has the name of its image, but for the suffix."""
    training, test = (_with_masks(config, folder / split) for split in ("train", "test"))
    return training, test


def count_segmentation(folder: Path) -> int:
    """Training images."""
    return len(image_files(folder / "train" / "images"))


def _with_masks(config: SegmentationDataConfig, folder: Path) -> Images:
    images = image_files(folder / "images")
    masks = {path.stem: path for path in image_files(folder / "masks")}
    if missing := [path for path in images if path.stem not in masks]:
        raise DataFileError(f"{missing[0]}: has no mask {folder / 'masks' / missing[0].stem}.png")
    if len(masks) != len(images):
        raise DataFileError(f"{folder}: {len(masks)} masks for {len(images)} images")
    side, of = config.image_size, {masks[path.stem]: path for path in images}
    return Images(
        decoded(images, partial(decode_image, side=side, channels=config.channels), (config.channels, side, side), "i"),
        decoded(
            list(of),
            lambda path: decode_mask(path, side, config.classes, image_size(of[path])),
            (side, side),
            f"masks of {config.classes}",
        ),
    )


def _images(files: list[Path], labels: list[int], side: int, channels: int) -> Images:
    decode = partial(decode_image, side=side, channels=channels)
    return Images(decoded(files, decode, (channels, side, side), "i"), np.array(labels, np.int64))


def class_folders(folder: Path) -> list[str]:
    """Names of the folders in a folder, one for each class, in the order of the labels."""
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _test_folder(folder: Path) -> Path:
    return next(folder / name for name in ("test", "val") if (folder / name).is_dir())


def _listed(folder: Path, classes: list[str]) -> tuple[list[Path], list[int]]:
    """The image files of a split and their labels. A class without a folder has no image there."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = image_files(folder / name) if (folder / name).is_dir() else []
        files += found
        labels += [label] * len(found)
    return files, labels


def image_files(folder: Path) -> list[Path]:
    """Those in a folder, in the order of their names. Raises DataFileError where there are none."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if not entry.name.startswith("."))
    except OSError as error:
        raise DataFileError(f"{folder}: {error.strerror}") from error
    files = [folder / name for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    if not files:
        raise DataFileError(f"{folder}: no images; looked for {', '.join(sorted(SUFFIXES))}")
    return files
