"""From a recorder's JSON lines to a benchmark: `python -m kansearch.bench.write NAME FILE... [--out FOLDER]`.

The files are those of `python -m tests.benchmarks.record`, folders of them, and the .parquet of an earlier benchmark,
to which the others are added. Written are NAME.parquet and NAME.json; the surrogate is fitted for the latter, which
takes some minutes for a thousand configurations.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kansearch.bench.table import COLUMNS, CURVES, FOLDER, SCHEMA, load_recording
from kansearch.errors import InputError

__all__ = ["read_lines", "write_benchmark", "write_table"]

_SAME = ("space", "overrides", "sequence_seed", "least_parameters", "blocks")
_BY_CALL = ("hardware", "cpus", "workers", "mps", "versions", "started")


def read_lines(paths: Iterable[Path]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """First lines and rows of all files; of a row that is there twice, the first that is complete.

    Raises InputError where files are of different recordings or hold nothing.
    """
    heads: list[dict[str, Any]] = []
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    for file in (each for path in paths for each in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])):
        own, found = _from_table(file) if file.suffix == ".parquet" else _from_lines(file)
        if heads and own and any(heads[0][key] != own[0][key] for key in _SAME):
            raise InputError(f"{file}: is of another recording than the files before it")
        heads += own
        for row in found:
            key = (row["index"], row.get("seed", 0))
            if key not in rows or (rows[key]["state"], row["state"]) == ("fail", "complete"):
                rows[key] = row
    if not heads:
        raise InputError("no lines were recorded")
    return heads, [rows[key] for key in sorted(rows)]


def _from_lines(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    whole = [json.loads(line) for line in lines if line.endswith("\n")]  # the last may have been cut off
    return [{"blocks": 1, **head} for head in whole[:1]], whole[1:]  # early recorders wrote nothing of blocks


def _from_table(file: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A benchmark's runs as the lines that they were made of."""
    recording = load_recording(file.stem, file.parent)
    heads = [{**{key: recording.about[key] for key in _SAME}, **call} for call in recording.about["calls"]]
    rows: list[dict[str, Any]] = [{"index": each, "state": "infeasible"} for each in recording.about["infeasible"]]
    for run in recording.runs:
        fields = dict(vars(run))
        curves = fields.pop("curves")
        rows.append({**fields, "curve": {name: values.tolist() for name, values in curves.items()}})
    return heads, rows


def write_table(
    name: str, heads: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, Any]:
    """Write NAME.parquet, and NAME.json without a surrogate; the latter's content."""
    import pyarrow
    from pyarrow import parquet

    runs = [_row(row) for row in rows if row["state"] != "infeasible"]
    fields = [(column, _arrow(kind)) for column, kind in COLUMNS.items()]
    path = folder / f"{name}.parquet"
    table = pyarrow.Table.from_pylist(runs, schema=pyarrow.schema(fields))
    parquet.write_table(table, path, compression="zstd", compression_level=19)
    seeds = {index: sum(run["index"] == index for run in runs) for index in {run["index"] for run in runs}}
    about = {
        "schema": SCHEMA,
        "name": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "runs": len(runs),
        "configurations": len(seeds),
        "repeated": sum(count > 1 for count in seeds.values()),
        "failed": sum(run["state"] == "fail" for run in runs),
        "infeasible": [row["index"] for row in rows if row["state"] == "infeasible"],
        "done": [[run["index"], run["seed"]] for run in runs],
        "epochs": json.loads(runs[0]["config"])["epochs"],
        **{key: heads[0][key] for key in _SAME},
        "calls": [{key: head[key] for key in _BY_CALL} for head in heads],
    }
    _write_json(folder / f"{name}.json", about)
    return about


def write_benchmark(name: str, paths: Iterable[Path], folder: Path, **effort: int) -> dict[str, Any]:
    """Write both files, the surrogate included; the content of NAME.json. effort: arguments of `fit_surrogate`."""
    from kansearch.bench.fitting import fit_surrogate

    about = write_table(name, *read_lines(paths), folder)
    about["surrogate"] = fit_surrogate(load_recording(name, folder), **effort)
    _write_json(folder / f"{name}.json", about)
    return about


def _arrow(kind: str) -> Any:
    import pyarrow

    if kind == "list<float>":
        return pyarrow.list_(pyarrow.float32())
    return {"float": pyarrow.float32()}.get(kind) or getattr(pyarrow, kind)()


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    curve = {each: row["curve"].get(each) or [] for each in CURVES}
    speeds = [speed for speed in curve["images_per_second"] if speed]
    batch = row["config"]["data"]["batch_size"]
    return {
        **{column: row.get(column) for column in COLUMNS},
        "hyperparameters": json.dumps(row["hyperparameters"]),
        "config": json.dumps(row["config"]),
        "step_seconds": float(np.median([batch / speed for speed in speeds])) if speeds else None,
        "wall_seconds": row.get("wall_seconds"),
        **curve,
    }


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    """One line for each entry, so that versions of it can be compared."""
    lines = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    about = write_benchmark(arguments.name, arguments.files, arguments.out)
    shown = {key: each for key, each in about.items() if key not in ("space", "infeasible", "done", "surrogate")}
    print(json.dumps({**shown, "held_out": about["surrogate"]["held_out"]}, indent=1))


if __name__ == "__main__":
    main()
