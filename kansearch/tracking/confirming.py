"""A confirmation in MLflow: a run for each training below the study's run, and a table of the results in the latter.

The runs have tags of their own and none of a search's: whoever counts a study's trials doesn't see them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from kansearch.study.confirmed import Confirmed, confirmed, knee_of
from kansearch.study.confirmed_table import caveats, cells, headings
from kansearch.study.figures import describe
from kansearch.study.seeds import SeedRecord
from kansearch.study.selection import selection_bias
from kansearch.study.study import Study
from kansearch.tracking.client import SEED_TAG, experiment_of, find_runs, log_table, quiet_client, study_runs
from kansearch.tracking.runs import ChildRuns
from kansearch.tracking.store import MlflowStore
from trials.metrics import COUNTED

__all__ = ["CONFIRMATION_TAG", "CONFIRMED_TAG", "ConfirmationStore"]

CONFIRMATION_TAG, CONFIRMED_TAG = "kansearch.confirmation", "kansearch.confirmed_trial"
"""The study, and the trial's number."""


class ConfirmationStore:
    """The runs of one study's confirmation (`kansearch.tracking.process.RunStore`)."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._client = quiet_client(study.tracking_uri)
        self._experiment, self.run_id = self._find_parent()
        self._runs = ChildRuns(self._client, self._experiment, self.run_id, self._describe)
        for run in find_runs(self._client, self._experiment, f"tags.`{CONFIRMATION_TAG}` = '{study.name}'"):
            self._runs.adopt((int(run.data.tags[CONFIRMED_TAG]), int(run.data.tags[SEED_TAG])), run)

    def _find_parent(self) -> tuple[str, str]:
        """The study's experiment and its own run. Where MLflow was down during the search, that is written first."""
        study = self._study
        experiment = experiment_of(self._client, study.name, study.folder.parent, study.tracking_uri)
        own, _ = study_runs(self._client, experiment, study.name)
        return experiment, self._write_search() if own is None else str(own.info.run_id)

    def _write_search(self) -> str:
        store, records = MlflowStore(self._study), self._study.records()
        store.write(records, records)
        unfinished = any(record.state == "running" for record in records)
        store.close(records, "interrupted" if unfinished else "finished")
        return store.run_id

    def write(self, changed: Sequence[SeedRecord], records: Sequence[SeedRecord]) -> None:
        """Bring the runs of trainings that changed up to date."""
        for record in changed:
            self._runs.write(record)

    def close(self, records: Sequence[SeedRecord], outcome: str) -> None:
        """Write what is confirmed so far: the table confirm.json, in words confirm.md, and the report that shows it."""
        rows = confirmed(self._study.records(), records, self._study.objectives)
        columns = [
            "trial",
            "seeds",
            *self._columns(),
            *(f"{name}_sampling" for name in COUNTED),
            "probability_on_front",
            "config",
        ]
        log_table(self._client, self.run_id, "confirm.json", columns, [self._row(row) for row in rows])
        self._client.log_text(self.run_id, self._text(rows), "confirm.md")
        for path in self._study.pictures():
            self._client.log_artifact(self.run_id, str(path))

    def _describe(self, record: SeedRecord) -> tuple[str, dict[str, str]]:
        tags = {CONFIRMATION_TAG: self._study.name, CONFIRMED_TAG: str(record.number), SEED_TAG: str(record.seed)}
        return f"confirm {record.number:05d} seed {record.seed}", tags

    def _columns(self) -> list[str]:
        return [f"{name}{suffix}" for name in self._study.objectives for suffix in ("", "_half_width", "_at_selection")]

    def _row(self, row: Confirmed) -> list[Any]:
        figures = [each.get(name) for name in self._study.objectives for each in (row.mean, row.half, row.trial.values)]
        config = json.dumps(row.trial.stored.document)
        return [row.trial.number, len(row.complete), *figures, *map(row.sampling.get, COUNTED), row.probability, config]

    def _text(self, rows: Sequence[Confirmed]) -> str:
        """Markdown; trials are links to the runs of their first seeds."""
        objectives = self._study.objectives
        best, names = knee_of(rows, objectives), [*headings(objectives), "configuration"]
        lines = ["Measured on the test split after training on all training images, with new seeds.", ""]
        lines += [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
        for row in rows:
            number, *figures = cells(row, objectives)
            link = self._runs.link(row.runs[0].key, f"{number} (knee)" if row.trial.number == best else number)
            lines.append(f"| {' | '.join([link, *figures, describe(row.trial.stored)])} |")
        failures = [f"trial {row.trial.number}: {row.reason}" for row in rows if row.reason]
        notes = [*caveats(rows, self._study.name), *selection_bias(rows, objectives), *failures]
        return "\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n"
