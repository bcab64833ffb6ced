"""A retraining's runs in MLflow: found by their tags or made, and brought up to what was trained. Idempotent.

experiment kansearch/<study>, or kansearch/retrain where no study is known
└── run retrain <configuration>     parameters, figures, pictures, model card; a child of the study's run
    ├── run seed 0                  its curve and figures; where there is one seed they are in the run above
    └── ...
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import KansearchError
from kansearch.study.figures import describe
from kansearch.study.seeds import SeedRecord
from kansearch.study.storage import check_driver, sqlite_url
from kansearch.study.study import Study
from kansearch.tracking.client import (
    SEED_TAG,
    entities,
    experiment_of,
    find_runs,
    flatten,
    metric,
    quiet_client,
    study_runs,
)
from kansearch.tracking.runs import ChildRuns
from kansearch.tracking.store import OUTCOME_STATUS
from kansearch.tracking.writer import MlflowWriter
from trials.metrics import ON_VALIDATION, OWN_METRICS

if TYPE_CHECKING:
    from mlflow.entities import Metric, Run

    from kansearch.seeds.retraining import Retraining

__all__ = ["RETRAIN_TAG", "RetrainingStore", "log_trained", "writer_of"]

RETRAIN_TAG, SOURCE_TAG = "kansearch.retrain", "kansearch.source_study"
_ARTIFACTS = ("README.md", "config.yaml", "metrics.json", "curves.png", "confusion.png", "predictions.png")


class RetrainingStore:
    """The runs of one retraining (`kansearch.tracking.process.RunStore`).

    Args:
        tracking_uri: of MLflow's store.
        home: folder of studies, where artifacts go unless a server keeps them.
        of_study: whether the configuration's study is one of those, so that the run is linked to its run.
        retraining: with its identity.
    """

    def __init__(self, tracking_uri: str, home: Path, of_study: bool, retraining: Retraining) -> None:
        self._client = quiet_client(tracking_uri)
        self._retraining = retraining
        self._study = retraining.study if of_study else None
        self._experiment = experiment_of(self._client, self._study or "retrain", home, tracking_uri)
        found = find_runs(self._client, self._experiment, f"tags.`{RETRAIN_TAG}` = '{retraining.identity}'")
        above = [run.info.run_id for run in found if SEED_TAG not in run.data.tags]
        self.run_id = str(above[0]) if above else self._make()
        self._client.update_run(self.run_id, status="RUNNING")
        self._runs = ChildRuns(self._client, self._experiment, self.run_id, self._describe)
        for key, run in self._known(found):
            self._runs.adopt(key, run)

    def write(self, changed: Sequence[SeedRecord], records: Sequence[SeedRecord]) -> None:
        """Bring the runs of seeds that changed up to date."""
        for record in changed:
            self._runs.write(record)

    def close(self, records: Sequence[SeedRecord], outcome: str) -> None:
        """Write the figures and what is in the folder, if that is complete; and close the run."""
        out = self._retraining.out
        if outcome == "finished":
            metrics = json.loads((out / "metrics.json").read_text())
            self._client.log_batch(self.run_id, _figures(metrics, int(metrics["epochs"])))
            for name in _ARTIFACTS:
                if (out / name).exists():  # a regression has predictions, and no confusion
                    self._client.log_artifact(self.run_id, str(out / name))
        self._client.set_terminated(self.run_id, status=OUTCOME_STATUS[outcome])

    # -- finding and making -------------------------------------------------------------------------------------------

    def _known(self, found: Sequence[Run]) -> list[tuple[tuple[int, int], Run]]:
        """The runs of seeds, each with its record's key. One seed alone has the run above."""
        if self._retraining.seeds == 1:
            return [((0, self._retraining.config.seed), self._client.get_run(self.run_id))]
        return [((0, int(run.data.tags[SEED_TAG])), run) for run in found if SEED_TAG in run.data.tags]

    def _study_tags(self) -> dict[str, str]:
        """Where the configuration comes from; and the study's run as the parent, where it is here."""
        if self._retraining.study is None:
            return {}
        tags = {SOURCE_TAG: self._retraining.study}
        if self._study is not None:
            own, _ = study_runs(self._client, self._experiment, self._study)
            tags |= {} if own is None else {"mlflow.parentRunId": own.info.run_id}
        return tags

    def _describe(self, record: SeedRecord) -> tuple[str, dict[str, str]]:
        return f"seed {record.seed}", {RETRAIN_TAG: self._retraining.identity, SEED_TAG: str(record.seed)}

    def _make(self) -> str:
        told = self._retraining
        tags = {RETRAIN_TAG: told.identity, **self._study_tags()}
        name = f"retrain {told.config.data.dataset} {describe(told.config)}"
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        params = flatten(told.config.model_dump(mode="json"))
        params |= {"retrain.data": "training" if told.hold_out else "all", "retrain.processes": str(told.processes)}
        self._client.log_batch(run.info.run_id, params=entities("Param", params))
        return str(run.info.run_id)


def _figures(metrics: Mapping[str, Any], step: int) -> list[Metric]:
    """Those of the test split as `test_<name>`; sizes under their own names."""
    own = (*OWN_METRICS, *ON_VALIDATION.values())
    scalars = {key: value for key, value in metrics.items() if isinstance(value, (int, float)) and key != "epochs"}
    return [metric(key if key in own else f"test_{key}", value, step) for key, value in scalars.items()]


def writer_of(retraining: Retraining, home: Path, tracking_uri: str | None) -> tuple[MlflowWriter, str]:
    """Return the observer that writes a retraining to MLflow, and the store's address.

    Args:
        retraining: what is trained.
        home: folder of studies, made if the store is a file in it.
        tracking_uri: MLflow's store; None: the store of the configuration's study, or `home`'s own.

    Raises:
        KansearchError: the driver of the database is not installed.
    """
    of_study = retraining.study is not None and (home / retraining.study / "study.json").is_file()
    if tracking_uri is None and of_study:
        tracking_uri = Study.open(home, str(retraining.study)).tracking_uri
    check_driver(tracking_uri or "")
    if tracking_uri is None:
        home.mkdir(parents=True, exist_ok=True)
        tracking_uri = sqlite_url(home / "mlflow.db")
    return MlflowWriter(partial(RetrainingStore, tracking_uri, home, of_study)), tracking_uri


def log_trained(
    writer: MlflowWriter, tracking_uri: str, out: Path, register: str | None = None
) -> tuple[str | None, str | None]:
    """Log the models in `out` to the run that `writer` wrote.

    Returns:
        The model's URI, or None and a sentence for the user that says what MLflow did not take.

    Raises:
        KansearchError: it could not be registered under the name that was asked for.
    """
    from kansearch.tracking.models import log_model

    problem = writer.problem
    if problem is None and writer.run_id is not None:
        try:
            return log_model(out, writer.run_id, tracking_uri, register), None
        except KansearchError as error:
            problem = str(error)
    if register is not None:
        raise KansearchError(f"the model is in {out}, but was not registered as '{register}': {problem}")
    return None, f"MLflow has not everything: {problem}; the same command writes the rest"
