"""Files that are added to the run of a trial after its search."""

from __future__ import annotations

from pathlib import Path

from kansearch.errors import KansearchError
from kansearch.study.study import Study
from kansearch.tracking.store import STUDY_TAG, TRIAL_TAG, experiment_name

__all__ = ["log_to_trial"]


def log_to_trial(study: Study, number: int, folder: Path, name: str) -> None:
    """Add the files of `folder` to the trial's run in MLflow, under `name`; what is there under that name is replaced.

    Raises KansearchError where the run isn't there, or MLflow doesn't take them.
    """
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=study.tracking_uri)
    try:
        experiment = client.get_experiment_by_name(experiment_name(study.name))
        found = client.search_runs(
            [] if experiment is None else [experiment.experiment_id],
            f"tags.`{STUDY_TAG}` = '{study.name}' and tags.`{TRIAL_TAG}` = '{number}'",
        )
        if not found:
            raise KansearchError(f"MLflow has no run of trial {number} of study {study.name}")
        client.log_artifacts(found[0].info.run_id, str(folder), name)
    except MlflowException as error:
        raise KansearchError(f"MLflow did not take the files of trial {number}: {error}") from error
