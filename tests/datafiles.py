"""Writes small data sets, each in its own format on disk."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import TypeAdapter

from trials.config import DataConfig, DatasetConfig
from trials.data.files import FILES

CIFAR = {
    "cifar10": [*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}


def data_config(**fields: Any) -> DataConfig:
    """A data set's configuration, of the type that its name asks for."""
    config: DataConfig = TypeAdapter(DatasetConfig).validate_python(fields)
    return config


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def write_idx(
    folder: Path,
    names: Sequence[str] = FILES,
    images: int = 100,
    compress: bool = False,
    first: int = 0,
    classes: int = 10,
) -> Path:
    """Four IDX files of random images; a fifth as many test images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name, count in zip(names, (images, images, images // 5, images // 5), strict=True):
        array = (
            rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
            if "images" in name
            else (first + np.arange(count) % classes).astype(np.uint8)
        )
        content = idx_bytes(array)
        (folder / (f"{name}.gz" if compress else name)).write_bytes(gzip.compress(content) if compress else content)
    return folder


def write_cifar(folder: Path, dataset: str, binary: bool, each: int = 20) -> np.ndarray[Any, Any]:
    """The files of CIFAR-10 or CIFAR-100 with `each` images in each; all pixels, (N, 3072), in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    everything = []
    for name in CIFAR[dataset]:
        pixels = rng.integers(0, 256, (each, 3072), dtype=np.uint8)
        labels = (np.arange(each) % 10).astype(np.uint8)
        everything.append(pixels)
        if binary:
            heads = labels[:, None] if dataset == "cifar10" else np.stack([labels // 5, labels], 1)
            (folder / f"{name}.bin").write_bytes(np.concatenate([heads, pixels], 1).tobytes())
        else:
            key = b"labels" if dataset == "cifar10" else b"fine_labels"
            content = {b"data": pixels, key: labels.tolist(), b"filenames": [b"x.png"] * each}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return np.concatenate(everything)


def write_image(path: Path, pixels: np.ndarray[Any, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_folder(root: Path, classes: Sequence[str] = ("cat", "dog"), each: int = 12, held: str = "test") -> Path:
    """A folder of PNG images for each class, each class with a grey of its own; 20x30 pixels."""
    for split, count in (("train", each), (held, each // 4)):
        for label, name in enumerate(classes):
            for index in range(count):
                write_image(root / split / name / f"{index}.png", np.full((20, 30, 3), 40 * label + index, np.uint8))
    return root


def write_segmentation(root: Path, train: int = 24, test: int = 6) -> Path:
    """Images, red channel 50 times the class of each pixel, with their masks: three classes and some ignored pixels."""
    rng = np.random.default_rng(2)
    for split, count in (("train", train), ("test", test)):
        for index in range(count):
            mask = rng.integers(0, 3, (12, 16), dtype=np.uint8)
            pixels = np.zeros((12, 16, 3), np.uint8)
            pixels[..., 0] = 50 * mask
            mask[:2, :2] = 255
            write_image(root / split / "images" / f"{index:03}.png", pixels)
            write_image(root / split / "masks" / f"{index:03}.png", mask)
    return root


def write_arrays(root: Path, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> Path:
    """train.npz of all samples, test.npz of the first ten."""
    root.mkdir(parents=True, exist_ok=True)
    np.savez(root / "train.npz", x=x, y=y)
    np.savez_compressed(root / "test.npz", x=x[:10], y=y[:10])
    return root
