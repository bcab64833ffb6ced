"""`SteadyStorage`: Optuna's storage in a database that may be locked, restart, or fill up while a search runs.

What ends by itself (a lock that another process holds, a server that restarts) is waited for, at most
`KANSEARCH_STORAGE_PATIENCE` seconds (60) in a row. Anything else, and what lasts longer, is an `ObstacleError`. A write
whose answer was lost with the connection is not done twice.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from optuna.distributions import distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, OperationalError

from kansearch.errors import InputError, ObstacleError, causes

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
        while True:
            try:
                result = method(self, *args, **kwargs)
            except (OperationalError, StorageInternalError) as error:
                self.wait_or_raise(error)
            else:
                self.give_up_at = None
                return result

    return repeated


class SteadyStorage(RDBStorage):
    """Optuna's storage in the database `url`, opened at once or not at all.

    Raises SQLAlchemy's and Optuna's errors on opening; `ObstacleError` from any method afterwards.
    """

    def __init__(self, url: str) -> None:
        address = make_url(url)
        self.shown = address.render_as_string(hide_password=True)
        self.patience = _seconds_of_patience()
        self.give_up_at: float | None = None
        """When waiting ends, on the monotonic clock; None while all is well."""
        self._trials_before: int | None = None
        arguments = {"connect_args": _connect_arguments(address, self.patience), "pool_pre_ping": True}
        super().__init__(url, engine_kwargs=arguments)
        weakref.finalize(self, self.engine.dispose)  # closes its connections

    def wait_or_raise(self, error: Exception) -> None:
        """Wait a little; raise `ObstacleError` where waiting does not help, or has not helped for long enough."""
        cause = next((each for each in causes(error) if isinstance(each, DBAPIError)), None)
        reason = _first_line(cause.orig if cause is not None and cause.orig is not None else error)
        if cause is None or not _may_end(cause):
            raise ObstacleError(f"cannot use the study's storage {self.shown}: {reason}") from error
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + self.patience
        if time.monotonic() >= self.give_up_at:
            waited = f"waited {self.patience:g} s for the study's storage {self.shown}"
            raise ObstacleError(f"{waited}: {reason}") from error
        time.sleep(_PAUSE_SECONDS)

    @_steady
    def read(self, reader: Callable[[Connection], T]) -> T:
        """What `reader` reads."""
        with self.engine.connect() as connection:
            return reader(connection)

    # -- writes: a transaction each, which is not done twice where its answer was lost ---------------------------------

    def new_trial(self, study_id: int, trial: FrozenTrial) -> tuple[int, int]:
        """Commit a trial without values; its id and its number. A study has one driver."""
        self._trials_before = None
        return self._new_trial(study_id, trial)

    @_steady
    def _new_trial(self, study_id: int, trial: FrozenTrial) -> tuple[int, int]:
        with self.engine.begin() as connection:
            of_study = select(func.count()).select_from(_TRIALS).where(_TRIALS.c.study_id == study_id)
            number = connection.execute(of_study).scalar_one()
            if self._trials_before is not None and number > self._trials_before:  # the attempt before succeeded
                number = self._trials_before
                known = select(_TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id, _TRIALS.c.number == number)
                return int(connection.execute(known).scalar_one()), number
            self._trials_before = number
            trial_id = _insert(connection, study_id, number, trial)
            for table, rows in _parts(trial, trial_id).items():
                if rows:
                    connection.execute(insert(table), rows)
        return trial_id, number

    @_steady
    def add_ended(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
        """Commit trials that have ended, numbered from 0 in their order, to a study without any: all, or none."""
        rows: dict[Table, list[dict[str, Any]]] = {table: [] for table in (_PARAMS, _ATTRIBUTES, _NOTES, _VALUES)}
        with self.engine.begin() as connection:
            of_study = select(func.count()).select_from(_TRIALS).where(_TRIALS.c.study_id == study_id)
            if connection.execute(of_study).scalar_one():
                return  # the attempt before succeeded
            for number, trial in enumerate(trials):
                trial_id = _insert(connection, study_id, number, trial)
                for table, parts in _parts(trial, trial_id).items():
                    rows[table] += parts
                rows[_VALUES] += _value_rows(trial_id, trial.values or ())
            for table, parts in rows.items():
                if parts:
                    connection.execute(insert(table), parts)

    @_steady
    def note(
        self,
        trial_id: int,
        attributes: Mapping[str, Any],
        state: TrialState | None = None,
        values: Sequence[float] | None = None,
    ) -> None:
        """Commit attributes of a running trial and, unless `state` is None, how it ended.

        Raises UpdateFinishedTrialError for a trial that has ended otherwise.
        """
        with self.engine.begin() as connection:
            before = connection.execute(select(_TRIALS.c.state).where(_TRIALS.c.trial_id == trial_id)).scalar_one()
            if before.is_finished():
                if before == state:
                    return  # the attempt before succeeded
                raise UpdateFinishedTrialError(f"trial {trial_id} has ended: {before.name.lower()}")
            mine = _ATTRIBUTES.c.trial_id == trial_id
            for key, value in attributes.items():
                connection.execute(delete(_ATTRIBUTES).where(mine, _ATTRIBUTES.c.key == key))
                row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                connection.execute(insert(_ATTRIBUTES).values(row))
            if values:
                connection.execute(insert(_VALUES), _value_rows(trial_id, values))
            if state is not None:
                ended = {"state": state, "datetime_complete": _utc(datetime.now())}
                connection.execute(update(_TRIALS).where(_TRIALS.c.trial_id == trial_id).values(ended))


_TABLES = models.BaseModel.metadata.tables
_TRIALS, _ATTRIBUTES, _VALUES, _PARAMS, _NOTES = (
    _TABLES[model.__tablename__]
    for model in (
        models.TrialModel,
        models.TrialUserAttributeModel,
        models.TrialValueModel,
        models.TrialParamModel,
        models.TrialSystemAttributeModel,
    )
)


def _insert(connection: Connection, study_id: int, number: int, trial: FrozenTrial) -> int:
    """The id of the new row of a trial, whose parts are to follow."""
    row: dict[str, Any] = {"study_id": study_id, "number": number, "state": trial.state}
    row |= {"datetime_start": _utc(trial.datetime_start), "datetime_complete": _utc(trial.datetime_complete)}
    inserted: Any = connection.execute(insert(_TRIALS).values(row)).inserted_primary_key
    return int(inserted[0])


def _parts(trial: FrozenTrial, trial_id: int) -> dict[Table, list[dict[str, Any]]]:
    """The rows of a new trial beside its own, by table."""

    def attributes(values: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in values.items()]

    params = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]
    return {_PARAMS: params, _ATTRIBUTES: attributes(trial.user_attrs), _NOTES: attributes(trial.system_attrs)}


def _value_rows(trial_id: int, values: Sequence[float]) -> list[dict[str, Any]]:
    stored = [models.TrialValueModel.value_to_stored_repr(value) for value in values]
    return [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _utc(local: datetime | None) -> datetime | None:
    """Optuna stores UTC and gives local time, both without saying so."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)


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
    "get_trial",
    "_get_trials",
):
    setattr(SteadyStorage, _name, _steady(getattr(RDBStorage, _name)))


def _seconds_of_patience() -> float:
    text = os.environ.get(_PATIENCE, "60")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{_PATIENCE} must be a number of seconds, got {text!r}") from None


def _connect_arguments(address: URL, patience: float) -> dict[str, Any]:
    """What the driver needs to notice a database that does not answer; the URL's own settings go before."""
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


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
