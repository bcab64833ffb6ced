"""`retrain`, `load_model` and `Model`: from an exported configuration to predictions on arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError

if TYPE_CHECKING:
    import torch
    from numpy.typing import ArrayLike, NDArray

    from trials.config import TrialConfig

__all__ = ["Model", "load_model", "retrain"]


def retrain(
    config: str | Path,
    folder: str | Path,
    *,
    epochs: int | None = None,
    seeds: int = 1,
    home: str | Path = "studies",
    tracking_uri: str | None = None,
    data_dir: str | Path | None = None,
    trust_data: Sequence[str] = (),
    progress: bool = True,
) -> dict[str, Any]:
    """Train a configuration on the whole training split, and measure it on the test split.

    It does what `kansearch retrain` does: runs, figures and the model are logged to MLflow.

    Args:
        config: a file that `Study.export` or `kansearch export` wrote.
        folder: where the model is written, made if missing. A training that was interrupted there goes on.
        epochs: passes over the training split; None: the configuration's.
        seeds: how many models to train, each from another seed.
        home: folder of studies, made if missing.
        tracking_uri: MLflow's store; None: the store of the configuration's study in `home`, else an SQLite file there.
        data_dir: where to look for the data set first.
        trust_data: functions, each `module:function`, that `data.function` may name.
        progress: print a line for each epoch, or a bar in a terminal.

    Returns:
        What `metrics.json` in the folder holds: means over the seeds, such as `accuracy` in [0, 1] and `parameters`.

    Warns:
        UserWarning: MLflow did not take everything.

    Raises:
        InputError: the file is wrong, the folder holds another model, or `epochs` or `seeds` is below 1.
        KansearchError: the data is missing, training diverged, or the folder can't be written.
    """
    from kansearch.commands.progress import SeedsDisplay
    from kansearch.console import terminal
    from kansearch.models.start import check_start
    from kansearch.seeds.retrain import retrain as train
    from kansearch.seeds.retraining import Retraining
    from kansearch.space import load_config, load_source
    from kansearch.tracking.retrainings import log_trained, writer_of
    from trials.data.functions import trust_data as trust

    for name, value in (("epochs", epochs), ("seeds", seeds)):
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: must be at least 1")
    path, data = Path(config), None if data_dir is None else Path(data_dir)
    chosen = load_config(path)
    if epochs is not None:
        chosen = chosen.model_copy(update={"epochs": epochs})
    trust(*trust_data)
    if (note := check_start(chosen)) is not None:
        warnings.warn(note, stacklevel=2)
    retraining = Retraining(chosen, Path(folder), seeds, data, source=load_source(path), trusted=tuple(trust_data))
    writer, uri = writer_of(retraining, Path(home), tracking_uri)
    metrics = train(retraining, [*([SeedsDisplay(terminal())] if progress else []), writer])
    _, problem = log_trained(writer, uri, retraining.out)
    if problem is not None:
        warnings.warn(problem, stacklevel=2)
    return metrics


def load_model(folder: str | Path, device: str | torch.device | None = None) -> Model:
    """Load a trained model.

    Args:
        folder: written by `retrain`, `kansearch retrain` or `kansearch compress`. Of several seeds the first is taken.
        device: where it computes; None: on the GPU where there is one.

    Raises:
        KansearchError: there is no model, or it is damaged or from another version.
    """
    return Model(folder, device)


class Model:
    """A trained model that takes arrays, or a table's rows. Its arguments and errors are those of `load_model`."""

    def __init__(self, folder: str | Path, device: str | torch.device | None = None) -> None:
        from trials.saved import ModelError, Predictor

        try:
            self._predictor = Predictor(folder, device)
        except ModelError as error:
            raise KansearchError(str(error)) from error

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""
        return self._predictor.classes

    @property
    def config(self) -> TrialConfig:
        """The configuration that was trained."""
        return self._predictor.config

    @property
    def module(self) -> torch.nn.Module:
        """The torch module, in eval mode: samples (N, C, *size) -> logits (N, classes), float32; rows (N, F) -> numbers
        (N, outputs), float64, of a regression."""
        return self._predictor.model

    def probabilities(self, samples: ArrayLike | Mapping[str, Any], batch: int = 256) -> NDArray[Any]:
        """Compute the probability of each class.

        Args:
            samples: (N, C, *size), or (N, *size) where there is one channel; numbers as the data set has them, such as
                pixels from 0 to 255.
            batch: samples at once.

        Returns:
            (N, classes), float32; (N, classes, *size) where the model has a class for each pixel.

        Raises:
            InputError: the samples are not of the model's shape or not numbers, or `batch` is below 1.
        """
        if self._predictor.shape.regression:
            raise InputError("probabilities: the model predicts numbers, not classes; call predict")
        return self._computed(self._predictor.probabilities, samples, batch)

    def predict(self, samples: ArrayLike | Mapping[str, Any], batch: int = 256) -> NDArray[Any]:
        """Compute the likeliest class, or a regression's numbers. Arguments and errors are those of `probabilities`.

        A model of a table takes a pandas DataFrame, or columns by name, too: they are encoded as its file was.

        Returns:
            Labels (N,), which index `classes`; (N, *size) where the model has a class for each pixel. Of a regression
            numbers (N, outputs), float64, in the targets' units.
        """
        if self._predictor.shape.regression:
            return self._computed(self._predictor.numbers, samples, batch)
        labels: NDArray[Any] = self.probabilities(samples, batch).argmax(1)
        return labels

    def _computed(self, compute: Callable[[NDArray[Any]], NDArray[Any]], samples: Any, batch: int) -> NDArray[Any]:
        """The outputs of all samples, `batch` at once. Raises InputError."""
        import numpy as np

        if batch < 1:
            raise InputError(f"batch={batch}: must be at least 1")
        given, shape = self._samples(samples), self._predictor.shape
        if not len(given):
            return np.zeros(
                (0, shape.classes, *(shape.size if shape.dense else ())), np.float64 if shape.regression else np.float32
            )
        parts = [given[start : start + batch] for start in range(0, len(given), batch)]
        return np.concatenate([compute(part) for part in parts])

    def _samples(self, samples: Any) -> NDArray[Any]:
        """Samples (N, C, *size), float32, or rows (N, F), float64. Raises InputError."""
        import numpy as np

        shape = self._predictor.shape
        if not shape.size and (isinstance(samples, Mapping) or hasattr(samples, "columns")):
            return self._encoded(samples)
        try:
            given = np.asarray(samples, np.float32 if shape.size else np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"samples: not an array of real numbers: {error}") from error
        if shape.channels == 1 and given.shape[1:] == shape.size:
            given = given[:, None]
        if given.shape[1:] != (shape.channels, *shape.size) or given.ndim != 2 + len(shape.size):
            wanted = ", ".join(map(str, ("N", shape.channels, *shape.size)))
            raise InputError(f"samples: have shape {given.shape}, but the model takes ({wanted})")
        return given

    def _encoded(self, columns: Any) -> NDArray[Any]:
        """Columns by name as the network takes them, (N, F). Raises InputError."""
        from trials.data.errors import DataError
        from trials.data.tables.given import rows_of

        try:
            return rows_of(columns, self.config.data).inputs
        except DataError as error:
            raise InputError(str(error)) from error
