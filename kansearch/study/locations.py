"""`study.json`: where a study's trials, its runs in MLflow and, if not in its folder, its checkpoints are."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kansearch.errors import KansearchError
from kansearch.study.storage import sqlite_path, sqlite_url

__all__ = ["LOCATIONS", "Locations"]

LOCATIONS = "study.json"
"""Its name in a study's folder: a folder without it holds no study."""


@dataclass(frozen=True)
class Locations:
    """URLs; `checkpoints` is None where they are in the study's folder."""

    storage: str
    tracking_uri: str
    checkpoints: str | None = None

    def __str__(self) -> str:
        """The text of the file `LOCATIONS`."""
        return json.dumps({name: each for name, each in asdict(self).items() if each is not None}, indent=2) + "\n"

    @classmethod
    def read(cls, path: Path) -> Locations:
        """Read the locations from the file. Raises KansearchError where it is damaged.

        A folder that was moved or copied takes its database along. So an SQLite file in it that has the written name is
        used, wherever the written path leads.
        """
        try:
            document = json.loads(path.read_text())
            locations = cls(document["storage"], document["tracking_uri"], document.get("checkpoints"))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise KansearchError(f"{path} is damaged: {error}") from error
        if not isinstance(locations.storage, str) or not isinstance(locations.tracking_uri, str):
            raise KansearchError(f"{path} is damaged: storage and tracking_uri must be text")
        if locations.checkpoints is not None and not (isinstance(locations.checkpoints, str) and locations.checkpoints):
            raise KansearchError(f"{path} is damaged: checkpoints must be text")
        file = sqlite_path(locations.storage)
        if file is not None and (own := path.parent / file.name).is_file():
            return replace(locations, storage=sqlite_url(own))
        return locations
