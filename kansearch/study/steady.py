"""`SteadyStorage`: Optuna's storage in a database that may be locked, restart, or fill up while a search runs.

What ends by itself (a lock that another process holds, a server that restarts) is waited for, at most
`KANSEARCH_STORAGE_PATIENCE` seconds (60) in a row. Anything else, and what lasts longer, is an `InterruptionError`. A
write whose answer was lost with the connection is not done twice.
"""

from __future__ import annotations

import functools
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy import Table
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from kansearch.errors import InputError, InterruptionError, causes
from kansearch.study import rows
from kansearch.study.optuna_parts import check_storage, joined
from kansearch.study.server_lock import LockLost, ServerLock
from trials.files import first_line

__all__ = ["SteadyStorage"]

_PATIENCE = "KANSEARCH_STORAGE_PATIENCE"
_PAUSE_SECONDS = 0.2
_ATTEMPT_SECONDS = 5  # of one attempt to get SQLite's lock, or to connect to a server
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DISK_FULL = "53100"  # PostgreSQL's SQLSTATE

T = TypeVar("T")


def _steady(method: Callable[..., T]) -> Callable[..., T]:
    """The method, repeated while the database is out of reach."""

    @functools.wraps(method)
    def repeated(self: SteadyStorage, *args: Any, **kwargs: Any) -> T:
        if self.inside:
            return method(self, *args, **kwargs)
        while True:
            try:
                result = method(self, *args, **kwargs)
            except (OperationalError, StorageInternalError, LockLost) as error:
                self.wait_or_raise(error)
            else:
                self.give_up_at = None
                return result

    return repeated


class SteadyStorage(RDBStorage):
    """Optuna's storage in the database `url`, opened at once or not at all.

    Raises SQLAlchemy's and Optuna's errors on opening. Methods that are called afterwards raise `InterruptionError`.
    """

    def __init__(self, url: str) -> None:
        address = make_url(url)
        self.shown = address.render_as_string(hide_password=True)
        self.patience = _seconds_of_patience()
        self.give_up_at: float | None = None
        """When waiting ends, on the monotonic clock; None while all is well."""
        self.lock: ServerLock | None = None
        """The driver's, where it holds one."""
        self.inside = False
        """Whether a transaction is open, which is repeated as a whole."""
        self._newest_before: int | None = None
        arguments = {
            "connect_args": _connect_arguments(address, self.patience),
            "pool_pre_ping": address.get_backend_name() != "sqlite",  # a file needs no question whether it is there
        }
        super().__init__(url, engine_kwargs=arguments)
        check_storage(self)
        weakref.finalize(self, self.engine.dispose)  # closes its connections

    def wait_or_raise(self, error: Exception) -> None:
        """Wait a little; raise `InterruptionError` where waiting does not help, or has not helped for long enough."""
        cause = next((each for each in causes(error) if isinstance(each, DBAPIError)), None)
        reason = first_line(cause.orig if cause is not None and cause.orig is not None else error)
        if not isinstance(error, LockLost) and (cause is None or not _may_end(cause)):
            raise InterruptionError(f"cannot use the study's storage {self.shown}: {reason}") from error
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + self.patience
        if time.monotonic() >= self.give_up_at:
            waited = f"waited {self.patience:g} s for the study's storage {self.shown}"
            raise InterruptionError(f"{waited}: {reason}") from error
        time.sleep(_PAUSE_SECONDS)

    @_steady
    def read(self, reader: Callable[[Connection], T]) -> T:
        """Return what `reader` reads, all of it as the database was at one moment."""
        with self.engine.connect() as connection:
            if self.engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN")  # Python's sqlite3 begins no transaction for reading
            else:
                connection.execution_options(isolation_level="REPEATABLE READ")
            return reader(connection)

    @contextmanager
    def locked(self, study_id: int, study: str) -> Iterator[None]:
        """Write as the one driver of a study in a PostgreSQL database. Raises StudyBusyError."""
        lock = ServerLock(self.engine, study_id, study)
        lock.take()
        self.lock = lock
        try:
            yield
        finally:
            self.lock = None
            lock.free()

    # -- writes: a transaction each, which is not done twice where its answer was lost ---------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction, in which Optuna's methods write too; while the driver's lock is held, in its session."""
        with self._begun() as connection, joined(self, connection):
            self.inside = True
            try:
                yield connection
            finally:
                self.inside = False

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        if self.lock is not None:
            with self.lock.writing() as connection:
                yield connection
        else:
            with self.engine.begin() as connection:
                if self.engine.dialect.name == "sqlite":
                    connection.exec_driver_sql("BEGIN IMMEDIATE")  # Python's sqlite3 begins at the first change alone
                yield connection

    @_steady
    def write(self, writer: Callable[[], None]) -> None:
        """Commit what `writer` writes through Optuna's methods: all, or none. Repeated, it must come to the same."""
        with self._writing():
            writer()

    def new_trials(
        self, study_id: int, trials: Sequence[FrozenTrial], attributes: Mapping[str, Any] | None = None
    ) -> list[tuple[int, int]]:
        """Commit trials, numbered from the newest one on, with attributes of the study; id and number of each.

        A study has one driver.
        """
        self._newest_before = None
        return self._new_trials(study_id, trials, attributes or {})

    @_steady
    def _new_trials(
        self, study_id: int, trials: Sequence[FrozenTrial], attributes: Mapping[str, Any]
    ) -> list[tuple[int, int]]:
        with self._writing() as connection:
            newest = _newest(connection, study_id)
            if self._newest_before is not None and newest > self._newest_before:  # the attempt before succeeded
                known = {"study": study_id, "first": self._newest_before + 1}
                return [(trial_id, number) for trial_id, number in connection.execute(rows.SINCE_NUMBER, known)]
            self._newest_before = newest
            for key, value in attributes.items():
                self.set_study_user_attr(study_id, key, value)
            return _insert(connection, study_id, newest + 1, trials)

    @_steady
    def add_ended(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Commit trials that have ended, numbered from 0 in their order, to a study without any: all, or none."""
        with self._writing() as connection:
            if _newest(connection, study_id) < 0:  # or the attempt before succeeded
                _insert(connection, study_id, 0, trials)


def _newest(connection: Connection, study_id: int) -> int:
    """The number of the study's newest trial; -1 where it has none."""
    number = connection.execute(rows.LAST_NUMBER, {"study": study_id}).scalar_one_or_none()
    return -1 if number is None else int(number)


def _insert(connection: Connection, study_id: int, first: int, trials: Sequence[FrozenTrial]) -> list[tuple[int, int]]:
    """Insert new trials, numbered from `first` on; id and number of each."""
    made, written = list[tuple[int, int]](), dict[Table, list[dict[str, Any]]]()
    for number, trial in enumerate(trials, start=first):
        inserted: Any = connection.execute(rows.INSERT_TRIAL, rows.trial_row(study_id, number, trial))
        made.append((int(inserted.inserted_primary_key[0]), number))
        for table, parts in rows.parts(trial, made[-1][0]).items():
            written.setdefault(table, []).extend(parts)
    for table, parts in written.items():
        if parts:
            connection.execute(rows.INSERT[table], parts)
    return made


# Reading, and writes that come to the same when they are repeated.
for _name in (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_trial_id_from_study_id_trial_number",
    "get_trial_number_from_id",
    "get_trial",
):
    setattr(SteadyStorage, _name, _steady(getattr(RDBStorage, _name)))


def _seconds_of_patience() -> float:
    text = os.environ.get(_PATIENCE, "60")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{_PATIENCE} must be a number of seconds, got {text!r}") from None


def _connect_arguments(address: URL, patience: float) -> dict[str, Any]:
    """Arguments that let the driver notice a database that does not answer; settings in the URL take precedence."""
    arguments: dict[str, dict[str, Any]] = {
        "sqlite": {"timeout": min(_ATTEMPT_SECONDS, patience)},
        "postgresql": {"connect_timeout": _ATTEMPT_SECONDS, "tcp_user_timeout": int(patience * 1000)},
    }
    known = arguments.get(address.get_backend_name(), {})
    return {key: value for key, value in known.items() if key not in address.query}


def _may_end(error: DBAPIError) -> bool:
    """Whether waiting may help: a lock, or a server that is gone for a while."""
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _BUSY
    if getattr(error.orig, "sqlstate", None) == _DISK_FULL:
        return False
    return isinstance(error, OperationalError) or error.connection_invalidated
