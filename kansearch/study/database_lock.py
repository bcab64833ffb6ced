"""One driver a study in its database, whatever the folders are that name it (`Study.lock_database`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kansearch.study.lock import held_file
from kansearch.study.storage import Opened, sqlite_path

__all__ = ["database_lock"]


@contextmanager
def database_lock(opened: Opened, folder: Path, url: str) -> Iterator[None]:
    """Hold the study that is opened, which is that in `folder`, in the database `url`.

    Raises:
        StudyBusyError: another process holds it.
    """
    database, file, name = opened.database, sqlite_path(url), opened.study.study_name
    if file is not None and file.resolve().parent != folder.resolve():  # else the folder's lock is enough
        file = file.resolve()
        with held_file(file.with_name(f"{file.name}.{name}.lock"), name):
            yield
    elif database is not None and database.engine.dialect.name == "postgresql":
        with database.locked(opened.id, name):
            yield
    else:
        yield
