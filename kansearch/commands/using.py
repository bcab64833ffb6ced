"""`predict`: a trained model at work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kansearch.commands.common import print_json
from kansearch.deliver.predict import predict

__all__ = ["run_predict"]


def run_predict(
    model: Path,
    inputs: Sequence[Path],
    top: int | None,
    resize: bool,
    batch: int,
    masks: Path | None,
    as_json: bool,
) -> None:
    rows = predict(model, inputs, top=top, resize=resize, batch=batch, masks=masks)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{_place(row)}: {_shares(row) if 'shares' in row else _classes(row)}")


def _place(row: dict[str, Any]) -> str:
    return str(row["file"]) if row["index"] is None else f"{row['file']}[{row['index']}]"


def _classes(row: dict[str, Any]) -> str:
    return ", ".join(f"{each['class']} {each['probability']:.4f}" for each in row["top"])


def _shares(row: dict[str, Any]) -> str:
    """The classes that occur, the most frequent first."""
    shares = sorted(row["shares"].items(), key=lambda pair: -pair[1])
    found = ", ".join(f"{name} {share:.1%}" for name, share in shares if share > 0)
    return f"{found}; mask in {row['mask']}" if row["mask"] else found
