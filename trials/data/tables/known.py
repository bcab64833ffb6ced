"""The tables that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trials.config.tables import KnownTableConfig
from trials.data.errors import DataMissingError
from trials.data.images import Images
from trials.data.shape import DataShape
from trials.data.tables.table import set_aside

__all__ = ["KNOWN", "KnownTable", "known_shape", "read_known", "training_rows"]


@dataclass(frozen=True)
class KnownTable:
    """A table, with all that is known of it without its file."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    """Names of the classes, or of the target."""
    rows: int
    files: tuple[str, ...]
    """One with a header line and the class in its last column, or one with the inputs and one with the target."""


_MEASURES = (
    "radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry",
    "fractal dimension",
)  # fmt: skip
KNOWN: dict[str, KnownTable] = {
    "diabetes": KnownTable(
        ("age", "sex", "bmi", "bp", "s1", "s2", "s3", "s4", "s5", "s6"),
        ("progression",),
        442,
        ("diabetes_data_raw.csv.gz", "diabetes_target.csv.gz"),
    ),
    "wine": KnownTable(
        (
            "alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
            "nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines",
            "proline",
        ),
        ("class_0", "class_1", "class_2"),
        178,
        ("wine_data.csv",),
    ),
    "breast_cancer": KnownTable(
        (
            *(f"mean {name}" for name in _MEASURES),
            *(f"{name} error" for name in _MEASURES),
            *(f"worst {name}" for name in _MEASURES),
        ),
        ("malignant", "benign"),
        569,
        ("breast_cancer.csv",),
    ),
    "iris": KnownTable(
        ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"),
        ("setosa", "versicolor", "virginica"),
        150,
        ("iris.csv",),
    ),
}  # fmt: skip


def known_shape(config: KnownTableConfig) -> DataShape:
    """The shape of a table's rows."""
    known = KNOWN[config.dataset]
    return DataShape(len(known.inputs), (), len(known.outputs), regression=config.regression)


def training_rows(config: KnownTableConfig) -> int:
    """Rows of the training split."""
    rows = KNOWN[config.dataset].rows
    return rows - int(np.ceil(config.test * rows))


def read_known(config: KnownTableConfig) -> tuple[Images, Images]:
    """The training and the test split, from scikit-learn's files. Raises DataMissingError."""
    known = KNOWN[config.dataset]
    tables = [_loaded(name, skip=len(known.files) == 1) for name in known.files]
    inputs, targets = (
        (tables[0], tables[1].reshape(-1, 1)) if len(tables) > 1 else (tables[0][:, :-1], tables[0][:, -1])
    )
    labels = targets if config.regression else targets.astype(np.int64)
    training, test = set_aside(labels, config, config.dataset)
    return Images(inputs[training], labels[training]), Images(inputs[test], labels[test])


def _loaded(name: str, skip: bool) -> NDArray[np.float64]:
    """A file of numbers in scikit-learn's package, which is found without importing it: that takes a second."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations if package else None) or []:
        file = Path(folder, "datasets", "data", name)
        if file.is_file():
            separator = "," if skip else None
            loaded: NDArray[np.float64] = np.loadtxt(file, delimiter=separator, skiprows=int(skip))
            return loaded
    raise DataMissingError(f"{name} of scikit-learn is not found; pip install scikit-learn")
