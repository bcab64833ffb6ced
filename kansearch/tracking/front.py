"""`FrontNotes`: a study's front in MLflow: descriptions in Markdown, and a tag of each trial that is on it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from kansearch.space import Direction
from kansearch.study.figures import describe, number, values
from kansearch.study.front import knee
from kansearch.study.records import TrialRecord
from kansearch.tracking.client import NOTE_TAG, run_page
from kansearch.tracking.runs import ChildRuns
from kansearch.tracking.view import FRONT_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["FrontNotes"]

_BEST = "Best balance: "
_PICTURE = "front.png"


class FrontNotes:
    """The descriptions of one study.

    Args:
        client: MLflow's.
        experiment: the study's.
        run_id: of the study's own run.
        trials: the runs of its trials.
        name: the study's.
        objectives: the study's, with their directions.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment: str,
        run_id: str,
        trials: ChildRuns,
        name: str,
        objectives: Mapping[str, Direction],
    ) -> None:
        self._client = client
        self._experiment = experiment
        self._run_id = run_id
        self._trials = trials
        self._name = name
        self._objectives = objectives
        self._shown: tuple[list[int], bool] | None = None

    def show(self, front: Sequence[TrialRecord], pictures: Mapping[str, object]) -> None:
        """Describe the front in the study's run and above its trials, and tag their runs, unless that is done.

        `pictures` are the files that the study's run has. A description of the experiment that begins otherwise is
        somebody's own, and is left.
        """
        shown = [record.number for record in front], _PICTURE in pictures
        if shown == self._shown:
            return
        self._tag(front)
        picture = f"![front](get-artifact?path={_PICTURE}&run_uuid={self._run_id})" if _PICTURE in pictures else ""
        best = self._best(front)
        everything = [best, picture, self._table(front)] if front else [best]
        self._client.set_tag(self._run_id, NOTE_TAG, "\n\n".join(filter(None, everything)))
        written = self._client.get_experiment(self._experiment).tags.get(NOTE_TAG, "")
        if front and (not written or written.startswith(_BEST)):
            whole = f"[The front]({run_page(self._experiment, self._run_id)})"
            self._client.set_experiment_tag(self._experiment, NOTE_TAG, f"{best}. {whole}\n\n{picture}".rstrip())
        self._shown = shown

    def _tag(self, front: Sequence[TrialRecord]) -> None:
        places: dict[Hashable, str] = {record.number: "on the front" for record in front}
        if front:
            places[knee(front, self._objectives).number] = "best balance"
        for key in {*places, *self._trials.tagged(FRONT_TAG)}:
            self._trials.tag(key, FRONT_TAG, places.get(key, ""))

    def _best(self, front: Sequence[TrialRecord]) -> str:
        """The knee of the front, which is all that is seen of a description at once."""
        if not front:
            return "No trial is complete."
        chosen = knee(front, self._objectives)
        return f"{_BEST}trial {self._link(chosen)}, {values(chosen.values)}; {describe(chosen.stored)}"

    def _table(self, front: Sequence[TrialRecord]) -> str:
        """The whole front; trials are links to their runs."""
        names = ("trial", *self._objectives, "configuration")
        lines = ["".join(f"| {name.replace('_', ' ')} " for name in names) + "|", "|---" * len(names) + "|"]
        for record in front:
            cells = " | ".join(number(name, record.values[name]) for name in self._objectives)
            lines.append(f"| {self._link(record)} | {cells} | {describe(record.stored)} |")
        export = f"kansearch export {self._name} --pick TRIAL -o best.yaml"
        lines += ["", f"`{export}` writes one of them, `kansearch retrain best.yaml -o DIR` trains it to the end."]
        return "\n".join([*lines, "The whole search: `report.html` among the artifacts."])

    def _link(self, record: TrialRecord) -> str:
        return self._trials.link(record.number, str(record.number))
