"""`predict`: what a trained model says of image files and of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kansearch.errors import InputError, KansearchError

if TYPE_CHECKING:
    from trials.data.samples import Sample

__all__ = ["predict"]


def predict(
    folder: Path,
    inputs: Sequence[Path],
    *,
    top: int | None = None,
    resize: bool = False,
    batch: int = 64,
    masks: Path | None = None,
) -> list[dict[str, Any]]:
    """Return the prediction of the model in `folder` for each sample in `inputs`, in their order.

    Args:
        folder: of `kansearch retrain`, or one seed's in it.
        inputs: image files, folders of image files, .npy and .npz files.
        top: how many of the likeliest classes are named; None: one.
        resize: scale and crop images that are not of the model's size.
        batch: samples at once.
        masks: folder to write the classes of the pixels into, a PNG file for each sample; made if missing.

    Returns:
        For each sample `file`, `index` in it (None of an image), and the likeliest `class` with its number, `label`,
        and its `probability`; `top` has the same three of the likeliest classes, that one first. Of a model with a
        class for each pixel `file`, `index`, `shares`, of the pixels that are of each class, and `mask`, the file that
        was written, or None.

    Raises:
        InputError: an input is missing, is not what the model takes, or is damaged; `top` or `masks` is not for this
            model. KansearchError: the model is missing or damaged, or a mask can't be written.
    """
    from trials.data.errors import DataError
    from trials.data.samples import read_samples, sample_files
    from trials.saved import ModelError, Predictor

    try:
        files = sample_files(inputs)
        predictor = Predictor(folder)
        dense = predictor.shape.dense
        if dense and top is not None:
            raise InputError("--top: this model has a class for each pixel; every class's share is printed anyway")
        if masks is not None and not dense:
            raise InputError("-o: this model has one class for each image, and no mask to write")
        samples = read_samples(files, predictor.config.data, resize)
        writer = _Masks(masks, files) if masks is not None else None
        return [
            _pixels(sample, probabilities, predictor.classes, writer)
            if dense
            else _whole(sample, probabilities, predictor.classes, top or 1)
            for sample, probabilities in predictor.predict(samples, batch)
        ]
    except ModelError as error:
        raise KansearchError(str(error)) from error
    except DataError as error:
        raise InputError(str(error)) from error


def _whole(sample: Sample, probabilities: NDArray[np.float32], classes: Sequence[str], top: int) -> dict[str, Any]:
    best = np.argsort(-probabilities, kind="stable")[:top]
    rows = [{"class": classes[each], "label": int(each), "probability": float(probabilities[each])} for each in best]
    return {"file": str(sample.file), "index": sample.index, **rows[0], "top": rows}


def _pixels(
    sample: Sample, probabilities: NDArray[np.float32], classes: Sequence[str], masks: _Masks | None
) -> dict[str, Any]:
    labels = probabilities.argmax(0)
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    shares = {name: float(count / labels.size) for name, count in zip(classes, counts, strict=True)}
    mask = None if masks is None else str(masks.write(sample, labels.astype(np.uint8)))
    return {"file": str(sample.file), "index": sample.index, "shares": shares, "mask": mask}


class _Masks:
    """Writes a PNG file for each sample, one byte for each pixel: its class. Never over what was given."""

    def __init__(self, folder: Path, given: Sequence[Path]) -> None:
        self._folder, self._taken = folder, {path.resolve() for path in given}

    def write(self, sample: Sample, labels: NDArray[np.uint8]) -> Path:
        stem = sample.file.stem if sample.index is None else f"{sample.file.stem}-{sample.index}"
        path = self._folder / f"{stem}.png"
        if path.resolve() in self._taken:
            raise InputError(f"-o: the mask of {sample} would be written over {path}; give another folder, or fewer")
        self._taken.add(path.resolve())
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(path)
        except OSError as error:
            raise KansearchError(f"cannot write {path}: {error.strerror or error}") from error
        return path
