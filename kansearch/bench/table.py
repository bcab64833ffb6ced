"""The table of a recorded benchmark: its columns, and how it is read. See `COLUMNS`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kansearch.errors import InputError, KansearchError
from kansearch.space import Scalar, SearchSpace, parse_space

__all__ = ["COLUMNS", "CURVES", "FOLDER", "SCHEMA", "RecordedRun", "Recording", "load_recording", "recordings"]

SCHEMA = 1
"""Version of what the two files hold."""
FOLDER = Path(__file__).parent / "data"
CURVES = ("train_loss", "validation_loss", "accuracy", "seconds", "images_per_second", "learning_rate")
"""Columns with a value for each epoch, as in `trials.results.EpochResult`; of a run that failed, of those before."""
COLUMNS: dict[str, str] = {
    "index": "int32",  # place of the configuration in the quasi-random sequence, infeasible draws counted
    "seed": "int32",  # of weights, batch order and augmentation
    "state": "string",  # complete or fail
    "reason": "string",  # why it failed
    "hyperparameters": "string",  # JSON, by name
    "config": "string",  # JSON, the whole TrialConfig
    "parameters": "int64",
    "flops": "int64",
    "peak_memory_mib": "float",
    "step_seconds": "float",  # batch size over images a second, the median epoch; with others at once on the GPU
    "wall_seconds": "float",  # of the whole run, graphs and kernels made included
    **dict.fromkeys(CURVES, "list<float>"),
}
"""Arrow types of the columns; those of sizes are null where a run failed before its first epoch."""


@dataclass(frozen=True)
class RecordedRun:
    """One configuration, trained with one seed."""

    index: int
    seed: int
    state: str
    reason: str | None
    hyperparameters: Mapping[str, Scalar]
    config: Mapping[str, Any]
    parameters: int | None
    flops: int | None
    peak_memory_mib: float | None
    step_seconds: float | None
    wall_seconds: float | None
    curves: Mapping[str, NDArray[np.float64]]
    """One array for each name in `CURVES`."""


@dataclass(frozen=True)
class Recording:
    """A recorded benchmark. `about` is NAME.json."""

    name: str
    about: Mapping[str, Any]
    runs: Sequence[RecordedRun]

    @property
    def epochs(self) -> int:
        """Epochs of each run."""
        return int(self.about["epochs"])

    @property
    def blocks(self) -> int:
        """Version of the blocks that the networks were built of: `kansearch.bench.counting.BLOCKS`, or 1."""
        return int(self.about["blocks"])

    @cached_property
    def space(self) -> SearchSpace:
        """The space that the configurations were drawn from."""
        return parse_space(self.about["space"], f"{self.name}.yaml", self.about["overrides"])


def recordings(folder: Path = FOLDER) -> list[str]:
    """Names of the recorded benchmarks that come with kansearch."""
    return sorted(path.stem for path in folder.glob("*.json"))


def load_recording(name: str, folder: Path = FOLDER) -> Recording:
    """A recorded benchmark, its checksum and columns checked.

    Raises InputError for an unknown name, KansearchError where a file is missing, damaged or of another version.
    """
    if name not in recordings(folder):
        known = ", ".join(recordings(folder)) or "none"
        raise InputError(f"no recorded benchmark is named '{name[:100]}'; there are: {known}")
    about = _about(folder / f"{name}.json")
    path = folder / f"{name}.parquet"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise KansearchError(f"{path}: cannot be read: {error.strerror}; install kansearch again") from None
    found = hashlib.sha256(data).hexdigest()
    if found != about["sha256"]:
        raise KansearchError(
            f"{path}: is damaged: its SHA-256 is {found[:12]}…, not {about['sha256'][:12]}…; install kansearch again"
        )
    return Recording(name, about, _runs(path, data))


def _about(path: Path) -> dict[str, Any]:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version = about["schema"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise KansearchError(f"{path}: cannot be read: {reason}; install kansearch again") from None
    if version != SCHEMA:
        raise KansearchError(f"{path}: has schema {version}; this version of kansearch reads schema {SCHEMA}")
    return {"blocks": 1, **about}  # early recordings say nothing of blocks


def _runs(path: Path, data: bytes) -> list[RecordedRun]:
    import pyarrow
    from pyarrow import parquet

    table = parquet.read_table(pyarrow.BufferReader(data))
    types = {field.name: str(field.type).replace("element: ", "").replace("item: ", "") for field in table.schema}
    wrong = [name for name, kind in COLUMNS.items() if types.get(name) != kind]
    if wrong:
        raise KansearchError(f"{path}: column {wrong[0]} is {types.get(wrong[0], 'missing')}, not {COLUMNS[wrong[0]]}")
    return [_run(row) for row in table.to_pylist()]


def _run(row: dict[str, Any]) -> RecordedRun:
    curves = {name: np.array(row.pop(name), dtype=np.float64) for name in CURVES}
    row = {name: row[name] for name in COLUMNS if name not in CURVES}
    parts = {name: json.loads(row.pop(name)) for name in ("hyperparameters", "config")}
    return RecordedRun(**row, **parts, curves=curves)
