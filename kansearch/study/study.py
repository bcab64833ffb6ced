"""`Study`: one search, kept in an Optuna study that is the only truth about its trials, and a folder beside it.

    studies/
    ├── mlflow.db, artifacts/     MLflow's tracking store, shared by all studies
    └── <study>/
        ├── study.json            where the Optuna study, the MLflow store and, if not here, the checkpoints are
        ├── study.db              the Optuna study (SQLite), unless another storage was given
        ├── space.yaml            the search space as it was written
        ├── driver.lock           held by the live driver
        └── trials/<number>/      checkpoint of an unfinished trial; traceback of a failed one

A result is committed to the storage before its worker goes on. What a trial is, is read back through `TrialRecord`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kansearch.errors import InputError, KansearchError, UnknownStudyError
from kansearch.space import Direction, SearchSpace, parse_space
from kansearch.study.records import FINISHED, State, TrialRecord
from kansearch.study.storage import SPACE_ATTRIBUTE, create_optuna_study, load_optuna_study, sqlite_url

if TYPE_CHECKING:
    import optuna

__all__ = ["Study", "home_option", "study_names"]

_ELAPSED = "kansearch:elapsed_seconds"


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
        self._optuna = optuna_study or load_optuna_study(self.name, storage_url)
        self._ids: dict[int, int] = {}
        self._curves: dict[int, list[dict[str, Any]]] = {}

    # -- opening ------------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        home: Path,
        space: SearchSpace,
        overrides: Sequence[str] = (),
        storage_url: str | None = None,
        tracking_uri: str | None = None,
        checkpoints: str | None = None,
    ) -> Study:
        """Make the folder and the Optuna study of a new search; call it under the study's lock.

        checkpoints: a folder or URL of this study's own that every worker sees; None: within the study's folder.

        Raises:
            InputError: a study of that name exists; the message says how to go on with it.
            KansearchError: the folder or the storage can't be written.
        """
        folder = home / space.study
        if (folder / "study.json").exists():
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
        create_optuna_study(space, overrides, storage_url)
        places = {"storage": storage_url, "tracking_uri": tracking_uri}
        places |= {"checkpoints": checkpoints} if checkpoints else {}
        _write_private(folder / "study.json", json.dumps(places, indent=2) + "\n")
        return cls(folder, storage_url, tracking_uri, checkpoints=checkpoints)

    @classmethod
    def open(cls, home: Path, name: str) -> Study:
        """Open the study `name` of the folder `home`.

        Raises:
            UnknownStudyError: there is none; the message lists those there are.
        """
        path = home / name / "study.json"
        if not path.is_file():
            known = ", ".join(study_names(home)) or "none yet"
            raise UnknownStudyError(f"no study '{name}' in {home}; studies there: {known}")
        try:
            places = json.loads(path.read_text())
            storage_url, tracking_uri = places["storage"], places["tracking_uri"]
            checkpoints = places.get("checkpoints")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise KansearchError(f"{path} is damaged: {error}") from error
        if not isinstance(storage_url, str) or not isinstance(tracking_uri, str):
            raise KansearchError(f"{path} is damaged: storage and tracking_uri must be text")
        if checkpoints is not None and not (isinstance(checkpoints, str) and checkpoints):
            raise KansearchError(f"{path} is damaged: checkpoints must be text")
        return cls(home / name, storage_url, tracking_uri, checkpoints=checkpoints)

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
        return [self._record(trial) for trial in self._optuna.get_trials(deepcopy=False)]

    def finished(self) -> int:
        """Trials that used up a place in the budget."""
        return sum(record.state in FINISHED for record in self.records())

    @property
    def elapsed_seconds(self) -> float:
        """Wall time spent on this study by all of its drivers, s."""
        return float(self._optuna.user_attrs.get(_ELAPSED, 0.0))

    # -- writing (the driver alone) -----------------------------------------------------------------------------------

    def use_sampler(self, sampler: optuna.samplers.BaseSampler) -> None:
        """Propose configurations with `sampler` from now on."""
        self._optuna.sampler = sampler

    def ask(self) -> optuna.Trial:
        """A new trial, running, with no hyperparameters yet."""
        return self._adopt(self._optuna.ask())

    def unfinished(self) -> list[optuna.Trial]:
        """Trials left running by a driver that is gone; what they had sampled is kept."""
        import optuna

        running = self._optuna.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,))
        return [self._adopt(optuna.Trial(self._optuna, trial._trial_id)) for trial in running]

    def start(self, trial: optuna.Trial, config: Mapping[str, Any]) -> TrialRecord:
        """Note the configuration that `trial` runs."""
        trial.set_user_attr("config", dict(config))
        return self.record(trial.number)

    def add_epoch(self, number: int, result: Mapping[str, Any]) -> TrialRecord:
        """Commit one epoch's measurements. A trial that goes on from its checkpoint repeats those that are known."""
        curve = self._curves.setdefault(number, [dict(each) for each in self.record(number).curve])
        if not curve or result["epoch"] > curve[-1]["epoch"]:
            curve.append(dict(result))
            self._set(number, "curve", curve)
        return self.record(number)

    def note_rungs(self, number: int, rungs: Mapping[str, tuple[int, int, bool]]) -> None:
        """Commit what the scheduler decided about a trial, by epoch."""
        self._set(number, "rungs", dict(rungs))

    def complete(self, number: int) -> TrialRecord:
        """The trial trained its full number of epochs: its objectives are those of the last one."""
        metrics = self.record(number).metrics
        return self._finish(number, "COMPLETE", [metrics[name] for name in self.objectives])

    def fail(self, number: int, reason: str) -> TrialRecord:
        """The trial ended badly, for a reason told in one line."""
        self._set(number, "reason", reason)
        return self._finish(number, "FAIL")

    def prune(self, number: int, reason: str) -> TrialRecord:
        """The trial was stopped before its last epoch, for a reason told in one line."""
        self._set(number, "reason", reason)
        return self._finish(number, "PRUNED")

    def refuse(self, trial: optuna.Trial, excess: Mapping[str, float], reason: str) -> TrialRecord:
        """The configuration breaks a constraint: `excess` is how far above each bound it lies (≤ 0: kept)."""
        for name, amount in excess.items():
            trial.set_constraint(name, amount)
        self._set(trial.number, "infeasible", True)
        return self.prune(trial.number, reason)

    def add_elapsed(self, seconds: float) -> None:
        """Count `seconds` of wall time against the time budget."""
        self._optuna.set_user_attr(_ELAPSED, self.elapsed_seconds + seconds)

    def record(self, number: int) -> TrialRecord:
        """What is known of one trial."""
        return self._record(self._optuna._storage.get_trial(self._id(number)))

    # -- Optuna's side ------------------------------------------------------------------------------------------------

    def _adopt(self, trial: optuna.Trial) -> optuna.Trial:
        self._ids[trial.number] = trial._trial_id
        return trial

    def _id(self, number: int) -> int:
        if number not in self._ids:
            storage = self._optuna._storage
            self._ids[number] = storage.get_trial_id_from_study_id_trial_number(self._optuna._study_id, number)
        return self._ids[number]

    def _set(self, number: int, key: str, value: Any) -> None:
        self._optuna._storage.set_trial_user_attr(self._id(number), key, value)

    def _finish(self, number: int, state: str, values: Sequence[float] | None = None) -> TrialRecord:
        import optuna

        self._optuna._storage.set_trial_state_values(self._id(number), optuna.trial.TrialState[state], values)
        self._curves.pop(number, None)
        return self.record(number)

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
            hyperparameters=trial.params,
            rungs=attributes.get("rungs", {}),
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
    return sorted(path.parent.name for path in home.glob("*/study.json"))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)  # a URL may hold a password
    path.write_text(text)
