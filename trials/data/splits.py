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
from trials.data.shape import DataShape
from trials.data.statistics import Statistics
from trials.data.stratified import train_test_split
from trials.data.stream import does_not_fit

__all__ = ["IGNORED", "Split", "load_statistics", "load_test", "load_training", "random_split"]


@dataclass(frozen=True)
class Split:
    """Samples (N, C, *size), bytes or floats, and labels, both on the device.

    mean, std: (C,), what is subtracted from a sample and what divides it before the network.

    labels: (N,), int64; or a mask for each sample, (N, *size), bytes, where `IGNORED` is no class: int64 in a batch.
    A split that is streamed has `rows`, (N,), on the host. Its samples are those rows of `images`, which is on the host
    too, and so are its masks of `labels`. Labels without masks are its own, on the device.
    """

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor
    rows: Tensor | None = None

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
        if self.labels.dim() > 1:
            for images, labels in stream.batches((self.images, self.labels), rows, self.device):
                yield images, labels
        else:
            for chosen, (images,) in zip(order, stream.batches((self.images,), rows, self.device), strict=True):
                yield images, self.labels[chosen]

    def normalised(self, images: Tensor) -> Tensor:
        """Samples (N, C, *size) -> (samples - mean) / std, floats, images on CUDA with the channels last in memory."""
        shape = (1, -1, *(1 for _ in images.shape[2:]))
        layout = torch.channels_last if images.is_cuda and images.dim() == 4 else torch.preserve_format
        return (images.to(torch.float32, memory_format=layout) - self.mean.view(shape)) / self.std.view(shape)


def load_training(
    config: DataConfig,
    device: torch.device,
    data_dir: Path | None = None,
    hold_out: bool = True,
    streamed: bool | None = None,
) -> tuple[Split, Split | None]:
    """The training split, less the held-out part, and that part: stratified, drawn by `split_seed`.

    Mean and std are `load_statistics`, which do not depend on what is held out.
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
    train, held_out = _indices(everything.labels, config, hold_out)
    statistics = _statistics(config, everything)
    splits = (
        _split(everything, train, statistics, device, streamed),
        _split(everything, held_out, statistics, device, streamed) if held_out is not None else None,
    )
    _KEPT.append((everything, wanted, splits))
    return splits


def load_test(
    config: DataConfig, device: torch.device, data_dir: Path | None = None, streamed: bool | None = None
) -> Split:
    """The test split, normalised as the training split is. Arguments and errors are those of `load_training`."""
    everything, test = _read(config, data_dir)
    if streamed is None:
        streamed = does_not_fit(test.size(len(test)), device)
    return _split(test, np.arange(len(test)), _statistics(config, everything), device, streamed)


def load_statistics(config: DataConfig, data_dir: Path | None = None) -> Statistics:
    """The numbers that `config.pixels` subtracts from each channel, and those that divide it, (C,) each.

    "standard": mean and standard deviation of the whole training split. Raises DataError, and ValueError where bytes
    are needed.
    """
    everything, _ = _read(config, data_dir)
    return _statistics(config, everything)


def random_split(shape: DataShape, count: int, device: torch.device, dtype: torch.dtype = torch.uint8) -> Split:
    """Random samples of a shape, 0 to 255, and labels: what a step takes can be measured on them."""
    middle = torch.full((shape.channels,), 127.5, device=device)
    pixels = torch.randint(256, (count, shape.channels, *shape.size), dtype=dtype, device=device)
    labels = torch.randint(shape.classes, (count, *shape.size) if shape.dense else (count,), device=device)
    return Split(pixels, labels.to(torch.uint8) if shape.dense else labels, middle, middle / 3**0.5)


_KEPT: list[tuple[Images, tuple[Any, ...], tuple[Split, Split | None]]] = []  # one at most: see `load_training`
_READ: dict[tuple[str, Path | None], tuple[Images, Images]] = {}  # a worker runs many trials on the same files


def _read(config: DataConfig, data_dir: Path | None) -> tuple[Images, Images]:
    folder = data_folder(config, data_dir)
    key = (_identity(config), folder)
    if key not in _READ:
        _READ.clear()
        _READ[key] = read(config, folder)
    return _READ[key]


def _statistics(config: DataConfig, everything: Images) -> Statistics:
    if config.pixels == "standard":
        return everything.statistics
    if everything.images.dtype != np.uint8:
        raise ValueError(f"data.pixels={config.pixels} needs images of bytes, not floats; use standard")
    centre, half = {"unit": (0.0, 255.0), "symmetric": (127.5, 127.5)}[config.pixels]
    channels = everything.images.shape[1]
    return np.full(channels, centre, np.float32), np.full(channels, half, np.float32)


def _identity(config: DataConfig) -> str:
    """The data set's name, and its own fields where it has some."""
    own = config.model_dump(mode="json", exclude=set(DataConfig.model_fields))
    return f"{config.dataset} {own}" if own else config.dataset


def _indices(
    labels: NDArray[np.int64], config: DataConfig, hold_out: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Masks are not stratified."""
    chosen, dense = np.arange(len(labels)), labels.ndim > 1
    try:
        if config.limit is not None and config.limit < len(labels):
            chosen, _ = train_test_split(
                chosen, train_size=config.limit, random_state=config.split_seed, stratify=None if dense else labels
            )
        if not hold_out:
            return np.sort(chosen), None
        train, held_out = train_test_split(
            chosen,
            test_size=config.validation,
            random_state=config.split_seed,
            stratify=None if dense else labels[chosen],
        )
    except ValueError as error:
        raise ValueError(
            f"data.validation={config.validation}, data.limit={config.limit}: {len(chosen)} images cannot be split "
            f"by class: {error}"
        ) from error
    return np.sort(train), np.sort(held_out)


def _split(
    images: Images, chosen: NDArray[np.int64], statistics: Statistics, device: torch.device, streamed: bool
) -> Split:
    mean, std = (torch.from_numpy(each).to(device) for each in statistics)
    if not streamed:
        samples, labels = (torch.from_numpy(each[chosen]).to(device) for each in (images.images, images.labels))
        return Split(samples, labels, mean, std)
    masks = images.labels.ndim > 1
    labels = torch.from_numpy(images.labels) if masks else torch.from_numpy(images.labels[chosen]).to(device)
    return Split(torch.from_numpy(images.images), labels, mean, std, torch.from_numpy(chosen))
