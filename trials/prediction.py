"""What a trained model says of samples: a probability for each class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trials.data.samples import Sample
from trials.step import autocast, working_precision
from trials.trained import load_model

__all__ = ["Predictor"]


class Predictor:
    """A model in a folder of `kansearch retrain`, ready to be asked; it computes as it was measured.

    device: where it computes; None: on the GPU where there is one. Raises ModelError as `load_model`.
    """

    def __init__(self, folder: str | Path, device: torch.device | str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.config = load_model(folder, self.device)
        self.shape, self.classes = self.model.shape, self.model.classes
        self._precision = working_precision(self.config.precision, self.device)

    @torch.no_grad()
    def probabilities(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Real numbers (N, C, *size), as the data set has them -> (N, classes), float32, which sum to 1; (N, classes,
        *size) where the model has a class for each pixel."""
        given = torch.from_numpy(np.ascontiguousarray(samples, np.float32)).to(self.device)
        with autocast(self.device, self._precision):
            logits = self.model(given)
        probabilities: NDArray[np.float32] = logits.softmax(1).cpu().numpy()
        return probabilities

    def predict(self, samples: Iterable[Sample], batch: int) -> Iterator[tuple[Sample, NDArray[np.float32]]]:
        """Each sample with its probabilities, (classes,) or (classes, *size); `batch` samples at once."""
        rest = iter(samples)
        while chosen := list(islice(rest, batch)):
            yield from zip(chosen, self.probabilities(_stacked(chosen)), strict=True)


def _stacked(samples: Sequence[Sample]) -> NDArray[np.float32]:
    return np.stack([sample.values.astype(np.float32) for sample in samples])
