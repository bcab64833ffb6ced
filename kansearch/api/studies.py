"""`launch` and `Study`: search from Python, and look at what was found."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.api.spaces import Source, as_overrides, load_space
from kansearch.commands.common import check_name, check_tracking, first_trials
from kansearch.console import SearchDisplay, terminal
from kansearch.errors import KansearchError
from kansearch.space import SearchSpace
from kansearch.study import study as stored
from kansearch.study.front import front_of

if TYPE_CHECKING:
    from pandas import DataFrame

    from kansearch.cluster.launch import SearchOptions
    from kansearch.study.history import History
    from kansearch.study.records import TrialRecord

__all__ = ["Study", "launch"]


def launch(
    space: Source,
    overrides: Mapping[str, Any] | None = None,
    *,
    home: str | Path = "studies",
    address: str | None = None,
    max_concurrent: int | None = None,
    data_dir: str | Path | None = None,
    trust_data: Sequence[str] = (),
    storage_url: str | None = None,
    tracking_uri: str | None = None,
    checkpoints: str | None = None,
    progress: bool = True,
) -> Study:
    """Search a space until its budget is used up, as `kansearch launch` does. Call it on the main thread.

    Args:
        space: what `load_space` takes: a mapping, a path, a shipped space's name; or what it returned.
        overrides: values by dotted key that replace the space's, such as `{"study": "mine", "search.trials": 8}`.
        home: folder of studies, made if missing.
        address: of a Ray cluster to join; None: this machine.
        max_concurrent: the most trials at once; None: as many as fit.
        data_dir: where to look for a data set's files first.
        trust_data: functions, each `module:function`, that `data.function` may name.
        storage_url: database of the Optuna study; None: an SQLite file in the study's folder.
        tracking_uri: MLflow's store; None: an SQLite file in `home`.
        checkpoints: folder or URL that every worker sees; None: the study's folder.
        progress: print a line for each trial that ended, or a live table in a terminal.

    Returns:
        The study. Its front is empty where no trial completed; `Study.trials` says why.

    Raises:
        InputError: the space is wrong, or a study of that name exists.
        SearchInterrupted: SIGINT (the stop button of a notebook) or SIGTERM; `Study.resume` goes on.
        KansearchError: the search can't run; the message says why.
    """
    from kansearch.cluster.launch import launch as search

    check_tracking(tracking_uri)
    searched = load_space(space, overrides)
    options = _options(Path(home), address, max_concurrent, data_dir, trust_data)

    def history() -> History | None:
        return first_trials(searched, terminal() if progress else None)

    return Study._of(
        _watched(
            lambda watching: search(searched, options, watching, storage_url, tracking_uri, checkpoints, history),
            progress,
        )
    )


class Study:
    """A study in a folder of studies. Each method reads the study as it is then, even while a search goes on.

    Args:
        name: of the study.
        home: folder of studies.

    Raises UnknownStudyError, which lists the studies there are.
    """

    def __init__(self, name: str, home: str | Path = "studies") -> None:
        check_name(Path(home), name)
        self._study = stored.Study.open(Path(home), name)

    @classmethod
    def _of(cls, study: stored.Study) -> Study:
        made = cls.__new__(cls)
        made._study = study
        return made

    def __repr__(self) -> str:
        return f"Study({self.name!r}, home={str(self.folder.parent)!r})"

    @property
    def name(self) -> str:
        """The study's name."""
        return self._study.name

    @property
    def folder(self) -> Path:
        """The study's folder, with `report.html` and `space.yaml`."""
        return self._study.folder

    @property
    def space(self) -> SearchSpace:
        """The search space, with its overrides."""
        return self._study.space

    def trials(self) -> DataFrame:
        """Tabulate every trial, a row each, by number.

        Returns:
            A DataFrame whose index is the trial's number. Its columns are `state`, `reason` (why it didn't complete)
            and `epochs`; then each objective and the other measurements after the last epoch, with `seconds` on the
            device. The hyperparameters follow, by dotted name. What a trial doesn't have is NaN or None.
        """
        return self._frame(lambda records: records)

    def front(self) -> DataFrame:
        """Tabulate the front: the complete trials that no other beats in every objective.

        Returns:
            A DataFrame as `trials` returns it, sorted by the last objective, best first; empty before a trial
            completed.
        """
        return self._frame(lambda records: front_of(records, self._study.objectives))

    def export(
        self,
        path: str | Path,
        pick: str | int | None = None,
        *,
        max_parameters: int | None = None,
        min_accuracy: float | None = None,
        data_dir: str | Path | None = None,
    ) -> int:
        """Write a trial's configuration to a YAML file, which `kansearch.retrain` trains.

        Args:
            path: of the file, which may be an earlier export.
            pick: `knee` (nearest to the ideal point), `best` (first objective), `smallest` (last one), or a trial's
                number. None: the best where only parameters are bounded, the smallest where accuracy is, else the knee.
            max_parameters: choose among trials with at most this many parameters.
            min_accuracy: choose among trials with at least this validation accuracy, in [0, 1].
            data_dir: where to look for the data set first.

        Returns:
            The number of the trial.

        Raises:
            InputError: no such pick or trial, or the trial is not complete.
            KansearchError: no trial is complete or within the bounds, or the file can't be written.
        """
        from kansearch.models.export import export
        from kansearch.models.pick import pick_trial

        chosen = None if pick is None else str(pick)
        record = pick_trial(self._study, chosen, max_parameters=max_parameters, min_accuracy=min_accuracy)
        export(self._study, record, Path(path), None if data_dir is None else Path(data_dir))
        return record.number

    def resume(
        self,
        overrides: Mapping[str, Any] | None = None,
        *,
        address: str | None = None,
        max_concurrent: int | None = None,
        data_dir: str | Path | None = None,
        trust_data: Sequence[str] = (),
        progress: bool = True,
    ) -> Study:
        """Go on with the search: trials that were interrupted, then what is left of the budget.

        Args:
            overrides: values by dotted key, such as a larger `{"search.trials": 20}`.
            address, max_concurrent, data_dir, trust_data, progress: as `launch` takes them.

        Returns:
            The study itself.

        Raises:
            StudyBusyError: another process works on it. Otherwise as `launch`.
        """
        from kansearch.cluster.launch import resume

        options = _options(self.folder.parent, address, max_concurrent, data_dir, trust_data)
        settings = as_overrides(overrides)
        self._study = _watched(lambda watching: resume(self.name, settings, options, watching), progress)
        return self

    def _frame(self, choose: Callable[[Sequence[TrialRecord]], Iterable[TrialRecord]]) -> DataFrame:
        import pandas

        frozen = self._study.optuna_trials()
        chosen = choose(self._study.as_records(frozen))
        rows = [_row(record, list(self._study.objectives), frozen[record.number].params) for record in chosen]
        names = {"number": None, "state": None, "reason": None, "epochs": None} | dict.fromkeys(self._study.objectives)
        for row in sorted(rows, key=lambda row: row["state"] != "complete"):  # whose measurements are complete
            names |= dict.fromkeys(name for name in row if "." not in name)
        searched = dict.fromkeys(name for row in rows for name in row if name not in names)
        return pandas.DataFrame(rows, columns=[*names, *searched]).set_index("number")


def _row(record: TrialRecord, objectives: Sequence[str], hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    said = {"number": record.number, "state": record.state, "reason": record.reason, "epochs": record.epochs}
    return {**said, **record.metrics, **record.values, **hyperparameters}


def _options(
    home: Path,
    address: str | None,
    max_concurrent: int | None,
    data_dir: str | Path | None,
    trusted: Sequence[str],
) -> SearchOptions:
    from kansearch.cluster.launch import SearchOptions

    return SearchOptions(home, address, max_concurrent, None if data_dir is None else Path(data_dir), tuple(trusted))


def _watched(search: Callable[[list[Any]], stored.Study], progress: bool) -> stored.Study:
    """Search with a report, MLflow and, if wanted, a display; warn where one of the former is behind."""
    from kansearch.report.writer import ReportWriter
    from kansearch.tracking.writer import MlflowWriter

    if threading.current_thread() is not threading.main_thread():
        raise KansearchError("a search must be started on the main thread, which receives signals")
    report, writer = ReportWriter(), MlflowWriter()
    study = search([*([SearchDisplay(terminal())] if progress else []), report, writer])
    for what, problem in (("the report", report.problem), ("MLflow", writer.problem)):
        if problem is not None:
            warnings.warn(f"{what} is behind the study: {problem}; `Study.resume` writes the rest", stacklevel=3)
    return study
