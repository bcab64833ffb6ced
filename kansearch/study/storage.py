"""The Optuna study behind a study: made and opened in its database."""

from __future__ import annotations

import shlex
import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from kansearch.errors import InputError, KansearchError
from kansearch.space import SearchSpace
from kansearch.study.optuna_parts import check_optuna
from kansearch.study.private import private_file
from trials.files import first_line

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

    from kansearch.study.steady import SteadyStorage

__all__ = [
    "SPACE_ATTRIBUTE",
    "Opened",
    "allow_reading_while_writing",
    "check_driver",
    "create_optuna_study",
    "discard_optuna_study",
    "load_optuna_study",
    "name_objectives",
    "sqlite_path",
    "sqlite_url",
]

SPACE_ATTRIBUTE = "kansearch:space"
"""The study's attribute that holds the search space: its text, its file's name, its overrides."""

_SQLITE = "sqlite:///"


class Opened(NamedTuple):
    """An opened Optuna study, and the storage in which it is."""

    study: optuna.Study
    storage: BaseStorage

    @property
    def id(self) -> int:
        """Its id in the storage."""
        return self.storage.get_study_id_from_name(self.study.study_name)

    @property
    def database(self) -> SteadyStorage | None:
        """The storage, unless the study is in memory."""
        import optuna

        if isinstance(self.storage, optuna.storages.InMemoryStorage):
            return None
        from kansearch.study.steady import SteadyStorage

        return self.storage if isinstance(self.storage, SteadyStorage) else None

    def write(self, writer: Callable[[], None]) -> None:
        """Commit what `writer` writes through Optuna's methods: all, or none, unless the study is in memory."""
        if self.database is None:
            writer()
        else:
            self.database.write(writer)


def sqlite_url(path: Path) -> str:
    """SQLAlchemy's URL of the SQLite file `path`."""
    return f"{_SQLITE}{path.absolute()}"


def sqlite_path(url: str) -> Path | None:
    """The file of an SQLite database; None for another database, or one in memory."""
    if not url.startswith(_SQLITE):
        return None
    name = url.removeprefix(_SQLITE).partition("?")[0]
    return None if name == ":memory:" else Path(name)


def create_optuna_study(space: SearchSpace, url: str, attributes: Mapping[str, Any], replace: bool = False) -> Opened:
    """Make the Optuna study of `space` in the database `url`, with more attributes, and open it.

    With `replace`, one of that name that has no trials is taken for what a killed launch left, and made anew.

    Raises:
        InputError: there is one of that name. KansearchError: the database can't be opened.
    """
    import optuna

    storage = _storage(url)
    if replace and _is_empty(space.study, storage):
        optuna.delete_study(study_name=space.study, storage=storage)
    try:
        study = optuna.create_study(study_name=space.study, storage=storage, directions=list(space.objectives.values()))
    except optuna.exceptions.DuplicatedStudyError as error:
        raise InputError(
            f"the storage {_shown(url)} holds a study '{space.study}' already; name another with --study"
        ) from error
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    name_objectives(study, [str(name) for name in space.objectives])
    written = {"source": space.source, "file": space.file, "overrides": list(space.overrides)}
    study.set_user_attr(SPACE_ATTRIBUTE, written)
    path = sqlite_path(url)
    if path is not None:
        allow_reading_while_writing(path)
    return Opened(study, storage)


def name_objectives(study: optuna.Study, names: Sequence[str]) -> None:
    """Let Optuna know the objectives of a study by name, unless it does; `optuna` and Optuna Dashboard show them."""
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if study.metric_names != list(names):
            study.set_metric_names(list(names))


def _is_empty(name: str, storage: BaseStorage) -> bool:
    try:
        return storage.get_n_trials(storage.get_study_id_from_name(name)) == 0
    except KeyError:
        return False  # there is none


def discard_optuna_study(name: str, url: str, attributes: Mapping[str, Any]) -> None:
    """Remove the Optuna study `name` from the database `url`, if it is there and has these attributes.

    Raises:
        KansearchError: the database can't be opened.
    """
    import optuna

    storage = _storage(url)
    if name in optuna.get_all_study_names(storage):
        found = optuna.load_study(study_name=name, storage=storage).user_attrs
        if found.items() >= attributes.items():
            optuna.delete_study(study_name=name, storage=storage)


def load_optuna_study(name: str, url: str, renamed: bool = False) -> Opened:
    """Open the Optuna study `name` in the database `url`; with `renamed` the one that is there alone, whatever its
    name.

    Raises:
        KansearchError: no such database or study, or it is not one that kansearch made.
    """
    import optuna

    path = sqlite_path(url)
    if path is not None and not path.is_file():
        raise KansearchError(f"the study's database {path} is gone")
    storage = _storage(url)
    if renamed and len(names := optuna.get_all_study_names(storage)) == 1:
        name = names[0]
    try:
        study = optuna.load_study(study_name=name, storage=storage)
    except KeyError as error:
        raise KansearchError(f"the storage {_shown(url)} holds no study '{name}'") from error
    stored = study.user_attrs.get(SPACE_ATTRIBUTE)
    if not isinstance(stored, dict) or stored.keys() != {"source", "file", "overrides"}:
        raise KansearchError(f"the study '{name}' in {_shown(url)} has no search space; kansearch did not make it")
    return Opened(study, storage)


def _storage(url: str) -> BaseStorage:
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_optuna()
    from kansearch.study.steady import SteadyStorage

    check_driver(url)
    path = sqlite_path(url)
    if path is not None:
        private_file(path)
    try:
        return SteadyStorage(url)
    except RuntimeError as error:  # Optuna's, of tables that another version of it made
        raise KansearchError(f"cannot use the study's storage {_shown(url)}: {_what_to_do(str(error), url)}") from error
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise KansearchError(f"cannot open the study's storage {_shown(url)}: {first_line(error)}") from error


def _what_to_do(complaint: str, url: str) -> str:
    """Optuna's complaint of tables that its version does not know, and the way out."""
    import optuna

    said = complaint.partition(" Please")[0].rstrip(".")
    if "storage upgrade" in complaint:
        return f"{said}; keep a copy, then run `optuna storage upgrade --storage {shlex.quote(_shown(url))}`"
    return f"{said}; install that version or a newer one in place of optuna {optuna.__version__}"


def check_driver(url: str) -> None:
    """Complain of a PostgreSQL URL whose driver is not installed.

    Raises:
        KansearchError: the message says what to install.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        address = make_url(url)
        if address.get_backend_name() == "postgresql":
            address.get_dialect().import_dbapi()
    except ArgumentError:
        return  # not a database's URL: whoever opens it says so
    except ImportError as error:
        missing = first_line(error)
        raise KansearchError(
            f"{_shown(url)} needs a driver that is not installed ({missing}): pip install 'kansearch[postgresql]'"
        ) from error


def _shown(url: str) -> str:
    """`url` without its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "(not a database URL)"


def allow_reading_while_writing(path: Path) -> None:
    """Keep an SQLite database in WAL mode, from now on."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
