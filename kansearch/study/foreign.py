"""A study in any folder, opened to be read alone: one of another home, or a copy from another machine.

Its own SQLite file is read from a copy, because to open such a file may change it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from kansearch.errors import InputError, KansearchError, UnknownStudyError
from kansearch.study.locations import LOCATIONS, Locations
from kansearch.study.storage import load_optuna_study, sqlite_path, sqlite_url
from kansearch.study.study import Study, study_names

__all__ = ["find_study", "labels", "read_study_at"]


def find_study(home: Path, word: str) -> Path:
    """The folder of a study that a user named, or whose folder's path the user gave, which has a separator.

    Raises:
        UnknownStudyError: there is none; the message lists those there are.
    """
    folder = Path(word) if "/" in word else home / word
    if word not in ("", ".", "..") and (folder / LOCATIONS).is_file():
        return folder.resolve()
    if "/" in word:
        raise UnknownStudyError(f"no study in the folder {word}: it has no {LOCATIONS}")
    known = ", ".join(study_names(home)) or "none yet"
    raise UnknownStudyError(
        f"no study '{word}' in {home}; studies there: {known}; a study elsewhere is given by a path"
    )


def labels(folders: Sequence[Path]) -> list[str]:
    """A name for each study in `folders`, which are whole paths, in which it differs from the others: as few of the
    last parts of its path as that takes.

    Raises:
        InputError: a folder is there twice.
    """
    for index, folder in enumerate(folders):
        if folder in folders[:index]:
            raise InputError(f"study '{folder.name}' ({folder}) is named twice")
    parts = 1
    while len({folder.parts[-parts:] for folder in folders}) < len(folders):
        parts += 1
    return ["/".join(folder.parts[-parts:]) for folder in folders]


def read_study_at(folder: Path, scratch: Path) -> Study:
    """Open the study in `folder`; call it under its lock. `scratch`, an empty folder, is given a copy of its database.

    Raises:
        KansearchError: the study is damaged, or its database is out of reach.
    """
    locations = Locations.read(folder / LOCATIONS)
    url, written = locations.storage, sqlite_path(locations.storage)
    if written is not None and written.parent == folder and written.is_file():
        url = sqlite_url(_copied(written, scratch))
    elif written is not None and (not written.is_file() or (written.parent / LOCATIONS).is_file()):
        raise KansearchError(
            f"the study in {folder} is a copy without its database {written.name}, which was {written}"
        )
    try:
        study = load_optuna_study(folder.name, url, renamed=True)
    except KansearchError as error:
        raise KansearchError(f"cannot read the study in {folder}: {error}") from error
    return Study(folder, url, locations.tracking_uri, study, locations.checkpoints)


def _copied(database: Path, scratch: Path) -> Path:
    """A copy of an SQLite file to which nobody writes. What is in its log goes first: should somebody who reads move
    that into the file meanwhile, it is in both, which does no harm."""
    for suffix in ("-wal", "-journal", ""):
        source = database.with_name(database.name + suffix)
        if source.is_file():
            shutil.copyfile(source, scratch / source.name)
    return scratch / database.name
