"""Where a data set's files lie. Loads no torch."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

__all__ = ["FILES", "DataMissingError", "locate"]

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of each data set but `digits`, plain or with .gz."""

_FOLDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
_SYSTEM = {"fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}
_PACKAGES = {"fashion_mnist": "dataset-fashion-mnist"}


class DataMissingError(FileNotFoundError):
    """A data set's files are nowhere; the message names every place looked in and every way out."""


def locate(dataset: str, data_dir: Path | None = None, *, download: bool = True) -> Path | None:
    """The folder that holds the four files of `dataset`; None for `digits`, which comes with scikit-learn.

    Looked in, in this order: `data_dir`, $KANSEARCH_DATA, ~/.cache/kansearch, and for fashion_mnist the folder of the
    Debian package; in each the files may lie directly, in `<dataset>/`, or as torchvision lays them out, in
    `FashionMNIST/raw/`. At last, if `download`, torchvision fetches them into ~/.cache/kansearch. Raises
    DataMissingError where that fails too.
    """
    if dataset == "digits":
        return None
    places = _places(dataset, data_dir)
    for root in places:
        for folder in (root, root / dataset, root / _FOLDERS[dataset] / "raw"):
            if all(idx_file(folder, name) for name in FILES):
                return folder
    failure = _download(dataset) if download else "not tried"
    if failure:
        raise DataMissingError(_message(dataset, places, failure))
    return _cache() / _FOLDERS[dataset] / "raw"


def idx_file(folder: Path, name: str) -> Path | None:
    """`name` or `name`.gz in `folder`, whichever is a file."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if os.path.isfile(path)), None)


def _cache() -> Path:
    return Path.home() / ".cache" / "kansearch"


def _places(dataset: str, data_dir: Path | None) -> list[Path]:
    named = [Path(data_dir)] if data_dir else []
    if os.environ.get("KANSEARCH_DATA"):
        named.append(Path(os.environ["KANSEARCH_DATA"]))
    system = [_SYSTEM[dataset]] if dataset in _SYSTEM else []
    return [*named, _cache(), *system]


def _download(dataset: str) -> str | None:
    """Let torchvision fetch the files; the reason where it can't."""
    from torchvision import datasets

    types: dict[str, Any] = {
        "mnist": datasets.MNIST, "fashion_mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST
    }  # fmt: skip
    try:
        with redirect_stdout(sys.stderr):  # torchvision prints
            types[dataset](_cache(), download=True)
    except (OSError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


def _message(dataset: str, places: list[Path], failure: str) -> str:
    package = f"`apt-get install {_PACKAGES[dataset]}`; " if dataset in _PACKAGES else ""
    return (
        f"data set {dataset} not found: looked in {', '.join(map(str, places))} (also in {dataset}/ and "
        f"{_FOLDERS[dataset]}/raw/ there) for {', '.join(FILES)}, plain or .gz, and the download failed ({failure}). "
        f"Ways out: {package}put the files into a folder and name it with --data-dir or $KANSEARCH_DATA"
    )
