"""A retraining's runs in MLflow: found by their tags or made, and brought up to what was trained. Idempotent.

experiment kansearch/<study>, or kansearch/retrain where no study is known
└── run retrain <configuration>     parameters, figures, pictures, model card; a child of the study's run
    ├── run seed 0                  its curve and figures; where there is one seed they are in the run above
    └── ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.study.figures import describe
from kansearch.tracking.client import artifact_location, entities, find_runs, flatten, last_step, metric, quiet_client
from kansearch.tracking.store import STUDY_TAG, TRIAL_TAG, experiment_name
from trials.metrics import EPOCH_METRICS, ON_VALIDATION, OWN_METRICS

if TYPE_CHECKING:
    from mlflow.entities import Metric

    from kansearch.seeds.retraining import Retraining

__all__ = ["RETRAIN_TAG", "SEED_TAG", "RetrainingStore"]

RETRAIN_TAG, SEED_TAG, SOURCE_TAG = "kansearch.retrain", "kansearch.seed", "kansearch.source_study"
_EPOCHS_IN_A_BATCH = 150  # MLflow takes a thousand metrics at once
_ARTIFACTS = ("README.md", "config.yaml", "metrics.json", "curves.png", "confusion.png")


class RetrainingStore:
    """The runs of one retraining, through MLflow's client. Any method may raise MLflow's errors; all may be called
    again."""

    def __init__(self, tracking_uri: str, home: Path, retraining: Retraining, identity: str, of_study: bool) -> None:
        self._client = quiet_client(tracking_uri)
        self._retraining, self._identity = retraining, identity
        self._study = retraining.study if of_study else None
        self._experiment = self._find_experiment(tracking_uri, home)
        self._runs: dict[int | None, str] = {}  # by seed; None: the one above
        for run in find_runs(self._client, self._experiment, f"tags.`{RETRAIN_TAG}` = '{identity}'"):
            seed = run.data.tags.get(SEED_TAG)
            self._runs[None if seed is None else int(seed)] = run.info.run_id
        if None not in self._runs:
            self._runs[None] = self._make(f"retrain {self._name()}", self._study_tags())
        self._client.update_run(self.run_id, status="RUNNING")
        self._epochs: dict[int, int] = {}

    @property
    def run_id(self) -> str:
        """Identifier of the run of the whole retraining."""
        return self._runs[None]

    def write_epochs(self, seed: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add the epochs that the seed's run lacks."""
        run_id = self._run_of(seed)
        if seed not in self._epochs:
            self._epochs[seed] = last_step(self._client, run_id, "train_loss")
        new = [row for row in rows if row["epoch"] > self._epochs[seed]]
        for start in range(0, len(new), _EPOCHS_IN_A_BATCH):
            batch = new[start : start + _EPOCHS_IN_A_BATCH]
            metrics = [
                metric(name, row[name], row["epoch"])
                for row in batch
                for name in EPOCH_METRICS
                if row.get(name) is not None
            ]
            self._client.log_batch(run_id, metrics)
            self._epochs[seed] = int(batch[-1]["epoch"])

    def write_figures(self, seed: int, metrics: Mapping[str, Any]) -> None:
        """The seed's figures on the test split."""
        if self._retraining.seeds > 1:
            run_id = self._run_of(seed)
            self._client.log_batch(run_id, _figures(metrics, int(metrics["epochs"])))
            self._client.set_terminated(run_id, status="FINISHED")

    def close(self, metrics: Mapping[str, Any] | None) -> None:
        """The figures and what is in the folder; and the run closed. metrics: None where it was interrupted."""
        if metrics is not None:
            self._client.log_batch(self.run_id, _figures(metrics, int(metrics["epochs"])))
            for name in _ARTIFACTS:
                if (self._retraining.out / name).exists():  # a regression has no confusion
                    self._client.log_artifact(self.run_id, str(self._retraining.out / name))
        self._client.set_terminated(self.run_id, status="KILLED" if metrics is None else "FINISHED")

    # -- finding and making -------------------------------------------------------------------------------------------

    def _find_experiment(self, tracking_uri: str, home: Path) -> str:
        name = experiment_name(self._study or "retrain")
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        artifacts = artifact_location(home, self._study or "retrain", tracking_uri)
        return str(self._client.create_experiment(name, artifact_location=artifacts))

    def _study_tags(self) -> dict[str, str]:
        """Where the configuration comes from; and the study's run as the parent, where it is here."""
        if self._retraining.study is None:
            return {}
        tags = {SOURCE_TAG: self._retraining.study}
        if self._study is not None:
            found = find_runs(self._client, self._experiment, f"tags.`{STUDY_TAG}` = '{self._study}'")
            parents = [run.info.run_id for run in found if TRIAL_TAG not in run.data.tags]
            tags |= {"mlflow.parentRunId": parents[0]} if parents else {}
        return tags

    def _run_of(self, seed: int) -> str:
        if self._retraining.seeds == 1:
            return self.run_id
        if seed not in self._runs:
            tags = {SEED_TAG: str(seed), "mlflow.parentRunId": self.run_id}
            self._runs[seed] = self._make(f"seed {seed}", tags)
        return self._runs[seed]

    def _make(self, name: str, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, run_name=name, tags={RETRAIN_TAG: self._identity, **tags})
        told = self._retraining
        params = flatten(told.config.model_dump(mode="json"))
        if SEED_TAG in tags:
            params["seed"] = tags[SEED_TAG]
        params |= {"retrain.data": "training" if told.hold_out else "all", "retrain.processes": str(told.processes)}
        self._client.log_batch(run.info.run_id, params=entities("Param", params))
        return str(run.info.run_id)

    def _name(self) -> str:
        config = self._retraining.config
        return f"{config.data.dataset} {describe(config)}"


def _figures(metrics: Mapping[str, Any], step: int) -> list[Metric]:
    """Those of the test split as `test_<name>`; sizes under their own names."""
    own = (*OWN_METRICS, *ON_VALIDATION.values())
    scalars = {key: value for key, value in metrics.items() if isinstance(value, (int, float)) and key != "epochs"}
    return [metric(key if key in own else f"test_{key}", value, step) for key, value in scalars.items()]
