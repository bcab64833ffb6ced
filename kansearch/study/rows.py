"""A new trial as rows of Optuna's tables, and the statements that insert them, which are built once.

Optuna's `create_new_trial` asks the database for the earlier trials of each hyperparameter, and refuses a choice whose
options have changed since. A study may be resumed with other options.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial
from sqlalchemy import Table, bindparam, insert, select

from kansearch.study.optuna_parts import models

__all__ = [
    "INSERT",
    "INSERT_TRIAL",
    "LAST_NUMBER",
    "SINCE_NUMBER",
    "parts",
    "trial_row",
]

_MODELS = models()
_TRIALS: Table = _MODELS.TrialModel.__table__
_PARAMS: Table = _MODELS.TrialParamModel.__table__
_ATTRIBUTES: Table = _MODELS.TrialUserAttributeModel.__table__
_NOTES: Table = _MODELS.TrialSystemAttributeModel.__table__
_VALUES: Table = _MODELS.TrialValueModel.__table__

_OF_STUDY = _TRIALS.c.study_id == bindparam("study")

INSERT = {table: insert(table) for table in (_PARAMS, _ATTRIBUTES, _NOTES, _VALUES)}
"""By table, the statement that inserts the rows that `parts` makes."""
INSERT_TRIAL = insert(_TRIALS)
LAST_NUMBER = select(_TRIALS.c.number).where(_OF_STUDY).order_by(_TRIALS.c.trial_id.desc()).limit(1)
"""The number of the `study`'s newest trial."""
SINCE_NUMBER = (
    select(_TRIALS.c.trial_id, _TRIALS.c.number)
    .where(_OF_STUDY, _TRIALS.c.number >= bindparam("first"))
    .order_by(_TRIALS.c.number)
)
"""Ids and numbers of the `study`'s trials from number `first` on."""


def trial_row(study_id: int, number: int, trial: FrozenTrial) -> dict[str, Any]:
    """The row of a new trial, whose parts are to follow."""
    return {
        "study_id": study_id,
        "number": number,
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def parts(trial: FrozenTrial, trial_id: int) -> dict[Table, list[dict[str, Any]]]:
    """The rows of a new trial beside its own, by table."""
    params = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": trial.distributions[name].to_internal_repr(value),
            "distribution_json": distribution_to_json(trial.distributions[name]),
        }
        for name, value in trial.params.items()
    ]
    return {
        _PARAMS: params,
        _ATTRIBUTES: _attribute_rows(trial_id, trial.user_attrs),
        _NOTES: _attribute_rows(trial_id, trial.system_attrs),
        _VALUES: _value_rows(trial_id, trial.values or ()),
    }


def _attribute_rows(trial_id: int, attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"trial_id": trial_id, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def _value_rows(trial_id: int, values: Sequence[float]) -> list[dict[str, Any]]:
    stored = [_MODELS.TrialValueModel.value_to_stored_repr(value) for value in values]
    return [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _utc(local: datetime | None) -> datetime | None:
    """Optuna stores UTC and gives local time, both without saying so."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
