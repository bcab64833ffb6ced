"""`symbolic`: the front of formulas of trained models, and the file beside them.

symbolic.json
    {"formulas": [{"sympy": "2*x + sin(y)", "latex": ..., "complexity": 6, "error": ..., "test_error": ...,
                   "network_error": ..., "network_test_error": ..., "model": "model/seed-0"}, ...]}

Errors are nRMSE; the simplest formula comes first, and each is better than all before it on the validation part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kansearch.errors import InputError, KansearchError
from trials.files import as_json, first_line, write_whole

if TYPE_CHECKING:
    from trials.saved import WrittenFormula

__all__ = ["FILE", "find_formulas"]

FILE = "symbolic.json"


def find_formulas(
    models: Sequence[Path],
    target: str | None,
    output: Path | None,
    data_dir: Path | None,
    seconds: float,
    progress: Callable[[str], None],
) -> tuple[list[WrittenFormula], Path]:
    """Read formulas from the models in folders of `retrain` or `compress`, and write them into a file.

    Args:
        models: folders of one data set's models; a folder of several seeds stands for all of them.
        target: the target to predict; None: the only one.
        output: the file; None: `FILE` in the first folder.
        data_dir: where to look for the data set first.
        seconds: processor time for each model's search at most.
        progress: told a line before and after each model.

    Raises:
        InputError: a model predicts no numbers, is no KAN of the family mlp, or the models are of several data sets.
        KansearchError: no model in a folder, or a damaged one; the data is missing; the file can't be written.
    """
    from trials.data.errors import DataError
    from trials.saved import ModelError, SymbolicError, formulas_of

    try:
        found = formulas_of([each for model in models for each in _seeds(model)], target, data_dir, seconds, progress)
    except SymbolicError as error:
        raise InputError(str(error)) from error
    except (DataError, ModelError) as error:
        raise KansearchError(first_line(error)) from error
    path = output or models[0] / FILE
    try:
        write_whole(path, as_json({"formulas": [each.row() for each in found]}))
    except OSError as error:
        raise KansearchError(f"cannot write {path}: {error.strerror or error}") from error
    return found, path


def _seeds(model: Path) -> list[Path]:
    """The folders of each seed, in their order, or the folder itself."""
    seeds = sorted(model.glob("seed-*/model.json"), key=lambda path: (len(path.parent.name), path.parent.name))
    return [path.parent for path in seeds] or [model]
