"""`retrain --export`: a trained model in formats that need nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kansearch.errors import KansearchError

__all__ = ["formats_of", "write"]


def formats_of(text: str) -> list[Any]:
    """`onnx,torch` -> the formats, each once. Raises KansearchError where one is unknown, or lacks a package here."""
    formats: list[Any] = list(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if formats:
        from trials.saved import PortableError, check_formats

        try:
            check_formats(formats)
        except PortableError as error:
            raise KansearchError(f"--export {text}: {error}") from error
    return formats


def write(folder: Path, formats: Sequence[Any]) -> list[Path]:
    """Write the first seed's model in each format; the files. Raises KansearchError."""
    if not formats:
        return []
    from trials.saved import ModelError, PortableError, write_portable

    try:
        return write_portable(folder, formats)
    except (PortableError, ModelError) as error:
        raise KansearchError(f"--export: {error}") from error
