"""A study that is made elsewhere in its home, and is there whole once its folder is renamed, or not at all.

studies/.merging/<study>/       while it is made, under its lock; what a killed process left is made anew
studies/<study>/                afterwards
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from kansearch.errors import InputError, KansearchError
from kansearch.study.locations import LOCATIONS, Locations
from kansearch.study.lock import driver_lock
from kansearch.study.private import private_folder
from kansearch.study.storage import discard_optuna_study, sqlite_path, sqlite_url
from kansearch.study.study import Study
from trials.files import write_whole

__all__ = ["Staging", "check_new", "staging"]

_TOKEN = "kansearch:staging"
"""The attribute of an Optuna study that says which process made it, and the name of a file that says so too."""


def check_new(home: Path, name: str) -> None:
    """Raise InputError where there is a study `name`, or anything else in the place of its folder."""
    folder = home / name
    if (folder / LOCATIONS).exists():
        raise InputError(f"study '{name}' exists in {home}: name another with `--study NAME`")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no study: remove it, or name another with `--study NAME`")


class Staging:
    """A new study's folder, not yet in its place.

    Attributes:
        home: for `Study.create`, in place of the real one.
        attributes: for the Optuna study, by which a half-made one is known.
    """

    def __init__(self, home: Path, name: str) -> None:
        self.home = home / ".merging"
        self._folder, self._target = self.home / name, home / name
        self.attributes: Mapping[str, Any] = {_TOKEN: uuid.uuid4().hex}

    def begin(self) -> None:
        """Take away what a killed process left, and note who makes the study now."""
        self._clear()
        (self._folder / "token").write_text(str(self.attributes[_TOKEN]))

    def publish(self, study: Study) -> Study:
        """Put a study that was made here in its place; it is opened there.

        Raises:
            InputError: there is another by now.
        """
        study.close()
        path = self._folder / LOCATIONS
        locations, file = Locations.read(path), sqlite_path(study.storage_url)
        if file is not None and file.parent == self._folder.absolute():
            locations = replace(locations, storage=sqlite_url(self._target / file.name))
        write_whole(path, str(locations), mode=0o600)
        check_new(self._target.parent, study.name)
        self._folder.rename(self._target)
        (self._target / "token").unlink()
        return Study.open(self._target.parent, study.name)

    def abandon(self) -> None:
        """Leave nothing, unless the study is in its place."""
        if self._folder.is_dir():
            self._clear()
            shutil.rmtree(self._folder)
        with suppress(OSError):  # another study is made there, or it is gone
            self.home.rmdir()

    def _clear(self) -> None:
        """Remove all but the lock, and study.json.new, which says which Optuna study without trials is ours."""
        path, token = self._folder / LOCATIONS, self._folder / "token"
        if path.is_file() and token.is_file():
            storage = Locations.read(path).storage
            file = sqlite_path(storage)
            if file is None or (file.parent != self._folder.absolute() and file.is_file()):
                discard_optuna_study(self._folder.name, storage, {_TOKEN: token.read_text()})
        for each in self._folder.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif each.name not in ("driver.lock", f"{LOCATIONS}.new"):
                each.unlink()


@contextmanager
def staging(home: Path, name: str) -> Iterator[Staging]:
    """Where to make the study `name`, which is locked, also once it is in its place. Without that, nothing is left.

    Raises:
        StudyBusyError: another process makes a study of that name.
    """
    made = Staging(home, name)
    folder = made.home / name
    try:
        private_folder(folder)
    except OSError as error:
        raise KansearchError(f"cannot make the folder {folder}: {error.strerror}") from error
    with driver_lock(folder):
        made.begin()
        try:
            yield made
        finally:
            made.abandon()
