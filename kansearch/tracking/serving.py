"""How MLflow loads a model that `kansearch.tracking.models` logged: its "loader module".

mlflow.pyfunc.load_model("models:/NAME/1").predict(samples)  # float32 (N, C, *size) -> a DataFrame of probabilities

What is loaded are weights and a manifest, which cannot run code; MLflow asks for no pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas

__all__ = ["ServedModel"]

_AT_ONCE = 512


class ServedModel:
    """A model in a folder, as MLflow's python_function wants it. Raises ModelError as `trials.load_model`."""

    def __init__(self, folder: str) -> None:
        from trials.saved import Predictor

        self._predictor = Predictor(folder)

    def predict(
        self, samples: NDArray[Any], params: dict[str, Any] | None = None
    ) -> pandas.DataFrame | NDArray[np.float32]:
        """Samples (N, C, *size) -> a probability for each class.

        N rows with a column for each class, which has its name. (N, classes, *size) where the model has a class for
        each pixel. A regression has a column for each target. `params` is MLflow's; there are none.
        """
        import pandas

        regression = self._predictor.shape.regression
        compute = self._predictor.numbers if regression else self._predictor.probabilities
        parts = [compute(samples[start : start + _AT_ONCE]) for start in range(0, max(len(samples), 1), _AT_ONCE)]
        probabilities = np.concatenate(parts)
        if self._predictor.shape.dense:
            return probabilities
        return pandas.DataFrame(probabilities, columns=list(self._predictor.classes))


def _load_pyfunc(data_path: str) -> ServedModel:
    """MLflow calls it by this name with the folder that was logged."""
    return ServedModel(data_path)
