"""`compress` and `grow`: from a folder with a model to a folder with a smaller, or a larger, one.

DIR/
├── model.safetensors   weights, of 8 bits where that was asked for
├── model.json          what `trials.load_model` needs beside them
├── config.yaml         the model's configuration
├── metrics.json        the test split's figures of the new model
├── compress.json       the figures before and after each step; grow.json of a grown model
└── README.md           the model card, where the source has one, with these figures at its end
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from kansearch.errors import InputError, KansearchError
from trials.files import as_json, first_line, write_whole

if TYPE_CHECKING:
    from trials.results import EpochResult
    from trials.saved import CompressionOptions, Figures

__all__ = ["compress", "grow", "step_cells", "step_headings"]

CARD = "README.md"


def compress(
    source: Path,
    out: Path,
    options: CompressionOptions,
    data_dir: Path | None,
    step: Callable[[Figures], None],
    epoch: Callable[[EpochResult], None],
) -> dict[str, Any]:
    """Write a smaller model of the one in `source` into the new folder `out`; what compress.json holds.

    Args:
        source: a folder of `retrain` or `compress`; of several seeds the first.
        out: must not be there, or be empty. It is there when all is done, and not before.
        options: what to do to the model.
        data_dir: where to look for the data set first.
        step: called with the figures before the first step and after each.
        epoch: called after each epoch of fine-tuning.

    Raises:
        InputError: a share outside [0, 1), nothing to do, or `out` is not empty.
        KansearchError: no model in `source`, or one that this cannot be done to; the data is missing or damaged;
            training diverged; `out` can't be written.
    """
    _check(options)
    from trials.saved import Progress, shrink

    with _new_folder(out) as folder, _explained(source):
        progress = Progress(step, epoch)
        config, metrics, report = shrink(source, folder, options, data_dir, progress)
        report = {"source": str(source), **report}
        _write(folder, source, config.model_dump(mode="json"), metrics, report, "compress.json")
    return report


def grow(
    source: Path,
    out: Path,
    epochs: int,
    rate: float,
    data_dir: Path | None,
    step: Callable[[Figures], None],
    epoch: Callable[[EpochResult], None],
) -> dict[str, Any]:
    """Write the model of `source` on grids twice as fine, fine-tuned for `epochs`, into the new folder `out`; what
    grow.json holds. The rest is as in `compress`."""
    from trials.saved import Progress
    from trials.saved import grow as refine

    with _new_folder(out) as folder, _explained(source):
        config, metrics, report = refine(source, folder, epochs, rate, data_dir, Progress(step, epoch))
        report = {"source": str(source), **report}
        _write(folder, source, config.model_dump(mode="json"), metrics, report, "grow.json")
    return report


def step_headings(steps: Sequence[dict[str, Any]]) -> list[str]:
    """Return the headings of the table of steps."""
    return [
        "step",
        "accuracy" if steps[0]["nrmse"] is None else "nRMSE",
        "parameters",
        "nonzero",
        "edges",
        "file KiB",
        "ms, batch 1",
        "ms, batch 128",
    ]


def step_cells(step: dict[str, Any]) -> list[str]:
    """Return a row of the table of steps."""
    latency = [f"{milliseconds:.3g}" for milliseconds in step["latency_ms"].values()]
    counts = [f"{step[name]:,}" for name in ("parameters", "nonzero", "edges")]
    score = f"{step['accuracy']:.4f}" if step["nrmse"] is None else f"{step['nrmse']:.4g}"
    return [step["step"], score, *counts, f"{step['file_bytes'] / 1024:,.1f}", *latency]


def _check(options: CompressionOptions) -> None:
    for name, share in (("--prune", options.prune), ("--channels", options.channels)):
        if not 0 <= share < 1:
            raise InputError(f"{name} {share:g}: a share of at least 0 and less than 1 is needed, such as 0.3")
    if options.tolerance is not None and not options.tolerance >= 0:
        raise InputError(f"--tolerance {options.tolerance:g}: a share of at least 0 is needed, such as 0.05")
    asked = options.prune or options.channels or options.int8 or options.tables
    if not asked and options.tolerance is None:
        raise InputError(
            "nothing to do: give --prune SHARE, --tolerance SHARE, --channels SHARE, --quantize int8 or --tables"
        )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes it once all is done, and is gone if that fails."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; name an empty folder or a new one")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error
    try:
        yield folder
        folder.chmod(0o755)  # made for its owner alone
        os.replace(folder, out)
    except OSError as error:
        raise KansearchError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _explained(source: Path) -> Iterator[None]:
    """Raise KansearchError in one line where something is wrong with the model or its data."""
    from trials.saved import COMPRESSION_ERRORS

    try:
        yield
    except COMPRESSION_ERRORS as error:
        text = first_line(error)
        raise KansearchError(text if str(source) in text else f"{source}: {text}") from error


def _write(
    folder: Path, source: Path, config: dict[str, Any], metrics: dict[str, Any], report: dict[str, Any], name: str
) -> None:
    text = yaml.safe_dump({"config": config}, sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    for file, document in (("metrics.json", metrics), (name, report)):
        write_whole(folder / file, as_json(document))
    if (source / CARD).exists():
        card = (source / CARD).read_text(encoding="utf-8").rstrip("\n")
        (folder / CARD).write_text(f"{card}\n\n{_section(report)}", encoding="utf-8")


def _section(report: dict[str, Any]) -> str:
    """Return the section of the model card with a table of the steps."""
    rows = [step_headings(report["steps"]), ["---", *["---:"] * 7], *map(step_cells, report["steps"])]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    where = f" on {report['cpu']}, {report['threads']} threads" if "cpu" in report else ""
    score = "Accuracy" if rows[0][1] == "accuracy" else rows[0][1]
    title = "## After training: what was changed"
    return f"{title}\n\n{score} is of the test split; times are medians of a batch{where}.\n\n{table}\n"
