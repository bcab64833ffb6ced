"""The parts of Optuna that a study stands on and that Optuna promises nothing about, and the check that they are there.

    optuna.storages._rdb.models     its tables: new trials are inserted and all trials read row by row, which takes a
                                    tenth and a sixth of the time that Optuna's own methods take
    RDBStorage.engine               the connections to the database
    RDBStorage.scoped_session       through which its methods write: several of them in one transaction

A version without one of them is refused when a study is opened: a write that has lost its transaction, or a table that
has changed, would be noticed too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from kansearch.errors import KansearchError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import Connection

__all__ = ["VERSIONS", "check_optuna", "check_storage", "joined", "models"]

VERSIONS = "optuna>=5,<5.1"
"""Versions in which every part is known to be there; pyproject.toml asks for them."""

_COLUMNS = {
    "TrialModel": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "TrialParamModel": {"trial_id", "param_name", "param_value", "distribution_json"},
    "TrialUserAttributeModel": {"trial_id", "key", "value_json"},
    "TrialSystemAttributeModel": {"trial_id", "key", "value_json"},
    "TrialValueModel": {"trial_id", "objective", "value", "value_type"},
}
_CONVERSIONS = ("value_to_stored_repr", "stored_repr_to_value")


def models() -> Any:
    """The module of Optuna's tables (`optuna.storages._rdb.models`), with the columns and conversions used here."""
    try:
        from optuna.storages._rdb import models as module
    except ImportError:
        raise _missing("optuna.storages._rdb.models") from None
    for name, columns in _COLUMNS.items():
        table = _part(_part(module, name), "__table__")
        for column in columns - set(table.c.keys()):
            raise _missing(f"{name}.{column}")
    for name in _CONVERSIONS:
        _part(module.TrialValueModel, name)
    return module


@contextmanager
def joined(storage: RDBStorage, connection: Connection) -> Iterator[None]:
    """Inside, what this thread writes through Optuna's methods is part of the transaction of `connection`.

    Source: SQLAlchemy, Joining a Session into an External Transaction.
    """
    storage.remove_session()
    storage.scoped_session(bind=connection)
    try:
        yield
    finally:
        storage.remove_session()


@cache
def check_optuna() -> None:
    """Raise KansearchError, which names versions that work, where the installed Optuna lacks one of its tables."""
    models()


def check_storage(storage: RDBStorage) -> None:
    """Raise KansearchError where an opened storage lacks an attribute."""
    for name in ("engine", "scoped_session"):
        _part(storage, name)


def _part(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        kind = owner.__name__ if hasattr(owner, "__name__") else "RDBStorage"
        raise _missing(f"{kind}.{name}") from None


def _missing(part: str) -> KansearchError:
    import optuna

    return KansearchError(
        f"optuna {optuna.__version__} has no `{part}`, which kansearch needs; install one that has: "
        f"pip install '{VERSIONS}'"
    )
