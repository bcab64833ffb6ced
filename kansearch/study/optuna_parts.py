"""The private parts of Optuna that a study stands on, each in one function, and the check that they are there.

Optuna promises nothing about them. A version without one of them is refused when a study is opened. A write that has
lost its transaction, or a table that has changed, would be noticed too late.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from kansearch.errors import KansearchError

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage

__all__ = ["VERSIONS", "backend_of", "check_optuna", "get_trials_of", "models", "storage_of"]

VERSIONS = "optuna>=5.0,<5.1"
"""Versions in which every part is known to be there."""

_COLUMNS = {
    "TrialModel": {"trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"},
    "TrialParamModel": {"trial_id", "param_name", "param_value", "distribution_json"},
    "TrialUserAttributeModel": {"trial_id", "key", "value_json"},
    "TrialSystemAttributeModel": {"trial_id", "key", "value_json"},
    "TrialValueModel": {"trial_id", "objective", "value", "value_type"},
    "StudyUserAttributeModel": {"study_id", "key", "value_json"},
}
_CONVERSIONS = ("value_to_stored_repr", "stored_repr_to_value")


def storage_of(study: optuna.Study) -> BaseStorage:
    """The storage of an opened study (`Study._storage`)."""
    storage: BaseStorage = _part(study, "_storage")
    return storage


def backend_of(storage: BaseStorage) -> Any:
    """The relational storage that Optuna wrapped in a cache (`_CachedStorage._backend`)."""
    return _part(storage, "_backend")


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


def get_trials_of(storage: type) -> Any:
    """The method by which a relational storage reads trials (`RDBStorage._get_trials`)."""
    return _part(storage, "_get_trials")


@cache
def check_optuna() -> None:
    """Raise KansearchError, which names versions that work, where the installed Optuna lacks one of the parts."""
    import optuna

    storage_of(optuna.create_study(storage=optuna.storages.InMemoryStorage()))
    get_trials_of(optuna.storages.RDBStorage)
    models()


def _part(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        kind = owner if hasattr(owner, "__name__") else type(owner)
        raise _missing(f"{kind.__name__}.{name}") from None


def _missing(part: str) -> KansearchError:
    import optuna

    return KansearchError(
        f"optuna {optuna.__version__} has no `{part}`, which kansearch needs; install one that has: "
        f"pip install '{VERSIONS}'"
    )
