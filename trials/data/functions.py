"""Data sets that are a Python function. A configuration alone never runs one: it must be trusted first."""

from __future__ import annotations

import importlib
from pathlib import Path

from trials.config import DataConfig, FunctionDataConfig
from trials.data.errors import DataError, DataFileError
from trials.data.images import Images, checked
from trials.data.shape import DataShape

__all__ = ["check_trusted", "read_function", "trust_data"]

_TRUSTED: set[str] = set()


def trust_data(*functions: str) -> None:
    """Let configurations with `data.function` among these, each `module:function`, import and call it in this
    process."""
    _TRUSTED.update(functions)


def check_trusted(config: DataConfig) -> None:
    """Raises DataError where the data are a function that is not trusted."""
    if isinstance(config, FunctionDataConfig) and config.function not in _TRUSTED:
        raise DataError(
            f"data.function: {config.function} is code, and runs only where the command line names it too: "
            f"--trust-data {config.function}"
        )


def read_function(config: FunctionDataConfig, shape: DataShape, folder: Path | None) -> tuple[Images, Images]:
    """Call the function, and check the splits it returns. Raises DataError where it is not trusted or not found."""
    check_trusted(config)
    module, _, name = config.function.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DataError(f"data.function: {config.function}: {error}; is its module on PYTHONPATH?") from error
    splits = function(folder)
    if not (isinstance(splits, tuple) and len(splits) == 2 and all(len(split) == 2 for split in splits)):
        raise DataFileError(f"{config.function}: must return ((x, y), (x, y)), the training and the test split")
    (x, y), (test_x, test_y) = splits
    return (
        checked(x, y, shape, f"{config.function}: training split", training=True),
        checked(test_x, test_y, shape, f"{config.function}: test split"),
    )
