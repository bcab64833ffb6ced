"""From a data set to the training, validation and test splits of a trial, on its device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trials.config import DataConfig
from trials.data import stream
from trials.data.datasets import data_folder, read
from trials.data.images import IGNORED, Images
from trials.data.names import class_names
from trials.data.parts import part_indices
from trials.data.shape import DataShape
from trials.data.statistics import Statistics, channel_statistics
from trials.data.stream import does_not_fit

__all__ = [
    "IGNORED",
    "Split",
    "Targets",
    "load_statistics",
    "load_targets",
    "load_test",
    "load_training",
    "random_split",
]


@dataclass(frozen=True)
class Targets:
    """Mean and standard deviation of each target of a regression over what is trained on, (outputs,), float64."""

    mean: Tensor
    std: Tensor
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Samples (N, C, *size), bytes or floats, and labels, both on the device.

    mean, std: (C,), what is subtracted from a sample and what divides it before the network.

    labels: (N,), int64; or a mask for each sample, (N, *size), bytes, where `IGNORED` is no class: int64 in a batch.
    Those of a regression are its targets, (N, outputs), float64, standardised by `targets`.
    A split that is streamed has `rows`, (N,), on the host. Its samples are those rows of `images`, which is on the host
    too, and so are its masks of `labels`. Labels without masks are its own, on the device.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    rows: Tensor | None = None
    targets: Targets | None = None

    @property
    def dense(self) -> bool:
        """Whether there is a class for each pixel."""
        return self.labels.dim() > 1 and self.targets is None

    def __len__(self) -> int:
        return len(self.labels if self.rows is None else self.rows)

    @property
    def device(self) -> torch.device:
        """Where its batches are."""
        return self.mean.device

    def batches(self, order: Sequence[Tensor] | Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Samples as they are, and labels, of each of `order`: (B,), from 0 to N - 1, on the device."""
        if self.rows is None:
            for chosen in order:
                yield self.images[chosen], self.labels[chosen]
            return
        host = order.cpu() if isinstance(order, Tensor) else [chosen.cpu() for chosen in order]
        rows = [self.rows[chosen] for chosen in host]
        if self.dense:
            for images, labels in stream.batches((self.images, self.labels), rows, self.device):
                yield images, labels
        else:
            for chosen, (images,) in zip(order, stream.batches((self.images,), rows, self.device), strict=True):
                yield images, self.labels[chosen]

    def normalised(self, images: Tensor) -> Tensor:
        """Samples (N, C, *size) -> (samples - mean) / std, floats, images on CUDA with the channels last in memory.

        Rows of numbers stay float64: a network takes the precision that it has.
        """
        shape = (1, -1, *(1 for _ in images.shape[2:]))
        layout = torch.channels_last if images.is_cuda and images.dim() == 4 else torch.preserve_format
        number = torch.float64 if images.dtype == torch.float64 else torch.float32
        return (images.to(number, memory_format=layout) - self.mean.view(shape)) / self.std.view(shape)


def load_training(
    config: DataConfig,
    device: torch.device,
    data_dir: Path | None = None,
    hold_out: bool = True,
    streamed: bool | None = None,
) -> tuple[Split, Split | None]:
    """The training split, less the held-out part, and that part: stratified, drawn by `split_seed`.

    Mean and std are `load_statistics`. For images they do not depend on what is held out. For rows of numbers, and for
    their targets, they are those of the part that is trained on.
    Without `hold_out` all is trained on and the second is None. `streamed` leaves the samples where they are and reads
    them batch by batch, with the same numbers; None: where they do not fit. Raises DataError, and ValueError where a
    split would leave a class without an image or `pixels` needs bytes.

    The last one is kept on its device: a worker trains many configurations on the same split. Nobody may change it.
    """
    everything, _ = _read(config, data_dir)
    if streamed is None:
        count = len(everything) if config.limit is None else min(config.limit, len(everything))
        streamed = does_not_fit(everything.size(count), device)
    place = torch.empty(0, device=device).device  # "cuda" is another device after `torch.cuda.set_device`
    wanted = (config.validation, config.limit, config.split_seed, config.pixels, hold_out, streamed, place)
    for images, made, splits in _KEPT:
        if images is everything and made == wanted:
            return splits
    _KEPT.clear()  # before the next one needs memory
    train, held_out = part_indices(everything.labels, config, hold_out)
    statistics, targets = _statistics(config, everything, train), _targets(config, everything, train, device)
    splits = (
        _split(everything, train, statistics, device, streamed, targets),
        _split(everything, held_out, statistics, device, streamed, targets) if held_out is not None else None,
    )
    _KEPT.append((everything, wanted, splits))
    return splits


def load_test(
    config: DataConfig,
    device: torch.device,
    data_dir: Path | None = None,
    streamed: bool | None = None,
    hold_out: bool = False,
) -> Split:
    """The test split, normalised as the training split is. Arguments and errors are those of `load_training`.

    hold_out: how the network was trained, which matters for rows of numbers alone.
    """
    everything, test = _read(config, data_dir)
    if streamed is None:
        streamed = does_not_fit(test.size(len(test)), device)
    train = _trained_on(config, everything, hold_out)
    statistics, targets = _statistics(config, everything, train), _targets(config, everything, train, device)
    return _split(test, np.arange(len(test)), statistics, device, streamed, targets)


def load_statistics(config: DataConfig, data_dir: Path | None = None, hold_out: bool = False) -> Statistics:
    """The numbers that `config.pixels` subtracts from each channel, and those that divide it, (C,) each.

    "standard": mean and standard deviation of the whole training split; of rows of numbers, of the part that is trained
    on. Raises DataError, and ValueError where bytes are needed.
    """
    everything, _ = _read(config, data_dir)
    return _statistics(config, everything, _trained_on(config, everything, hold_out))


def load_targets(config: DataConfig, data_dir: Path | None = None, hold_out: bool = False) -> Targets | None:
    """The statistics of a regression's targets, on the CPU; None where classes are asked. Raises DataError."""
    everything, _ = _read(config, data_dir)
    return _targets(config, everything, _trained_on(config, everything, hold_out), torch.device("cpu"))


def random_split(shape: DataShape, count: int, device: torch.device, dtype: torch.dtype = torch.uint8) -> Split:
    """Random samples of a shape, 0 to 255, or normal numbers in rows, and labels: what a step takes can be measured on
    them."""
    if not shape.size:
        return _random_rows(shape, count, device)
    middle = torch.full((shape.channels,), 127.5, device=device)
    pixels = torch.randint(256, (count, shape.channels, *shape.size), dtype=dtype, device=device)
    labels = torch.randint(shape.classes, (count, *shape.size) if shape.dense else (count,), device=device)
    return Split(pixels, labels.to(torch.uint8) if shape.dense else labels, middle, middle / 3**0.5)


def _random_rows(shape: DataShape, count: int, device: torch.device) -> Split:
    numbers: dict[str, Any] = {"dtype": torch.float64, "device": device}
    rows = torch.randn(count, shape.channels, **numbers)
    mean, std = torch.zeros(shape.channels, **numbers), torch.ones(shape.channels, **numbers)
    if not shape.regression:
        return Split(rows, torch.randint(shape.classes, (count,), device=device), mean, std)
    targets = Targets(torch.zeros(shape.classes, **numbers), torch.ones(shape.classes, **numbers))
    return Split(rows, torch.randn(count, shape.classes, **numbers), mean, std, targets=targets)


_KEPT: list[tuple[Images, tuple[Any, ...], tuple[Split, Split | None]]] = []  # one at most: see `load_training`
_READ: dict[tuple[str, Path | None], tuple[Images, Images]] = {}  # a worker runs many trials on the same files


def _read(config: DataConfig, data_dir: Path | None) -> tuple[Images, Images]:
    folder = data_folder(config, data_dir)
    key = (_identity(config), folder)
    if key not in _READ:
        _READ.clear()
        _READ[key] = read(config, folder)
    return _READ[key]


def _statistics(config: DataConfig, everything: Images, train: NDArray[np.int64]) -> Statistics:
    if _has_rows(everything):
        return channel_statistics(everything.images[train])
    if config.pixels == "standard":
        return everything.statistics
    if everything.images.dtype != np.uint8:
        raise ValueError(f"data.pixels={config.pixels} needs images of bytes, not floats; use standard")
    centre, half = {"unit": (0.0, 255.0), "symmetric": (127.5, 127.5)}[config.pixels]
    channels = everything.images.shape[1]
    return np.full(channels, centre, np.float32), np.full(channels, half, np.float32)


def _targets(config: DataConfig, everything: Images, train: NDArray[np.int64], device: torch.device) -> Targets | None:
    """The statistics of the targets that are trained on; None where labels are classes."""
    if everything.labels.dtype != np.float64:
        return None
    mean, std = channel_statistics(everything.labels[train])
    names = tuple(class_names(config))
    return Targets(torch.from_numpy(mean).to(device), torch.from_numpy(std).to(device), names)


def _trained_on(config: DataConfig, everything: Images, hold_out: bool) -> NDArray[np.int64]:
    """The rows that are trained on; of images, whose statistics do not depend on it, all."""
    if not _has_rows(everything):
        return np.arange(len(everything))
    return part_indices(everything.labels, config, hold_out)[0]


def _has_rows(everything: Images) -> bool:
    """Whether samples are rows of numbers."""
    return everything.images.ndim == 2


def _identity(config: DataConfig) -> str:
    """The data set's name, and its own fields where it has some."""
    own = config.model_dump(mode="json", exclude=set(DataConfig.model_fields))
    return f"{config.dataset} {own}" if own else config.dataset


def _split(
    images: Images,
    chosen: NDArray[np.int64],
    statistics: Statistics,
    device: torch.device,
    streamed: bool,
    targets: Targets | None,
) -> Split:
    mean, std = (torch.from_numpy(each).to(device) for each in statistics)
    if not streamed:
        samples, labels = (torch.from_numpy(each[chosen]).to(device) for each in (images.images, images.labels))
        return Split(samples, _standardised(labels, targets), mean, std, targets=targets)
    masks = images.labels.ndim > 1 and targets is None
    labels = torch.from_numpy(images.labels) if masks else torch.from_numpy(images.labels[chosen]).to(device)
    labels = _standardised(labels, targets)
    return Split(torch.from_numpy(images.images), labels, mean, std, torch.from_numpy(chosen), targets)


def _standardised(labels: Tensor, targets: Targets | None) -> Tensor:
    return labels if targets is None else (labels - targets.mean) / targets.std
