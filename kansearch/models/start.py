"""`--from DIR`: a retraining starts from another one's weights."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from kansearch.errors import InputError, KansearchError
from trials.config import TrialConfig

__all__ = ["check_start", "started_from"]


def started_from(config: TrialConfig, folder: Path, freeze: str) -> TrialConfig:
    """The configuration, starting from the model in a folder of `kansearch retrain`.

    Args:
        folder: the whole folder, of whose seeds the first is taken, or one seed's.
        freeze: `none`, or `features`: everything but the head stays as it is.

    Raises:
        KansearchError: there is no model, or its manifest or weights are damaged or from a newer version.
        InputError: the configuration says itself what it starts from.
    """
    from trials.saved import MANIFEST, WEIGHTS, ModelError, load_model, model_folder

    if config.start.weights is not None:
        raise InputError(f"--from {folder}: the configuration has a start of its own, {config.start.weights}")
    try:
        place = model_folder(folder)
        load_model(place)
    except ModelError as error:
        raise KansearchError(f"--from: {error}") from error
    digest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))["sha256"]
    start = {"weights": f"{(place / WEIGHTS).resolve()}@sha256:{digest}", "freeze": freeze}
    try:
        return TrialConfig.model_validate({**config.model_dump(), "start": start})
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"--from {folder}: {reason}") from error


def check_start(config: TrialConfig) -> str | None:
    """A line for the user where not all of the weights to start from are taken. Raises KansearchError where they can't
    be read, or are of another network."""
    from trials.saved import WeightsError
    from trials.training import check_start as check

    try:
        return check(config)
    except WeightsError as error:
        raise KansearchError(str(error)) from error
