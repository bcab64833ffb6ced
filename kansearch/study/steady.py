"""`SteadyStorage`: Optuna's storage in a database that may be locked, restart, or fill up while a search runs.

What ends by itself (a lock that another process holds, a server that restarts) is waited for, at most
`KANSEARCH_STORAGE_PATIENCE` seconds (60) in a row. Anything else, and what lasts longer, is a `ObstacleError`. A write
whose answer was lost with the connection is not done twice.
"""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from optuna.distributions import distribution_to_json
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session

from kansearch.errors import InputError, ObstacleError, causes

__all__ = ["SteadyStorage"]

_PATIENCE = "KANSEARCH_STORAGE_PATIENCE"
_PAUSE_SECONDS = 0.2
_ATTEMPT_SECONDS = 5  # of one attempt to get SQLite's lock, or to connect to a server
_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_DISK_FULL = "53100"  # PostgreSQL's SQLSTATE

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class _OutOfReach(Exception):
    """Passes Optuna's own repetitions by, which would multiply the time waited here."""


def _steady(method: F) -> F:
    """The method, repeated while the database is out of reach."""

    @functools.wraps(method)
    def repeated(self: SteadyStorage, *args: Any, **kwargs: Any) -> Any:
        while True:
            try:
                result = method(self, *args, **kwargs)
            except (OperationalError, StorageInternalError, _OutOfReach) as error:
                self.wait_or_raise(error)
            else:
                self.give_up_at = None
                return result

    return cast(F, repeated)


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
    def steadily(self, read: Callable[[], T]) -> T:
        """What `read` gives, which asks the database by itself; repeated as every method here."""
        return read()

    # -- writes that must not be done twice ---------------------------------------------------------------------------

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        self._trials_before = None
        return self._created(study_id, template_trial)

    @_steady
    def _created(self, study_id: int, template_trial: FrozenTrial | None) -> FrozenTrial:
        self.engine.connect().close()  # out of reach is told here, not after Optuna's own repetitions
        return super()._create_new_trial(study_id, template_trial)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        """A study has one driver: one trial more than before the first attempt is the trial which that made."""
        try:
            trials = session.query(models.TrialModel).filter(models.TrialModel.study_id == study_id)
            count = trials.count()
            if self._trials_before is not None and count > self._trials_before:
                return trials.filter(models.TrialModel.number == self._trials_before).one()
            self._trials_before = count
            if template_trial is None:
                return super()._get_prepared_new_trial(study_id, template_trial, session)
            return _insert(study_id, count, template_trial, session)
        except OperationalError as error:
            raise _OutOfReach from error

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        try:
            return self._state_set(trial_id, state, values)
        except UpdateFinishedTrialError:
            ended = self.get_trial(trial_id)
            if (ended.state, ended.values) != (state, None if values is None else list(values)):
                raise
            return True

    @_steady
    def _state_set(self, trial_id: int, state: TrialState, values: Sequence[float] | None) -> bool:
        return super().set_trial_state_values(trial_id, state, values)


def _insert(study_id: int, number: int, template: FrozenTrial, session: Session) -> models.TrialModel:
    """The rows of a new trial without values. Optuna asks the database three times for each hyperparameter."""
    trial = models.TrialModel(study_id=study_id, number=number, state=template.state)
    trial.datetime_start, trial.datetime_complete = template.datetime_start, template.datetime_complete
    session.add(trial)
    session.flush()
    rows: list[Any] = []
    for name, value in template.params.items():
        distribution = template.distributions[name]
        text, stored = distribution_to_json(distribution), distribution.to_internal_repr(value)
        row = models.TrialParamModel(param_name=name, param_value=stored, distribution_json=text)
        rows.append(row)
    for model, attributes in (
        (models.TrialUserAttributeModel, template.user_attrs),
        (models.TrialSystemAttributeModel, template.system_attrs),
    ):
        rows += [model(key=key, value_json=json.dumps(value)) for key, value in attributes.items()]
    for row in rows:
        row.trial_id = trial.trial_id
    session.add_all(rows)
    return trial


# Reading, and writes that come to the same when they are repeated.
for _name in (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "_set_trial_param",
    "get_trial_param",
    "get_trial_id_from_study_id_trial_number",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
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
