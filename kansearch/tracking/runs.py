"""`ChildRuns`: the runs below another, one a record, each brought up to what is known of it. Idempotent."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from kansearch.study.records import BEST, State, TrialRecord
from kansearch.tracking.client import entities, flatten, last_step, metric, run_page
from trials.metrics import EPOCH_METRICS, ON_VALIDATION, OWN_METRICS, TEST_PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

__all__ = ["STATE_TAG", "ChildRuns", "optimizer_of"]

STATE_TAG, _REASON = "kansearch.state", "kansearch.reason"
_EPOCHS_IN_A_BATCH = 150  # MLflow takes a thousand metrics at once
_STATUS: dict[State, str] = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


class ChildRuns:
    """Runs of one kind.

    Args:
        client: MLflow's.
        experiment: where they are.
        parent: the run above, a study's or a retraining's.
        describe: name and own tags of the run of a record that has none yet.
        logarithms: metrics whose decadic logarithm each run has as well, as `log10_<name>`.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        parent: str,
        describe: Callable[[Any], tuple[str, dict[str, str]]],
        logarithms: Sequence[str] = (),
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._parent = parent
        self._describe = describe
        self._logarithms = logarithms
        self._runs: dict[Hashable, str] = {}
        self._epochs: dict[Hashable, int] = {}  # written so far, of each record
        self._closed: dict[Hashable, str] = {}  # with which state
        self._bare: set[Hashable] = set()  # runs without their configuration
        self._tags: dict[tuple[Hashable, str], str] = {}  # those that change, as far as they are known

    def adopt(self, key: Hashable, run: Run) -> None:
        """Go on with a run that was found, as that of the record with this key."""
        self._runs[key] = run.info.run_id
        self._tags |= {(key, name): value for name, value in run.data.tags.items()}
        if run.info.status in _STATUS.values():
            self._closed[key] = run.data.tags.get(STATE_TAG, "")
            return
        self._epochs[key] = last_step(self._client, run.info.run_id, "train_loss")
        if not run.data.params:
            self._bare.add(key)

    def link(self, key: Hashable, label: str) -> str:
        """`label` in Markdown, leading to the run of a record if it has one."""
        run_id = self._runs.get(key)
        return f"[{label}]({run_page(self._experiment, run_id)})" if run_id else label

    def tag(self, key: Hashable, name: str, value: str) -> None:
        """Set a tag of the run of a record, if it has one, unless the tag has that value; empty is the same as none."""
        if key in self._runs and self._tags.get((key, name), "") != value:
            self._client.set_tag(self._runs[key], name, value)
            self._tags[key, name] = value

    def tagged(self, name: str) -> list[Hashable]:
        """Keys of the records whose run has a tag that isn't empty."""
        return [key for (key, each), value in self._tags.items() if each == name and value]

    def write(self, record: TrialRecord) -> None:
        """Make the record's run if it has none, add the epochs that it lacks, close it when the record has ended."""
        key = record.key
        if self._closed.get(key) == record.state:
            return
        if key in self._closed:
            self._reopen(key)
        elif key not in self._runs:
            self._make(record)
        run_id, metrics, ended = self._runs[key], self._new_metrics(record), record.state != "running"
        tags = {STATE_TAG: record.state, **({_REASON: record.reason} if record.reason else {})} if ended else {}
        params = flatten(record.stored.document) if key in self._bare else {}
        for batch in metrics[:-1]:
            self._client.log_batch(run_id, batch)
        if metrics or tags or params:
            last = metrics[-1] if metrics else []
            self._client.log_batch(run_id, last, entities("Param", params), entities("RunTag", tags))
        self._bare.discard(key)
        self._epochs[key] = max(record.epochs, self._epochs.get(key, 0))
        if ended:
            self._client.set_terminated(run_id, status=_STATUS[record.state])
            self._closed[key] = record.state

    def _reopen(self, key: Hashable) -> None:
        """Reopen the run of a training that failed and is tried again."""
        del self._closed[key]
        self._client.update_run(self._runs[key], status="RUNNING")
        self._epochs[key] = last_step(self._client, self._runs[key], "train_loss")

    def _make(self, record: TrialRecord) -> None:
        name, own = self._describe(record)
        tags = {
            "mlflow.parentRunId": self._parent,
            **own,
            STATE_TAG: record.state,
            "basis": record.stored.basis,
            "optimizer": optimizer_of(record),
        }
        run = self._client.create_run(self._experiment, run_name=name, tags=tags)
        self._runs[record.key] = run.info.run_id
        self._bare.add(record.key)

    def _new_metrics(self, record: TrialRecord) -> list[list[Metric]]:
        """Batches of whole epochs, each written at once: the last step says where to go on."""
        written = self._epochs.get(record.key, 0)
        rows = [result for result in record.curve if result["epoch"] > written]
        batches = [
            [
                metric(name, row[name], int(row["epoch"]))
                for row in rows[start : start + _EPOCHS_IN_A_BATCH]
                for name in EPOCH_METRICS
                if row.get(name) is not None
            ]
            for start in range(0, len(rows), _EPOCHS_IN_A_BATCH)
        ]
        if batches:
            measured = record.metrics
            own = {name: value for name, value in measured.items() if _is_own(name)}
            known = {name: measured.get(name, 0.0) for name in self._logarithms}
            own |= {f"log10_{name}": math.log10(value) for name, value in known.items() if value > 0.0}
            batches[-1] += [metric(name, value, record.epochs) for name, value in own.items()]
        return batches


def _is_own(name: str) -> bool:
    measured_once = name.startswith(TEST_PREFIX) or (name in ON_VALIDATION.values() and name not in EPOCH_METRICS)
    return name in OWN_METRICS or name in BEST or measured_once


def optimizer_of(record: TrialRecord) -> str:
    """Name of its optimizer."""
    return str(record.stored.document["optimizer"]["name"])
