"""Arguments and options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "STUDIES",
    "Address",
    "Checkpoints",
    "DataDir",
    "FinetuneRate",
    "Home",
    "Json",
    "MaxConcurrent",
    "ModelFolder",
    "NewFolder",
    "Settings",
    "SpaceName",
    "StorageUrl",
    "StudyName",
    "TimeBudget",
    "TrackingUri",
    "Trials",
    "TrustData",
    "overrides",
]

Home = Annotated[
    Path, typer.Option(envvar="KANSEARCH_HOME", help="Folder of studies.", show_default=True, file_okay=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
DataDir = Annotated[Path | None, typer.Option(help="Where to look for a data set's files first.")]
TrustData = Annotated[
    list[str] | None,
    typer.Option(metavar="MODULE:FUNCTION", help="Let data.function of the search space run this code."),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study.")]
SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="A .yaml file, or the name of a shipped search space.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a key of the search space.")
]
Trials = Annotated[int | None, typer.Option(help="Trials in all; the same as --set search.trials=N.")]
TimeBudget = Annotated[str | None, typer.Option(help="Wall time in all, such as 90s, 30m, 2h.")]
StorageUrl = Annotated[str | None, typer.Option(metavar="URL", help="Database of the study. Default: SQLite.")]
TrackingUri = Annotated[str | None, typer.Option(metavar="URI", help="MLflow's store. Default: SQLite.")]
Address = Annotated[str | None, typer.Option(help="A Ray cluster to join: auto or HOST:PORT. Default: start one here.")]
Checkpoints = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="Folder or URL for checkpoints, seen by every machine. Default: the study's."),
]
MaxConcurrent = Annotated[int | None, typer.Option(min=1, help="Trials at once. Default: as many as fit.")]
ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL_DIR", help="A folder that `retrain` wrote.")]
NewFolder = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder to write; a new one.")]
FinetuneRate = Annotated[
    float, typer.Option(min=0, help="Learning rate of fine-tuning over the one that the model was trained with.")
]

STUDIES = Path("studies")
"""The default folder of studies."""


def overrides(settings: list[str] | None, keys: dict[str, Any]) -> list[str]:
    """Return settings KEY=VALUE of a search space: those given by `--set`, and those of options that are not None."""
    return [*(settings or ()), *(f"{key}={value}" for key, value in keys.items() if value is not None)]
