"""`predict` and `compare`: trained models at work."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kansearch.commands.common import print_json
from kansearch.errors import InputError
from kansearch.models.compare import compare
from kansearch.models.predict import predict
from kansearch.models.predict_rows import predict_rows, takes_rows
from kansearch.study.spread import LEAST_SEEDS

__all__ = ["run_compare", "run_predict"]


def run_predict(
    model: Path,
    inputs: Sequence[Path],
    top: int | None,
    resize: bool,
    batch: int,
    masks: Path | None,
    as_json: bool,
) -> None:
    if takes_rows(model):
        _predict_rows(model, inputs, top, resize, masks, as_json)
        return
    rows = predict(model, inputs, top=top, resize=resize, batch=batch, masks=masks)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{_place(row)}: {_shares(row) if 'shares' in row else _classes(row)}")


def _predict_rows(
    model: Path, inputs: Sequence[Path], top: int | None, resize: bool, output: Path | None, as_json: bool
) -> None:
    """Write the rows with their predictions to `output`, or print them."""
    if top is not None or resize:
        raise InputError(f"{'--top' if top is not None else '--resize'}: is for images, and this model takes rows")
    if output is not None and output.resolve() in {path.resolve() for path in inputs}:
        raise InputError(f"-o: {output} is an input, and would be written over; name another file")
    predicted = predict_rows(model, inputs)
    for note in predicted.notes:
        print(note, file=sys.stderr)
    if output is not None:
        predicted.write(output)
    if as_json:
        print_json(predicted.document())
    elif output is None:
        print(predicted.text(), end="")
    else:
        print(f"{len(predicted.rows):,} rows written to {output}")


def _place(row: dict[str, Any]) -> str:
    return str(row["file"]) if row["index"] is None else f"{row['file']}[{row['index']}]"


def _classes(row: dict[str, Any]) -> str:
    return ", ".join(f"{each['class']} {each['probability']:.4f}" for each in row["top"])


def _shares(row: dict[str, Any]) -> str:
    """The classes that occur, the most frequent first."""
    shares = sorted(row["shares"].items(), key=lambda pair: -pair[1])
    found = ", ".join(f"{name} {share:.1%}" for name, share in shares if share > 0)
    return f"{found}; mask in {row['mask']}" if row["mask"] else found


def run_compare(first: Path, second: Path, data_dir: Path | None, as_json: bool) -> None:
    found = compare(first, second, data_dir)
    if as_json:
        print_json(found)
        return
    for line in _compared(found):
        print(line)


def _compared(found: dict[str, Any]) -> list[str]:
    count, interval = len(found["pairs"]), found["interval"]
    models = [f"{each['folder']} {each['accuracy']:.4f}" for each in found["models"]]
    half = interval["images"] if interval["both"] is None else interval["both"]
    lines = [f"{found['dataset']}, {found['images']:,} test images, {_plural(count)}: {', '.join(models)}"]
    beyond = "which is beyond chance" if abs(found["difference"]) > half else "which may be chance"
    over = "other images" if interval["both"] is None else "other seeds and images"
    lines.append(f"difference {found['difference']:+.4f} ± {half:.4f} (95 %, over {over}), {beyond}")
    if interval["both"] is None:
        lines.append(
            f"the interval is of these models: with {LEAST_SEEDS} or more seeds each (`kansearch retrain --seeds "
            f"{LEAST_SEEDS}`) it is of other trainings, too"
        )
    else:
        lines.append(
            f"of which other seeds alone ± {interval['seeds']:.4f}, other images alone ± {interval['images']:.4f}"
        )
    for pair in found["pairs"]:
        seeds = "seed {}".format(" and ".join(map(str, dict.fromkeys(pair["seeds"]))))
        alone = f"the first alone is right on {pair['first_alone']:,} images, the second on {pair['second_alone']:,}"
        lines.append(f"{seeds}: {alone}: p = {pair['p']:.4f} (McNemar's exact test)")
    return lines


def _plural(count: int) -> str:
    return "one pair" if count == 1 else f"{count} pairs of seeds"
