"""The display of trainings to the end, of a retraining or a confirmation: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kansearch.seeds.retraining import Retraining
from kansearch.study.figures import number, values
from kansearch.study.seeds import SeedRecord
from kansearch.study.study import Study

if TYPE_CHECKING:
    from kansearch.cluster.cluster import Cluster

__all__ = ["SeedsDisplay"]


class SeedsDisplay:
    """Shows a retraining (`kansearch.seeds.retraining.Observer`): a line for each epoch where there is no bar.

    Shows a confirmation (`kansearch.cluster.launch.Observer`): a line for each training that ended.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._records: dict[Hashable, SeedRecord] = {}
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def started(self, subject: Study | Retraining, records: Sequence[SeedRecord]) -> None:
        self._subject = subject
        self._records = {record.key: record for record in records}
        if done := self._ended():
            self._say(f"{_trainings(done)} finished before, {len(records) - done} to do")

    def running(self, cluster: Cluster) -> None:
        left = [record for record in self._records.values() if record.state == "running"]
        trials = len({record.number for record in left})
        gpus = f", {cluster.gpus:g} GPUs" if cluster.gpus else ""
        name = self._subject.name if isinstance(self._subject, Study) else str(self._subject.out)
        self._say(
            f"confirming {name}: {_trainings(len(left))} of {trials} trials, "
            f"{cluster.max_concurrent} at once on {cluster.cpus:g} CPUs{gpus}"
        )
        for note in cluster.notes:
            self._say(note)

    def changed(self, record: SeedRecord) -> None:
        news = record.epochs > self._records[record.key].epochs
        self._records[record.key] = record
        if self._console.is_terminal:
            self._advance(record)
        elif news and isinstance(self._subject, Retraining):
            self._say(f"{self._place(record)}: {_figures(record)}")
        if record.state != "running":
            self._say(f"[{self._share()}] {self._name(record)} {record.state}: {_outcome(record)}")

    def told(self, line: str) -> None:
        self._say(line)

    def tick(self) -> None:
        """The bar keeps its own time."""

    def ended(self, outcome: str) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _advance(self, record: SeedRecord) -> None:
        counted = [each for each in self._records.values() if each.state != "fail"]
        done, wanted = sum(each.epochs for each in counted), sum(each.stored.epochs for each in counted)
        if self._progress is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[place]}"))
            self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
            self._task = self._progress.add_task("", completed=done, place="")
            self._progress.start()
        place = f"{self._place(record)}: {_figures(record)}" if record.curve else self._name(record)
        self._progress.update(
            self._task, description=f"{self._share()} trained", completed=done, total=wanted, place=place
        )

    def _ended(self) -> int:
        return sum(record.state != "running" for record in self._records.values())

    def _share(self) -> str:
        return f"{self._ended()}/{len(self._records)}"

    def _name(self, record: SeedRecord) -> str:
        trial = f"trial {record.number} " if isinstance(self._subject, Study) else ""
        return f"{trial}seed {record.seed}"

    def _place(self, record: SeedRecord) -> str:
        return f"{self._name(record)} epoch {record.epochs}/{record.stored.epochs}"

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _trainings(count: int) -> str:
    return f"{count} training" if count == 1 else f"{count} trainings"


def _figures(record: SeedRecord) -> str:
    """The last epoch in words."""
    last = record.curve[-1]
    text = f"train loss {last['train_loss']:.4f}, {last['images_per_second']:,.0f} images/s"
    if last.get("nrmse") is not None:
        return f"{text}, validation nRMSE {number('nrmse', last['nrmse'])}"
    return text if last.get("accuracy") is None else f"{text}, validation accuracy {last['accuracy']:.4f}"


def _outcome(record: SeedRecord) -> str:
    if record.state != "complete":
        return str(record.reason)
    name = "accuracy" if "accuracy" in record.test else "nrmse"
    return f"on the test split {values(record.values or {name: record.test[name]})}"
