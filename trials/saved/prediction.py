"""Answers of a trained model: a probability of each class for given samples, and a class for each test image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trials.config import TrialConfig
from trials.data.samples import Sample
from trials.data.splits import Split, load_test
from trials.saved.trained import ModelError, as_trained, load_model
from trials.training.step import autocast, predict, working_precision

__all__ = ["Answers", "Predictor", "answer_test"]


class Predictor:
    """A model in a folder of `kansearch retrain`, ready to be asked; it computes as it was measured.

    device: where it computes; None: on the GPU where there is one. Raises ModelError as `load_model`.
    """

    def __init__(self, folder: str | Path, device: torch.device | str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.config = load_model(folder, self.device)
        self.shape, self.classes = self.model.shape, self.model.classes
        self._precision = working_precision(self.config.numbers, self.device)

    @torch.no_grad()
    def probabilities(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Real numbers (N, C, *size), as the data set has them -> (N, classes), float32, which sum to 1; (N, classes,
        *size) where the model has a class for each pixel."""
        probabilities: NDArray[np.float32] = self._outputs(samples).softmax(1).cpu().numpy()
        return probabilities

    @torch.no_grad()
    def numbers(self, samples: NDArray[Any]) -> NDArray[np.float64]:
        """Rows of numbers (N, F), encoded as in training -> what a regression says, (N, outputs), in the targets'
        units."""
        numbers: NDArray[np.float64] = self._outputs(samples).cpu().numpy()
        return numbers

    def _outputs(self, samples: NDArray[Any]) -> Tensor:
        number = np.float32 if self.shape.size else np.float64
        given = torch.from_numpy(np.ascontiguousarray(samples, number)).to(self.device)
        with autocast(self.device, self._precision):
            outputs: Tensor = self.model(given)
        return outputs

    def predict(self, samples: Iterable[Sample], batch: int) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
        """Each sample with its probabilities, (classes,) or (classes, *size); `batch` samples at once."""
        rest = iter(samples)
        while chosen := list(islice(rest, batch)):
            yield from zip(chosen, self.probabilities(_stacked(chosen)), strict=True)


def _stacked(samples: Sequence[Sample]) -> NDArray[np.float32]:
    return np.stack([sample.values.astype(np.float32) for sample in samples])


@dataclass(frozen=True)
class Answers:
    """A model on the test split of its data set."""

    config: TrialConfig
    right: NDArray[np.bool_]
    """(N,): whether it classifies each image rightly."""
    sha256: str
    """SHA-256 of the images and their labels, in their order."""


@torch.no_grad()
def answer_test(folder: Path, data_dir: Path | None = None, device: torch.device | str | None = None) -> Answers:
    """The model in a folder on each image of the test split, as `trials.training.run.evaluate` computes it.

    Raises ModelError as `load_model` and for a model with a class for each pixel, and DataError.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model, config = load_model(folder, place)
    if model.shape.dense:
        raise ModelError(f"{folder}: has a class for each pixel, and no image that is right or wrong")
    if model.shape.regression:
        raise ModelError(f"{folder}: predicts numbers, none of which is right or wrong; compare their metrics.json")
    split = as_trained(model, load_test(config.data, place, data_dir))
    predicted = predict(model.network, split, working_precision(config.numbers, place)).argmax(1)
    return Answers(config, (predicted == split.labels).cpu().numpy(), _checksum(split))


def _checksum(split: Split) -> str:
    digest = hashlib.sha256()
    for each in (split.images, split.labels):
        array = each.cpu().numpy()
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
