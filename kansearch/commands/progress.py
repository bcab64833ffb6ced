"""The display of a retraining: a bar in a terminal, a line for each epoch elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from kansearch.seeds.retraining import Retraining
from kansearch.study.figures import number

__all__ = ["TrainingDisplay"]


class TrainingDisplay:
    """Shows a retraining (`kansearch.seeds.retraining.Observer`)."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task = TaskID(0)

    def started(self, retraining: Retraining, identity: str) -> None:
        self._epochs = retraining.config.epochs
        if not self._console.is_terminal:
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[figures]}"))
        self._progress = Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True)
        total = self._epochs * retraining.seeds
        self._task = self._progress.add_task(f"epoch 0/{self._epochs}", total=total, figures="")
        self._progress.start()

    def epoch(self, seed: int, result: Mapping[str, Any]) -> None:
        figures = f"train loss {result['train_loss']:.4f}, {result['images_per_second']:,.0f} images/s"
        if result.get("accuracy") is not None:
            figures += f", validation accuracy {result['accuracy']:.4f}"
        if result.get("nrmse") is not None:
            figures += f", validation nRMSE {result['nrmse']:.4g}"
        place = f"seed {seed} epoch {result['epoch']}/{self._epochs}"
        if self._progress is None:
            self._console.print(f"{place}: {figures}", highlight=False)
        else:
            self._progress.update(self._task, description=place, figures=figures, advance=1)

    def trained(self, seed: int, metrics: Mapping[str, Any]) -> None:
        if self._progress is not None:
            name = "accuracy" if "accuracy" in metrics else "nrmse"
            self._console.print(f"seed {seed}: test {name} {number(name, metrics[name])}", highlight=False)

    def ended(self, metrics: Mapping[str, Any] | None) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
