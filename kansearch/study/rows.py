"""A trial as rows of Optuna's tables, and the statements that write them, which are built once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import distribution_to_json
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Table, bindparam, delete, insert, or_, select, update

from kansearch.study.optuna_parts import models

__all__ = [
    "ATTRIBUTES",
    "DELETE_ATTRIBUTE",
    "DELETE_STUDY_ATTRIBUTE",
    "END_TRIAL",
    "INSERT",
    "INSERT_TRIAL",
    "LAST_NUMBER",
    "NOTES",
    "PARAMS",
    "SINCE_NUMBER",
    "STATE",
    "STUDY_ATTRIBUTES",
    "VALUES",
    "attribute_rows",
    "ended_row",
    "parts",
    "trial_row",
    "value_rows",
]

_MODELS = models()
_TRIALS: Table = _MODELS.TrialModel.__table__
PARAMS: Table = _MODELS.TrialParamModel.__table__
ATTRIBUTES: Table = _MODELS.TrialUserAttributeModel.__table__
NOTES: Table = _MODELS.TrialSystemAttributeModel.__table__
VALUES: Table = _MODELS.TrialValueModel.__table__
STUDY_ATTRIBUTES: Table = _MODELS.StudyUserAttributeModel.__table__

_OF_STUDY = _TRIALS.c.study_id == bindparam("study")
_THE_TRIAL = _TRIALS.c.trial_id == bindparam("trial")
_UNFINISHED = or_(_TRIALS.c.state == TrialState.RUNNING, _TRIALS.c.state == TrialState.WAITING)

INSERT = {table: insert(table) for table in (PARAMS, ATTRIBUTES, NOTES, VALUES, STUDY_ATTRIBUTES)}
INSERT_TRIAL = insert(_TRIALS)
LAST_NUMBER = select(_TRIALS.c.number).where(_OF_STUDY).order_by(_TRIALS.c.trial_id.desc()).limit(1)
"""The number of the `study`'s newest trial."""
SINCE_NUMBER = (
    select(_TRIALS.c.trial_id, _TRIALS.c.number)
    .where(_OF_STUDY, _TRIALS.c.number >= bindparam("first"))
    .order_by(_TRIALS.c.number)
)
"""Ids and numbers of the `study`'s trials from number `first` on."""
STATE = select(_TRIALS.c.state).where(_THE_TRIAL)
END_TRIAL = update(_TRIALS).where(_THE_TRIAL, _UNFINISHED)
"""Needs `ended_row`; touches no row where the `trial` has ended."""
DELETE_ATTRIBUTE = delete(ATTRIBUTES).where(
    ATTRIBUTES.c.trial_id == bindparam("trial"), ATTRIBUTES.c.key == bindparam("name")
)
DELETE_STUDY_ATTRIBUTE = delete(STUDY_ATTRIBUTES).where(
    STUDY_ATTRIBUTES.c.study_id == bindparam("study"), STUDY_ATTRIBUTES.c.key == bindparam("name")
)


def trial_row(study_id: int, number: int, trial: FrozenTrial) -> dict[str, Any]:
    """The row of a new trial, whose parts are to follow."""
    return {
        "study_id": study_id,
        "number": number,
        "state": trial.state,
        "datetime_start": _utc(trial.datetime_start),
        "datetime_complete": _utc(trial.datetime_complete),
    }


def ended_row(state: TrialState) -> dict[str, Any]:
    """The columns that change in the row of a trial that ends now, with their new values."""
    return {"state": state, "datetime_complete": datetime.now(UTC).replace(tzinfo=None)}


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
    key = {"trial_id": trial_id}
    return {
        PARAMS: params,
        ATTRIBUTES: attribute_rows(key, trial.user_attrs),
        NOTES: attribute_rows(key, trial.system_attrs),
        VALUES: value_rows(trial_id, trial.values or ()),
    }


def attribute_rows(owner: Mapping[str, int], attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of attributes; `owner` is the column and the id of the trial or study that has them."""
    return [{**owner, "key": key, "value_json": json.dumps(value)} for key, value in attributes.items()]


def value_rows(trial_id: int, values: Sequence[float]) -> list[dict[str, Any]]:
    """Rows of a trial's objectives."""
    stored = [_MODELS.TrialValueModel.value_to_stored_repr(value) for value in values]
    return [
        {"trial_id": trial_id, "objective": objective, "value": value, "value_type": kind}
        for objective, (value, kind) in enumerate(stored)
    ]


def _utc(local: datetime | None) -> datetime | None:
    """Optuna stores UTC and gives local time, both without saying so."""
    return None if local is None else local.astimezone(UTC).replace(tzinfo=None)
