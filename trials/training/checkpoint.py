"""A trial's resumable state on disk."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from trials.files import first_line, replacing

__all__ = ["CheckpointError", "load_checkpoint", "save_checkpoint"]


class CheckpointError(RuntimeError):
    """A checkpoint cannot be read, or is not of this configuration; the message names the file."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, a tree of tensors and plain values, to `path`: whole, or not at all whenever the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True, mode=0o600) as begun, begun.open("wb") as file:
        torch.save(state, file)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Load what `save_checkpoint` wrote. Only tensors and plain values are read: a checkpoint cannot run code.

    Raises CheckpointError for a damaged or foreign file, FileNotFoundError where there is none.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not a readable checkpoint: {first_line(error)}") from error
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: not a checkpoint of a trial")
    return state
