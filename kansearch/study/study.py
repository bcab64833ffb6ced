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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError, UnknownStudyError
from kansearch.space import Direction, SearchSpace, parse_space
from kansearch.study.history import ELAPSED, PACKING, SEQUENCE, SESSIONS, SOURCES, USAGE, WARM_START, History
from kansearch.study.places import PLACES, Places, write_private
from kansearch.study.reader import read_attributes, read_trials
from kansearch.study.records import FINISHED, Proposal, State, TrialRecord
from kansearch.study.storage import SPACE_ATTRIBUTE, create_optuna_study, load_optuna_study, sqlite_url, steady_storage
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
        optuna_study: optuna.Study | None = None,
        checkpoints: str | None = None,
    ) -> None:
        self.folder = folder
        self.name = folder.name
        self.storage_url = storage_url
        self.tracking_uri = tracking_uri
        self.checkpoints = checkpoints or str((folder / "trials").absolute())
        self.confirm_checkpoints = f"{checkpoints or folder.absolute()}/confirm"
        self._optuna = optuna_study or load_optuna_study(self.name, storage_url)
        self._ids: dict[int, int] = {}
        self._running: dict[int, TrialRecord] = {}
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

        `checkpoints` is a folder or URL of this study's own that every worker sees, None a folder within the study's;
        `attributes` are the Optuna study's, such as those of a `History`.

        Raises:
            InputError: a study of that name exists; the message says how to go on with it.
            KansearchError: the folder or the storage can't be written.
        """
        folder = home / space.study
        if (folder / PLACES).exists():
            raise InputError(
                f"study '{space.study}' exists in {home}: continue it with `kansearch resume {space.study}`, "
                f"or name another with `--study NAME`"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "space.yaml").write_text(space.source, encoding="utf-8")
        except OSError as error:
            raise KansearchError(f"cannot write the study's folder {folder}: {error.strerror}") from error
        for leftover in folder.glob("study.db*"):  # of a driver that was killed before study.json was written
            leftover.unlink()
        storage_url = storage_url or sqlite_url(folder / "study.db")
        tracking_uri = tracking_uri or sqlite_url(home / "mlflow.db")
        places = str(Places(storage_url, tracking_uri, checkpoints))
        begun = folder / f"{PLACES}.new"
        again = begun.exists() and begun.read_text() == places  # by a driver that was killed
        write_private(begun, places)
        study = create_optuna_study(space, storage_url, attributes or {}, replace=again)
        begun.replace(folder / PLACES)
        return cls(folder, storage_url, tracking_uri, study, checkpoints)

    @classmethod
    def open(cls, home: Path, name: str) -> Study:
        """Open the study `name` of the folder `home`.

        Raises:
            UnknownStudyError: there is none; the message lists those there are.
        """
        path = home / name / PLACES
        if not path.is_file():
            known = ", ".join(study_names(home)) or "none yet"
            raise UnknownStudyError(f"no study '{name}' in {home}; studies there: {known}")
        places = Places.read(path)
        return cls(home / name, places.storage, places.tracking_uri, checkpoints=places.checkpoints)

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
        self._optuna.set_user_attr(SPACE_ATTRIBUTE, {**stored, "overrides": combined})
        self.__dict__.pop("overrides", None)
        self.__dict__.pop("space", None)

    # -- reading ------------------------------------------------------------------------------------------------------

    def records(self) -> list[TrialRecord]:
        """Every trial, by number."""
        return self.as_records(read_attributes(self._optuna))

    def optuna_trials(self, numbers: Collection[int] | None = None) -> list[optuna.trial.FrozenTrial]:
        """Trials by number, all or those of `numbers`, as Optuna knows them; not to be changed."""
        return read_trials(self._optuna, numbers)

    def as_records(self, trials: Sequence[optuna.trial.FrozenTrial]) -> list[TrialRecord]:
        """What `optuna_trials` gave, as records."""
        return [self._record(trial) for trial in trials]

    def finished(self) -> int:
        """Trials that used up a place in the budget."""
        return sum(record.state in FINISHED for record in self.records())

    @property
    def elapsed_seconds(self) -> float:
        """Wall time spent on this study by all of its drivers, s."""
        return float(self._optuna.user_attrs.get(ELAPSED, 0.0))

    @property
    def sessions(self) -> list[Mapping[str, Any]]:
        """On what its drivers ran, oldest first: see `add_session`."""
        return list(self._optuna.user_attrs.get(SESSIONS, []))

    def pictures(self) -> list[Path]:
        """What the report has drawn into the folder so far."""
        return [path for name in PICTURES if (path := self.folder / name).is_file()]

    @property
    def sources(self) -> list[Mapping[str, Any]]:
        """The studies that it was merged from: the `study` of each, and the settings of its `search`."""
        return list(self._optuna.user_attrs.get(SOURCES, []))

    @property
    def history(self) -> History:
        """What it knows beside its space and its trials."""
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

    # -- writing (the driver alone) -----------------------------------------------------------------------------------

    @property
    def sequence(self) -> Mapping[str, Any]:
        """Where a sampler stands that goes through a sequence, beside what its trials say."""
        return self._sequence

    @sequence.setter
    def sequence(self, sequence: Mapping[str, Any]) -> None:
        if sequence != self._sequence:
            self._optuna.set_user_attr(SEQUENCE, dict(sequence))
            self._sequence = sequence

    @property
    def packing(self) -> Mapping[str, Any] | None:
        """How `gpus_per_trial: auto` was decided last (`kansearch.search.packing.Packing.document`)."""
        packing: Mapping[str, Any] | None = self._optuna.user_attrs.get(PACKING)
        return packing

    @packing.setter
    def packing(self, packing: Mapping[str, Any]) -> None:
        self._optuna.set_user_attr(PACKING, dict(packing))

    @property
    def usage(self) -> Usage:
        """How busy its workers and GPUs were, over all of its drivers that came to their end."""
        return Usage.from_document(self._optuna.user_attrs.get(USAGE, {}))

    def add_usage(self, usage: Usage) -> None:
        """Count in what one driver used."""
        self._optuna.set_user_attr(USAGE, (self.usage + usage).document())

    def add_ended(self, trials: Sequence[optuna.trial.FrozenTrial]) -> None:
        """Commit trials of other studies that have ended, in this order, to a study without any: all, or none."""
        database = steady_storage(self._optuna)
        if database is None:
            raise TypeError("a study in memory takes no trials")
        database.add_ended(self._optuna._study_id, trials)

    def close(self) -> None:
        """Leave the database; whoever asks more of the study opens it again."""
        database = steady_storage(self._optuna)
        if database is not None:
            database.engine.dispose()

    def start(self, proposal: Proposal) -> TrialRecord:
        """Commit a new trial, which runs: whole, or not at all."""
        return self._create(proposal, "RUNNING", {})

    def refuse(self, proposal: Proposal, reason: str) -> TrialRecord:
        """Commit a configuration that breaks a constraint; it never ran."""
        return self._create(proposal, "PRUNED", {"infeasible": True, "reason": reason})

    def add_epoch(self, number: int, result: Mapping[str, Any]) -> TrialRecord:
        """Commit one epoch's measurements. A trial that goes on from its checkpoint repeats those that are known."""
        record = self.record(number)
        if result["epoch"] <= record.epochs:
            return record
        return self._note(number, curve=[*record.curve, dict(result)])

    def note_rungs(self, number: int, rungs: Mapping[str, tuple[int, int, bool]]) -> TrialRecord:
        """Commit what the scheduler decided about a trial, by epoch."""
        return self._note(number, rungs=dict(rungs))

    def note_loss(self, number: int, reason: str) -> TrialRecord:
        """Commit that a trial lost its worker and is to go on from its checkpoint."""
        return self._note(number, losses=[*self.record(number).losses, reason])

    def complete(self, number: int, last: Mapping[str, Any] | None = None) -> TrialRecord:
        """The trial trained its full number of epochs: its objectives are those of the last one.

        `last` is that epoch's measurements where they are not committed yet.
        """
        record = self.record(number)
        if last is not None and last["epoch"] > record.epochs:
            record = replace(record, curve=[*record.curve, dict(last)])
        metrics = record.metrics
        values = {name: float(metrics[name]) for name in self.objectives}
        return self._finish(replace(record, state="complete", values=values), "COMPLETE", {"curve": list(record.curve)})

    def fail(self, number: int, reason: str) -> TrialRecord:
        """The trial ended badly, for a reason told in one line."""
        return self._finish(replace(self.record(number), state="fail", reason=reason), "FAIL", {"reason": reason})

    def prune(self, number: int, reason: str) -> TrialRecord:
        """The trial was stopped before its last epoch, for a reason told in one line."""
        return self._finish(replace(self.record(number), state="pruned", reason=reason), "PRUNED", {"reason": reason})

    def add_session(self, session: Mapping[str, Any]) -> None:
        """Commit that a driver begins now, after `elapsed` seconds of those before it, on what `session` describes."""
        began = datetime.now(UTC).isoformat(timespec="milliseconds")
        described = {"began": began, "elapsed": self.elapsed_seconds, **session}
        self._optuna.set_user_attr(SESSIONS, [*self.sessions, described])

    def add_elapsed(self, seconds: float) -> None:
        """Count `seconds` of wall time against the time budget."""
        self._optuna.set_user_attr(ELAPSED, self.elapsed_seconds + seconds)

    def record(self, number: int) -> TrialRecord:
        """What is known of one trial. Its driver knows a running one without asking the storage."""
        if number not in self._running:
            return self._record(self._optuna._storage.get_trial(self._id(number)))
        return self._running[number]

    # -- Optuna's side ------------------------------------------------------------------------------------------------

    def _create(self, proposal: Proposal, state: str, attributes: Mapping[str, Any]) -> TrialRecord:
        import optuna

        now = datetime.now()
        trial = optuna.trial.FrozenTrial(
            number=-1,
            trial_id=-1,
            state=optuna.trial.TrialState[state],
            value=None,
            datetime_start=now,
            datetime_complete=None if state == "RUNNING" else now,
            params=dict(proposal.hyperparameters),
            distributions=dict(proposal.distributions),
            user_attrs={"config": dict(proposal.config), **attributes},
            system_attrs=dict(proposal.notes),
            intermediate_values={},
        )
        trial._trial_id, trial.number = self._add(trial)
        self._ids[trial.number] = trial._trial_id
        record = self._record(trial)
        if state == "RUNNING":
            self._running[trial.number] = record
        return record

    def _id(self, number: int) -> int:
        if number not in self._ids:
            storage = self._optuna._storage
            self._ids[number] = storage.get_trial_id_from_study_id_trial_number(self._optuna._study_id, number)
        return self._ids[number]

    def _add(self, trial: optuna.trial.FrozenTrial) -> tuple[int, int]:
        database = steady_storage(self._optuna)
        if database is not None:
            return database.new_trial(self._optuna._study_id, trial)
        storage = self._optuna._storage
        trial_id = storage.create_new_trial(self._optuna._study_id, template_trial=trial)
        return trial_id, storage.get_trial_number_from_id(trial_id)

    def _write(
        self,
        number: int,
        attributes: Mapping[str, Any],
        state: optuna.trial.TrialState | None = None,
        values: Sequence[float] | None = None,
    ) -> None:
        """Commit attributes of a running trial and, unless `state` is None, its end, at once."""
        database = steady_storage(self._optuna)
        if database is not None:
            database.note(self._id(number), attributes, state, values)
            return
        for key, value in attributes.items():
            self._optuna._storage.set_trial_user_attr(self._id(number), key, value)
        if state is not None:
            self._optuna._storage.set_trial_state_values(self._id(number), state, values)

    def _note(self, number: int, **attributes: Any) -> TrialRecord:
        """Commit attributes of a running trial, which are its record's fields."""
        record = replace(self.record(number), **attributes)
        self._write(number, attributes)
        self._running[number] = record
        return record

    def _finish(self, record: TrialRecord, state: str, attributes: Mapping[str, Any]) -> TrialRecord:
        import optuna

        values = [record.values[name] for name in self.objectives] if record.values else None
        self._write(record.number, attributes, optuna.trial.TrialState[state], values)
        self._running.pop(record.number, None)
        return record

    def _record(self, trial: optuna.trial.FrozenTrial) -> TrialRecord:
        attributes = trial.user_attrs
        state: State = "infeasible" if attributes.get("infeasible") else _STATES[trial.state.name]
        values = dict(zip(self.objectives, trial.values, strict=True)) if state == "complete" else {}
        return TrialRecord(
            number=trial.number,
            state=state,
            reason=attributes.get("reason"),
            values=values,
            config=attributes.get("config", {}),
            curve=attributes.get("curve", ()),
            rungs=attributes.get("rungs", {}),
            losses=attributes.get("losses", ()),
            source=attributes.get("source"),
        )


_STATES: dict[str, State] = {
    "RUNNING": "running",
    "WAITING": "running",
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "fail",
}


def home_option(home: Path) -> str:
    """What a command must be told to find the studies of `home` again; empty for the default folder."""
    return "" if home == Path("studies") else f" --home {shlex.quote(str(home))}"


def study_names(home: Path) -> list[str]:
    """Names of the studies in `home`, sorted."""
    return sorted(path.parent.name for path in home.glob(f"*/{PLACES}"))
