"""`Study`: one search, kept in an Optuna study that is the only truth about its trials, and a folder beside it.

    studies/
    ├── mlflow.db, artifacts/     MLflow's tracking store, shared by all studies
    └── <study>/
        ├── study.json            where the Optuna study, the MLflow store and, if not here, the checkpoints are
        ├── study.db              the Optuna study (SQLite), unless another storage was given
        ├── space.yaml            the search space as it was written
        ├── report.html           the study to look at, and front.png, front.svg, its front
        ├── driver.lock           held by the live driver
        ├── mps.json              where CUDA MPS runs for it, if it does
        ├── scratch/              what Ray Tune writes while a driver runs; nothing here reads it
        ├── trials/<number>/      checkpoint of an unfinished trial; weights of the front's; traceback of a failed one
        ├── confirm/<number>/     seed-<n>.json: each training of a trial for `kansearch confirm`, and its checkpoint
        └── pictures/<number>/    of a trial's functions, drawn by `kansearch inspect`

A result is committed to the storage before its worker goes on. What a trial is, is read back through `TrialRecord`.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError, UnknownStudyError
from kansearch.space import Direction, SearchSpace, parse_space
from kansearch.study.database_lock import database_lock
from kansearch.study.history import ELAPSED, PACKING, SEQUENCE, SESSIONS, SOURCES, USAGE, WARM_START, History
from kansearch.study.locations import LOCATIONS, Locations
from kansearch.study.notes import read_notes
from kansearch.study.private import private_folder, write_private
from kansearch.study.reader import read_attributes, read_trials
from kansearch.study.records import FINISHED, Proposal, Rungs, TrialRecord
from kansearch.study.storage import (
    SPACE_ATTRIBUTE,
    Opened,
    create_optuna_study,
    load_optuna_study,
    name_objectives,
    sqlite_url,
)
from kansearch.study.trials import Trials
from kansearch.study.usage import Usage

if TYPE_CHECKING:
    import optuna

__all__ = ["PICTURES", "Study", "home_option", "study_names"]

PICTURES = ("report.html", "front.png", "front.svg")
"""Names of what the report writes into a study's folder."""


class Study:
    """An opened study. Use `Study.create` or `Study.open`."""

    def __init__(
        self,
        folder: Path,
        storage_url: str,
        tracking_uri: str,
        opened: Opened | None = None,
        checkpoints: str | None = None,
    ) -> None:
        self.folder = folder
        self.name = folder.name
        self.storage_url = storage_url
        self.tracking_uri = tracking_uri
        self.checkpoints = checkpoints or str((folder / "trials").absolute())
        self.confirm_checkpoints = f"{checkpoints or folder.absolute()}/confirm"
        self._opened = opened or load_optuna_study(self.name, storage_url)
        self._optuna = self._opened.study
        self._trials = Trials(self._opened, lambda: list(self.objectives))
        self._sequence: Mapping[str, Any] = self._optuna.user_attrs.get(SEQUENCE, {})

    # -- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        home: Path,
        space: SearchSpace,
        storage_url: str | None = None,
        tracking_uri: str | None = None,
        checkpoints: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Study:
        """Make the folder and the Optuna study of a new search; call it under the study's lock.

        `checkpoints` is a folder or URL of this study's own that every worker sees, None a folder within the study's.
        `attributes` are the Optuna study's, such as those of a `History`.

        Raises:
            InputError: a study of that name exists; the message says how to go on with it.
            KansearchError: the folder or the storage can't be written.
        """
        folder = home / space.study
        if (folder / LOCATIONS).exists():
            raise InputError(
                f"study '{space.study}' exists in {home}: continue it with `kansearch resume {space.study}`, "
                f"or name another with `--study NAME`"
            )
        try:
            private_folder(folder)
            write_private(folder / "space.yaml", space.source)
        except OSError as error:
            raise KansearchError(f"cannot write the study's folder {folder}: {error.strerror}") from error
        for leftover in folder.glob("study.db*"):  # of a driver that was killed before study.json was written
            leftover.unlink()
        storage_url = storage_url or sqlite_url(folder / "study.db")
        tracking_uri = tracking_uri or sqlite_url(home / "mlflow.db")
        locations = str(Locations(storage_url, tracking_uri, checkpoints))
        begun = folder / f"{LOCATIONS}.new"
        again = begun.exists() and begun.read_text() == locations  # by a driver that was killed
        write_private(begun, locations)
        study = create_optuna_study(space, storage_url, attributes or {}, replace=again)
        begun.replace(folder / LOCATIONS)
        return cls(folder, storage_url, tracking_uri, study, checkpoints)

    @classmethod
    def open(cls, home: Path, name: str) -> Study:
        """Open the study `name` of the folder `home`.

        Raises:
            UnknownStudyError: there is none; the message lists those there are.
        """
        path = home / name / LOCATIONS
        if not path.is_file():
            known = ", ".join(study_names(home)) or "none yet"
            raise UnknownStudyError(f"no study '{name}' in {home}; studies there: {known}")
        locations = Locations.read(path)
        return cls(home / name, locations.storage, locations.tracking_uri, checkpoints=locations.checkpoints)

    @cached_property
    def overrides(self) -> list[str]:
        """The `KEY=VALUE` settings given beside the file, oldest first."""
        return list(self._optuna.user_attrs[SPACE_ATTRIBUTE]["overrides"])

    @cached_property
    def space(self) -> SearchSpace:
        """The search space, with its overrides."""
        stored = self._optuna.user_attrs[SPACE_ATTRIBUTE]
        return parse_space(stored["source"], stored["file"], self.overrides)

    @property
    def objectives(self) -> Mapping[str, Direction]:
        """Direction of each objective, in the order of the file."""
        return {str(name): direction for name, direction in self.space.objectives.items()}

    def add_overrides(self, overrides: Sequence[str]) -> None:
        """Apply more `KEY=VALUE` settings from now on, such as a larger number of trials."""
        stored = self._optuna.user_attrs[SPACE_ATTRIBUTE]
        combined = [*self.overrides, *overrides]
        space = parse_space(stored["source"], stored["file"], combined)
        if space.objectives != self.objectives or space.study != self.name:
            raise InputError("a study keeps its name and its objectives; launch another one for those")
        self._trials.note_study({SPACE_ATTRIBUTE: {**stored, "overrides": combined}})
        self.__dict__.pop("overrides", None)
        self.__dict__.pop("space", None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def records(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return self.as_records(read_attributes(self._opened))

    def optuna_trials(self, numbers: Collection[int] | None = None) -> list[optuna.trial.FrozenTrial]:
        """Trials by number, all or those of `numbers`, as Optuna knows them; not to be changed."""
        return read_trials(self._opened, numbers)

    def as_records(self, trials: Sequence[optuna.trial.FrozenTrial]) -> list[TrialRecord]:
        """Make records of the trials that `optuna_trials` gave."""
        return [self._trials.as_record(trial) for trial in trials]

    def notes(self) -> dict[int, str]:
        """Notes on trials, by their numbers; one that was taken back is empty."""
        return read_notes(self._opened)

    def finished(self) -> int:
        """Trials that used up a place in the budget."""
        return sum(record.state in FINISHED for record in self.records())

    @property
    def elapsed_seconds(self) -> float:
        """Wall time spent on this study by all of its drivers, s."""
        return float(self._optuna.user_attrs.get(ELAPSED, 0.0))

    @property
    def sessions(self) -> list[Mapping[str, Any]]:
        """Descriptions of what its drivers ran on, oldest first: see `add_session`."""
        return list(self._optuna.user_attrs.get(SESSIONS, []))

    def pictures(self) -> list[Path]:
        """Pictures that the report has drawn into the folder so far."""
        return [path for name in PICTURES if (path := self.folder / name).is_file()]

    @property
    def sources(self) -> list[Mapping[str, Any]]:
        """The studies that it was merged from: the `study` of each, and the settings of its `search`."""
        return list(self._optuna.user_attrs.get(SOURCES, []))

    @property
    def history(self) -> History:
        """Everything that the study knows beside its space and its trials."""
        known = (self.elapsed_seconds, self.sessions, self.usage, self.sequence, self.sources)
        return History(*known, warm_start=self._warm_start)

    def chosen(self, tried: int = 0) -> list[Mapping[str, Any]]:
        """Hyperparameters that trials are given, trial by trial, after the first `tried`: the space's, then another
        study's front."""
        chosen = [*self.space.enqueued, *self._warm_start.get("proposals", [])]
        return chosen[max(0, tried - self._warm_start.get("after", 0)) :]

    def priors(self) -> list[tuple[Mapping[str, Any], Mapping[str, float]]]:
        """Hyperparameters and objectives of another study's trials, for the sampler to learn from."""
        return [(each["hyperparameters"], each["values"]) for each in self._warm_start.get("observations", [])]

    @property
    def _warm_start(self) -> Mapping[str, Any]:
        stored: Mapping[str, Any] = self._optuna.user_attrs.get(WARM_START, {})
        return stored

    def write_note(self, number: int, text: str) -> None:
        """Commit a note on a trial in any state, while a driver may run; an empty one takes back what there is.

        Raises:
            KeyError: there is no such trial.
        """
        self._trials.write_note(number, text)

    # -- writing (the driver alone) -----------------------------------------------------------------------------------

    @property
    def sequence(self) -> Mapping[str, Any]:
        """Where a sampler stands that goes through a sequence, beside what its trials say."""
        return self._sequence

    @property
    def packing(self) -> Mapping[str, Any] | None:
        """How `gpus_per_trial: auto` was decided last (`kansearch.cluster.packing.Packing.document`)."""
        packing: Mapping[str, Any] | None = self._optuna.user_attrs.get(PACKING)
        return packing

    @packing.setter
    def packing(self, packing: Mapping[str, Any]) -> None:
        self._trials.note_study({PACKING: dict(packing)})

    @property
    def usage(self) -> Usage:
        """How busy its workers and GPUs were, over all of its drivers that came to their end."""
        return Usage.from_document(self._optuna.user_attrs.get(USAGE, {}))

    def add_usage(self, usage: Usage) -> None:
        """Count in what one driver used."""
        self._trials.note_study({USAGE: (self.usage + usage).document()})

    def add_ended(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Commit trials of other studies that have ended, in this order, to a study without any: all, or none."""
        self._trials.add_ended(trials)

    def close(self) -> None:
        """Leave the database; whoever asks more of the study opens it again."""
        database = self._opened.database
        if database is not None:
            database.engine.dispose()

    @contextmanager
    def lock_database(self) -> Iterator[None]:
        """Hold the study in its database for this process, beside `driver_lock` of its folder.

        Copies of the folder are locked each for itself, and may name one database. In PostgreSQL the driver's writes go
        through the session that holds the lock from then on. A driver that has lost it to another one gets an
        `InterruptionError` from its next write. For an SQLite file outside of the folder a file beside it is locked.
        Other databases, and studies in memory, are not locked.

        Optuna Dashboard finds the objectives' names in a study that was made before kansearch wrote them, from now on.

        Raises:
            StudyBusyError: another process holds it.
        """
        with database_lock(self._opened, self.folder, self.storage_url):
            self._opened.write(lambda: name_objectives(self._optuna, list(self.objectives)))
            yield

    def start(self, proposal: Proposal) -> TrialRecord:
        """Commit a new trial, which runs, and where the sampler stands after it: whole, or not at all."""
        (record,) = self._create("RUNNING", [(proposal, {})])
        return record

    def refuse_many(self, refusals: Sequence[tuple[Proposal, str]]) -> list[TrialRecord]:
        """Commit configurations that break constraints, each with its reason, in one transaction."""
        return self._create("PRUNED", [(each, {"infeasible": True, "reason": reason}) for each, reason in refusals])

    def _create(self, state: str, proposals: Sequence[tuple[Proposal, Mapping[str, Any]]]) -> list[TrialRecord]:
        if not proposals:
            return []
        sequence = dict(proposals[-1][0].sequence)
        news = {SEQUENCE: sequence} if sequence != self._sequence else {}
        records = self._trials.create(state, proposals, news)
        self._sequence = sequence
        return records

    def add_epochs(
        self,
        number: int,
        results: Sequence[Mapping[str, Any]],
        rungs: Rungs | None = None,
        seconds: float | None = None,
    ) -> TrialRecord:
        """Commit what a worker's message says of a running trial, in one transaction; none where it says nothing new.

        Args:
            number: the trial's.
            results: each epoch's measurements, in their order. A trial that goes on from its checkpoint repeats epochs:
                those that are known are skipped.
            rungs: everything that the scheduler decided about the trial, by epoch; None: nothing new.
            seconds: device-seconds that it has used from hand-out on, over all of its workers; None: nothing new.
        """
        return self._trials.note(number, **self._news(number, results, rungs, seconds))

    def complete(
        self,
        number: int,
        results: Sequence[Mapping[str, Any]] = (),
        rungs: Rungs | None = None,
        seconds: float | None = None,
    ) -> TrialRecord:
        """Commit that the trial trained its full number of epochs, with what `add_epochs` would commit.

        Its objectives are those of the last epoch.
        """
        return self._trials.end(number, "complete", **self._news(number, results, rungs, seconds))

    def prune(
        self,
        number: int,
        reason: str,
        results: Sequence[Mapping[str, Any]] = (),
        rungs: Rungs | None = None,
        seconds: float | None = None,
    ) -> TrialRecord:
        """Commit that the trial was stopped early, for a reason of one line, with what `add_epochs` would commit."""
        news = self._news(number, results, rungs, seconds)
        return self._trials.end(number, "pruned", reason=reason, **news)

    def fail(
        self,
        number: int,
        reason: str,
        results: Sequence[Mapping[str, Any]] = (),
        rungs: Rungs | None = None,
        seconds: float | None = None,
    ) -> TrialRecord:
        """Commit that the trial ended badly, for a reason of one line, with what `add_epochs` would commit."""
        return self._trials.end(number, "fail", reason=reason, **self._news(number, results, rungs, seconds))

    def note_loss(self, number: int, reason: str, seconds: float | None = None) -> TrialRecord:
        """Commit that a trial lost its worker and is to go on from its checkpoint; `seconds` as in `add_epochs`."""
        news = self._news(number, (), None, seconds)
        return self._trials.note(number, losses=[*self.record(number).losses, reason], **news)

    def _news(
        self, number: int, results: Sequence[Mapping[str, Any]], rungs: Rungs | None, seconds: float | None
    ) -> dict[str, Any]:
        """Attributes of a trial that change."""
        record, news = self.record(number), dict[str, Any]()
        known = record.epochs
        new = list[dict[str, Any]]()
        for result in results:
            if result["epoch"] > known:
                new.append(dict(result))
                known = int(result["epoch"])
        if new:
            news["curve"] = [*record.curve, *new]
        if rungs is not None and rungs != record.rungs:
            news["rungs"] = dict(rungs)
        if seconds is not None:
            news["held_seconds"] = float(seconds)
        return news

    def add_session(self, session: Mapping[str, Any]) -> None:
        """Commit that a driver begins now, after `elapsed` seconds of those before it, on what `session` describes."""
        began = datetime.now(UTC).isoformat(timespec="milliseconds")
        described = {"began": began, "elapsed": self.elapsed_seconds, **session}
        self._trials.note_study({SESSIONS: [*self.sessions, described]})

    def add_elapsed(self, seconds: float) -> None:
        """Count `seconds` of wall time against the time budget."""
        self._trials.note_study({ELAPSED: self.elapsed_seconds + seconds})

    def record(self, number: int) -> TrialRecord:
        """Return what is known of one trial. The driver knows a running trial without asking the storage."""
        return self._trials.record(number)


def home_option(home: Path) -> str:
    """Return the option with which a command finds the studies of `home` again; empty for the default folder."""
    return "" if home == Path("studies") else f" --home {shlex.quote(str(home))}"


def study_names(home: Path) -> list[str]:
    """Names of the studies in `home`, sorted."""
    return sorted(path.parent.name for path in home.glob(f"*/{LOCATIONS}"))
