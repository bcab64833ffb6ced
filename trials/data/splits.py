"""From a data set to the training, validation and test splits of a trial, on its device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trials.config import DataConfig
from trials.data.datasets import DATASETS, Images
from trials.data.files import locate

__all__ = ["Split", "load_test", "load_training"]


@dataclass(frozen=True)
class Split:
    """Images (N, C, H, W) as bytes and labels (N,), int64, both on the device; mean and std (C,) of the training
    split."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, images: Tensor) -> Tensor:
        """Bytes (N, C, H, W) -> floats of mean 0 and standard deviation 1 over the training split, on CUDA with the
        channels last in memory."""
        shape = (1, -1, 1, 1)
        layout = torch.channels_last if images.is_cuda else torch.preserve_format
        return (images.to(torch.float32, memory_format=layout) - self.mean.view(shape)) / self.std.view(shape)


def load_training(
    config: DataConfig, device: torch.device, data_dir: Path | None = None, hold_out: bool = True
) -> tuple[Split, Split | None]:
    """The training split, less the held-out part, and that part: stratified, drawn by `split_seed`.

    Mean and std are those of the data set's whole training split, so that they do not depend on what is held out.
    Without `hold_out` all is trained on and the second is None.
    Raises DataMissingError, IdxError, and ValueError where a split would leave a class without an image.
    """
    everything, _ = _read(config.dataset, data_dir)
    train, held_out = _indices(everything.labels, config, hold_out)
    mean, std = _statistics(everything.images)
    return (
        _split(everything, train, mean, std, device),
        _split(everything, held_out, mean, std, device) if held_out is not None else None,
    )


def load_test(config: DataConfig, device: torch.device, data_dir: Path | None = None) -> Split:
    """The test split, normalised as the training split is. Raises as `load_training` does."""
    everything, test = _read(config.dataset, data_dir)
    mean, std = _statistics(everything.images)
    return _split(test, np.arange(len(test.labels)), mean, std, device)


_READ: dict[tuple[str, Path | None], tuple[Images, Images]] = {}  # a worker runs many trials on the same files


def _read(dataset: str, data_dir: Path | None) -> tuple[Images, Images]:
    folder = locate(dataset, data_dir)
    if (dataset, folder) not in _READ:
        _READ.clear()
        _READ[dataset, folder] = DATASETS[dataset].read(folder)
    return _READ[dataset, folder]


def _indices(
    labels: NDArray[np.int64], config: DataConfig, hold_out: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    from sklearn.model_selection import train_test_split

    chosen = np.arange(len(labels))
    try:
        if config.limit is not None and config.limit < len(labels):
            chosen, _ = train_test_split(
                chosen, train_size=config.limit, random_state=config.split_seed, stratify=labels
            )
        if not hold_out:
            return np.sort(chosen), None
        train, held_out = train_test_split(
            chosen, test_size=config.validation, random_state=config.split_seed, stratify=labels[chosen]
        )
    except ValueError as error:
        raise ValueError(
            f"data.validation={config.validation}, data.limit={config.limit}: {len(chosen)} images cannot be split "
            f"by class: {error}"
        ) from error
    return np.sort(train), np.sort(held_out)


def _statistics(images: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation per channel, exactly, from the histogram of the bytes."""
    counts = np.stack([np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])])
    values = np.arange(256, dtype=np.float64)
    share = counts / counts.sum(1, keepdims=True)
    mean = share @ values
    std = np.sqrt((share * (values - mean[:, None]) ** 2).sum(1))
    return torch.from_numpy(mean).float(), torch.from_numpy(np.maximum(std, 1.0)).float()


def _split(images: Images, chosen: NDArray[np.int64], mean: Tensor, std: Tensor, device: torch.device) -> Split:
    return Split(
        torch.from_numpy(images.images[chosen]).to(device),
        torch.from_numpy(images.labels[chosen]).to(device),
        mean.to(device),
        std.to(device),
    )
