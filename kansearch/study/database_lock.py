"""One driver a study in its database, whatever the folders are that name it (`Study.lock_database`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kansearch.study.lock import held_file
from kansearch.study.storage import sqlite_path, steady_storage

if TYPE_CHECKING:
    import optuna

__all__ = ["database_lock"]


@contextmanager
def database_lock(study: optuna.Study, folder: Path, url: str) -> Iterator[None]:
    """Hold `study`, which is that in `folder`, in the database `url`.

    Raises:
        StudyBusyError: another process holds it.
    """
    database, file = steady_storage(study), sqlite_path(url)
    if file is not None and file.resolve().parent != folder.resolve():  # else the folder's lock is enough
        file = file.resolve()
        with held_file(file.with_name(f"{file.name}.{study.study_name}.lock"), study.study_name):
            yield
    elif database is not None and database.engine.dialect.name == "postgresql":
        with database.locked(database.get_study_id_from_name(study.study_name), study.study_name):
            yield
    else:
        yield
