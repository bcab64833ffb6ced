"""Where a data set's files lie. Loads no torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trials.data.errors import DataMissingError

__all__ = ["FILES", "LAYOUTS", "DataMissingError", "Layout", "cache_folder", "idx_file", "locate"]

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of MNIST and its relatives, plain or with .gz."""


@dataclass(frozen=True)
class Layout:
    """The files, and folders/, of a data set. `alternatives` to each other lie together, directly in a place that is
    looked in or in one of `folders` there. `fetched` is where the download puts them, None where there is none."""

    alternatives: tuple[tuple[str, ...], ...]
    folders: tuple[str, ...]
    fetched: str | None = None


def _idx(name: str, folder: str, files: tuple[str, ...] = FILES) -> Layout:
    return Layout((files,), (name, f"{folder}/raw"), f"{folder}/raw")


def _emnist(split: str) -> Layout:
    parts = [(kind, content) for kind in ("train", "test") for content in ("images-idx3", "labels-idx1")]
    files = tuple(f"emnist-{split}-{kind}-{content}-ubyte" for kind, content in parts)
    layout = _idx("emnist", "EMNIST", files)
    return Layout(layout.alternatives, (*layout.folders, "emnist/gzip", "gzip"), layout.fetched)


_SPLIT_FOLDERS = (("train/", "test/"), ("train/", "val/"))
LAYOUTS: dict[str, Layout] = {
    "mnist": _idx("mnist", "MNIST"),
    "fashion_mnist": _idx("fashion_mnist", "FashionMNIST"),
    "kmnist": _idx("kmnist", "KMNIST"),
    **{f"emnist_{each}": _emnist(each) for each in ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")},
    "svhn": Layout((("train_32x32.mat", "test_32x32.mat"),), ("svhn", "SVHN"), "SVHN"),
    "cifar10": Layout(
        (
            (*(f"data_batch_{batch}.bin" for batch in range(1, 6)), "test_batch.bin"),
            (*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"),
        ),
        ("cifar10", "cifar-10-batches-bin", "cifar-10-batches-py", "CIFAR10/cifar-10-batches-py"),
        "CIFAR10/cifar-10-batches-py",
    ),
    "cifar100": Layout(
        (("train.bin", "test.bin"), ("train", "test")),
        ("cifar100", "cifar-100-binary", "cifar-100-python", "CIFAR100/cifar-100-python"),
        "CIFAR100/cifar-100-python",
    ),
    "tiny_imagenet": Layout(
        (("wnids.txt", "train/", "val/val_annotations.txt"),),
        ("tiny_imagenet", "tiny-imagenet-200"),
        "tiny-imagenet-200",
    ),
    "imagefolder": Layout(_SPLIT_FOLDERS, ("imagefolder",)),
    "imagenet": Layout(_SPLIT_FOLDERS, ("imagenet", "ImageNet")),
    "segmentation": Layout(
        (tuple(f"{split}/{content}/" for split in ("train", "test") for content in ("images", "masks")),),
        ("segmentation",),
    ),
    "arrays": Layout((("train.npz", "test.npz"),), ("arrays",)),
}
_ONE_FILE = "file:"
_SYSTEM = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
_PACKAGES = {"fashion_mnist": "dataset-fashion-mnist"}
_TINY_IMAGENET = ("http://cs231n.stanford.edu/tiny-imagenet-200.zip", "90528d7ca1a48142e341f4ef8d21d0de")  # its MD5


def locate(dataset: str, data_dir: Path | None = None, *, download: bool = True) -> Path | None:
    """The folder that holds the files of `dataset`, a `DataConfig.source`; None for one that has no files, such as
    `digits`, which comes with scikit-learn. Of `file:PATH` it is the file: there, or by its name in `data_dir` or
    $KANSEARCH_DATA.

    Looked in, in this order: `data_dir`, $KANSEARCH_DATA, ~/.cache/kansearch, and for fashion_mnist the folder of the
    Debian package; in each the files may lie directly, in `<dataset>/`, or as torchvision lays them out, in
    `FashionMNIST/raw/`. At last, if `download`, torchvision fetches them into ~/.cache/kansearch and checks them.
    Raises DataMissingError where that fails too.
    """
    if dataset.startswith(_ONE_FILE):
        return _one_file(Path(dataset.removeprefix(_ONE_FILE)), data_dir)
    if dataset not in LAYOUTS:
        return None
    places, layout = _places(dataset, data_dir), LAYOUTS[dataset]
    for root in places:
        for folder in (root, *(root / name for name in layout.folders)):
            if any(all(idx_file(folder, name) for name in files) for files in layout.alternatives):
                return folder
    failure = "not tried"
    if layout.fetched is None:
        failure = "there is none to download"
    elif download and (failure := _download(dataset) or "") == "":
        return cache_folder() / layout.fetched
    raise DataMissingError(_message(dataset, places, failure))


def _one_file(file: Path, data_dir: Path | None) -> Path:
    places = [file, *(root / file.name for root in _places("", data_dir)[:-1])]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataMissingError(
            f"{file}: no such file, and no {file.name} in the folder named by --data-dir or $KANSEARCH_DATA"
        )
    return found


def idx_file(folder: Path, name: str) -> Path | None:
    """`name` or `name`.gz in `folder`, whichever is a file; a name that ends with / is a folder's."""
    if name.endswith("/"):
        return folder / name if os.path.isdir(folder / name) else None
    return next((path for path in (folder / name, folder / f"{name}.gz") if os.path.isfile(path)), None)


def cache_folder() -> Path:
    """Where downloads and decoded images go."""
    return Path.home() / ".cache" / "kansearch"


def _places(dataset: str, data_dir: Path | None) -> list[Path]:
    named = [Path(data_dir)] if data_dir else []
    if os.environ.get("KANSEARCH_DATA"):
        named.append(Path(os.environ["KANSEARCH_DATA"]))
    system = [_SYSTEM[dataset]] if dataset in _SYSTEM else []
    return [*named, cache_folder(), *system]


def _download(dataset: str) -> str | None:
    """Let torchvision fetch the files, with progress on stderr and its checksums; the reason where it can't."""
    try:
        with redirect_stdout(sys.stderr):  # torchvision prints
            _fetch(dataset, cache_folder())
    except (OSError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _fetch(dataset: str, root: Path) -> None:
    from torchvision import datasets
    from torchvision.datasets.utils import download_and_extract_archive

    types: dict[str, Any] = {
        "mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST
    }  # fmt: skip
    if dataset in types:
        types[dataset](root, download=True)
    elif dataset.startswith("emnist_"):
        datasets.EMNIST(root, split=dataset.removeprefix("emnist_"), download=True)
    elif dataset == "svhn":
        for split in ("train", "test"):
            datasets.SVHN(root / "SVHN", split=split, download=True)
    elif dataset == "cifar10":
        datasets.CIFAR10(root / "CIFAR10", download=True)
    elif dataset == "cifar100":
        datasets.CIFAR100(root / "CIFAR100", download=True)
    else:
        url, checksum = _TINY_IMAGENET
        download_and_extract_archive(url, str(root), md5=checksum, remove_finished=True)


def _message(dataset: str, places: Sequence[Path], failure: str) -> str:
    package = f"`apt-get install {_PACKAGES[dataset]}`; " if dataset in _PACKAGES else ""
    layout = LAYOUTS[dataset]
    wanted = ", or ".join(", ".join(files) for files in layout.alternatives)
    gzipped = ", plain or .gz," if wanted.endswith("ubyte") else ""
    tried = f"and the download failed ({failure})" if layout.fetched else f"and {failure}"
    return (
        f"data set {dataset} not found: looked in {', '.join(map(str, places))} (also in "
        f"{' and '.join(f'{name}/' for name in layout.folders)} there) for {wanted}{gzipped} {tried}. "
        f"Ways out: {package}put the files into a folder and name it with --data-dir or $KANSEARCH_DATA"
    )
