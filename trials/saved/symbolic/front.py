"""The front of formulas, error against complexity, of trained models of one data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trials.config import RowsConfig, TrialConfig
from trials.data.names import feature_names
from trials.data.splits import Split, load_test, load_training
from trials.saved.symbolic.constants import canonical, rounded
from trials.saved.symbolic.extract import draw_edges
from trials.saved.symbolic.formula import relative_error
from trials.saved.symbolic.library import Array
from trials.saved.symbolic.powers import with_simple_powers
from trials.saved.symbolic.search import Judged, Samples, search
from trials.saved.symbolic.written import complexity_of, expression_of, symbols_of
from trials.saved.trained import TrainedModel, model_folder, open_model

__all__ = ["SymbolicError", "WrittenFormula", "formulas_of"]

_ROWS = 1000
"""Rows that constants are fitted to at most."""
_WRITTEN = 8
"""Formulas of a model that are rounded and written."""


class SymbolicError(ValueError):
    """No formula can be read from a model; the message says why."""


@dataclass(frozen=True)
class WrittenFormula:
    """A formula in the units and by the names of the data."""

    model: str
    """The folder that it was read from."""
    sympy: str
    """For sympy, with all digits."""
    text: str
    """For reading, with six digits."""
    latex: str
    complexity: int
    """Operators, functions, variables and constants."""
    error: float
    """nRMSE on the validation part."""
    test_error: float | None
    """nRMSE on the test split; None where a value there is not finite."""
    network_error: float
    """The network's own nRMSE on the validation part."""
    network_test_error: float

    def row(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def formulas_of(
    folders: Sequence[Path],
    target: str | None = None,
    data_dir: Path | None = None,
    seconds: float = 60.0,
    progress: Callable[[str], None] = lambda line: None,
) -> list[WrittenFormula]:
    """The formulas of the models in folders of `retrain` that no other one is better and simpler than; simplest first.

    Args:
        folders: models of one data set, such as those of several seeds.
        target: the name of the target; None: the only one.
        data_dir: where to look for the data set first.
        seconds: processor time of the search for the functions of each model's edges at most.
        progress: told a line before each model and after it.

    Raises ModelError and DataError; SymbolicError where a model is no KAN of the family mlp that predicts numbers, or
    the models are of several data sets.
    """
    opened = [(folder, *open_model(folder)[:2]) for folder in folders]
    _check(opened)
    found: list[WrittenFormula] = []
    for folder, model, config in opened:
        with np.errstate(all="ignore"):  # a start that overflows is worse than others, and no more
            found += _of_model(model_folder(folder), model, config, target, data_dir, seconds, progress)
    return _front(found)


def _check(opened: Sequence[tuple[Path, TrainedModel, TrialConfig]]) -> None:
    first = opened[0][2].data
    for folder, model, config in opened:
        if not model.shape.regression or not isinstance(config.data, RowsConfig):
            raise SymbolicError(f"{folder}: predicts no numbers from a table or a function")
        if _without_split(config) != _without_split(opened[0][2]):
            raise SymbolicError(
                f"{folder}: is of other data than {opened[0][0]}, {first.dataset}; name them one by one"
            )


def _without_split(config: TrialConfig) -> dict[str, Any]:
    return {**config.data.model_dump(), "batch_size": None}


def _of_model(
    folder: Path,
    model: TrainedModel,
    config: TrialConfig,
    target: str | None,
    data_dir: Path | None,
    seconds: float,
    progress: Callable[[str], None],
) -> list[WrittenFormula]:
    names = feature_names(config.data)
    assert names is not None
    index = _target(model, target, folder)
    cpu = torch.device("cpu")
    training, held_out = load_training(config.data, cpu, data_dir)
    if held_out is None:
        raise SymbolicError(f"{folder}: data.validation is 0, and choices are judged by a validation part")
    test = load_test(config.data, cpu, data_dir)
    x, y = _rows(training, index)
    held_x, held_y = _rows(held_out, index)
    test_x, test_y = _rows(test, index)
    scale = float(y.std()) or 1.0
    network = [_network_error(model, split, index, scale) for split in (held_out, test)]
    progress(f"{folder}: network nRMSE {network[0]:.3g} on the validation part")
    try:
        drawn = with_simple_powers(draw_edges(model, x, index))
    except ValueError as problem:
        raise SymbolicError(f"{folder}: {problem}") from problem
    chosen = np.random.default_rng(0).permutation(len(x))[:_ROWS]
    samples = Samples(x[chosen], y[chosen], held_x, held_y)
    symbols = symbols_of(names, x)
    import sympy

    written = []
    for judged in _best(search(drawn, samples, seconds)):
        plain, free = canonical(judged.formula)
        formula, exact = rounded(plain, samples.x, samples.y, free)
        expression = expression_of(formula, exact, symbols)
        error, test_error = (relative_error(formula, a, b, scale) for a, b in ((held_x, held_y), (test_x, test_y)))
        if math.isfinite(error):
            written.append(
                WrittenFormula(
                    model=str(folder),
                    sympy=str(expression),
                    text=str(_short(expression)),
                    latex=sympy.latex(_short(expression)),
                    complexity=complexity_of(expression),
                    error=error,
                    test_error=test_error if math.isfinite(test_error) else None,
                    network_error=network[0],
                    network_test_error=network[1],
                )
            )
    best = min(written, key=lambda each: each.error, default=None)
    progress(f"{folder}: formula nRMSE {best.error:.3g}" if best else f"{folder}: no formula")
    return written


def _short(expression: Any) -> Any:
    """Numbers to six digits, for reading."""
    import sympy

    return expression.xreplace({each: sympy.Float(each, 6) for each in expression.atoms(sympy.Float)})


def _target(model: TrainedModel, target: str | None, folder: Path) -> int:
    if target is None and len(model.classes) > 1:
        raise SymbolicError(f"{folder}: has {len(model.classes)} targets; name one: {', '.join(model.classes)}")
    if target is not None and target not in model.classes:
        raise SymbolicError(f"{folder}: has no target '{target}'; there are {', '.join(model.classes)}")
    return 0 if target is None else model.classes.index(target)


def _rows(split: Split, index: int) -> tuple[Array, Array]:
    """Rows (N, F) and a target (N,), in the units of the data."""
    assert split.targets is not None
    numbers = split.labels * split.targets.std + split.targets.mean
    images = split.images if split.rows is None else split.images[split.rows]
    return images.double().numpy(), numbers[:, index].numpy()


@torch.no_grad()
def _network_error(model: TrainedModel, split: Split, index: int, scale: float) -> float:
    x, y = _rows(split, index)
    return relative_error(lambda rows: model(torch.from_numpy(rows))[:, index].numpy(), x, y, scale)


def _best(found: Sequence[Judged]) -> list[Judged]:
    """The non-dominated formulas of a search: the best, and simpler ones, at most `_WRITTEN`."""
    kept: list[Judged] = []
    for each in sorted(found, key=lambda each: (each.formula.complexity, each.error)):
        if math.isfinite(each.error) and (not kept or each.error < kept[-1].error):
            kept.append(each)
    return kept[-_WRITTEN:]


def _front(found: Sequence[WrittenFormula]) -> list[WrittenFormula]:
    kept: list[WrittenFormula] = []
    for each in sorted(found, key=lambda each: (each.complexity, each.error)):
        if not kept or each.error < 0.99 * kept[-1].error:
            kept.append(each)
    return kept
