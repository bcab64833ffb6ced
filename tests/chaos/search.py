"""A search whose driver and workers are killed at random moments, resumed each time, and compared with what was seen.

The budget is far off while kills go on; at the end it is set to two trials more than were ever begun, and the search
runs to its end. What a search loses, repeats or leaves behind is counted, not asserted, by `Figures`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kansearch.study.front import front_of
from kansearch.study.lock import holder
from kansearch.study.records import FINISHED, TrialRecord
from kansearch.study.study import Study
from tests.chaos.mlflow import disagreements
from tests.helpers import SMALL_SPACE, command, command_line, descendants, environment, wait_until
from trials.training.checkpoint import load_checkpoint

__all__ = ["Figures", "Place", "chaos"]

_SPACE = SMALL_SPACE.replace("study: small", "study: chaos").replace("epochs: 2", "epochs: 20")
_FAR_OFF = 100_000
_LONGEST_START = 12.0  # a driver is killed at most so many seconds after its start, or after its first new epoch
_WORKER_LOST = "worker lost: "
_OF_THE_MOMENT = ("seconds", "images_per_second", "peak_memory_mib")


@dataclass
class Figures:
    """What came of a chaos run. All but the first six are to be empty or zero."""

    driver_kills: int = 0
    kills_before_the_first_epoch: int = 0
    worker_kills: int = 0
    trials: int = 0
    complete: int = 0
    seconds: float = 0.0
    failed_other_than_by_a_lost_worker: list[str] = field(default_factory=list)
    failed_without_a_kill: int = 0
    lost: list[str] = field(default_factory=list)
    run_twice: list[str] = field(default_factory=list)
    left_running: list[int] = field(default_factory=list)
    numbers_missing: list[int] = field(default_factory=list)
    over_or_under_the_budget: int = 0
    mlflow_disagrees: list[str] = field(default_factory=list)
    processes_left: list[str] = field(default_factory=list)
    lock_held: str | None = None
    checkpoints_left: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, Any]:
        """What should not be, and is."""
        harmless = list(Figures.__dataclass_fields__)[:6]
        return {name: value for name, value in asdict(self).items() if name not in harmless and value}


class _Seen:
    """What was in the study, and in the checkpoints, after each kill: none of it may ever change."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._finished: dict[int, TrialRecord] = {}
        self._epochs: dict[int, list[Mapping[str, Any]]] = {}

    def look(self, study: Study) -> None:
        """Compare the study with what was seen before, then remember what it holds."""
        records = {record.number: record for record in study.records()}
        for number, before in self._finished.items():
            if records.get(number) != before:
                self._figures.lost.append(f"trial {number}: {before} became {records.get(number)}")
        for number, epochs in self._epochs.items():
            self._compare(number, epochs, records.get(number), study)
        for record in records.values():
            self._repeated(record)
            if record.state in FINISHED:
                self._finished[record.number] = record
                self._epochs.pop(record.number, None)
            else:
                self._epochs[record.number] = _trained(study, record)

    def _compare(self, number: int, epochs: list[Mapping[str, Any]], record: TrialRecord | None, study: Study) -> None:
        """An epoch after the last checkpoint may be trained again, and then has the same numbers. A failed trial keeps
        what the study noted."""
        known = [] if record is None else _trained(study, record)
        shorter = min(len(known), len(epochs))
        if _numbers(known[:shorter]) != _numbers(epochs[:shorter]):
            self._figures.run_twice.append(f"trial {number}: an epoch has other numbers than before")
        if record is None or (record.state != "fail" and len(known) < len(epochs)):
            state = "gone" if record is None else record.state
            self._figures.lost.append(f"trial {number} ({state}): {len(epochs)} epochs became {len(known)}")

    def _repeated(self, record: TrialRecord) -> None:
        epochs = [result["epoch"] for result in record.curve]
        if epochs != list(range(1, len(epochs) + 1)):
            self._figures.run_twice.append(f"trial {record.number}: epochs {epochs}")


def _numbers(epochs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What epochs measured, without what depends on the machine's mood."""
    return [{name: value for name, value in epoch.items() if name not in _OF_THE_MOMENT} for epoch in epochs]


def _trained(study: Study, record: TrialRecord) -> list[Mapping[str, Any]]:
    """What is kept of a trial: the results in the checkpoint of an unfinished one, which the study may not have noted
    yet, or else those in the study."""
    path = Path(study.checkpoints) / f"{record.number:05d}" / "checkpoint.pt"
    saved = load_checkpoint(path)["results"] if record.state not in FINISHED and path.exists() else []
    return max(list(record.curve), list(saved), key=len)


@dataclass(frozen=True)
class Place:
    """Where a chaos run lives.

    folder: empty; studies and Ray's sessions are put in it, so that its path must be short. storage, tracking: URLs
    of the study's database and of MLflow's; None: SQLite files in `folder`.
    """

    folder: Path
    storage: str | None = None
    tracking: str | None = None

    def start(self, trials: int) -> subprocess.Popen[str]:
        """Launch the search, or resume it if it was made, with a budget of `trials`."""
        begin = ["resume", "chaos"] if self.made() else ["launch", "chaos.yaml"]
        if begin[0] == "launch":
            begin += ["--storage", self.storage] if self.storage else []
            begin += ["--tracking-uri", self.tracking] if self.tracking else []
        return subprocess.Popen(
            command(*begin, "--trials", str(trials), "--home", self.folder),
            cwd=self.folder,
            env=environment(RAY_TMPDIR=str(self.folder / "ray")),
            stdout=(self.folder / "output.txt").open("a"),
            stderr=subprocess.STDOUT,
            text=True,
        )

    def made(self) -> bool:
        """Whether there is a study to be resumed."""
        return (self.folder / "chaos" / "study.json").exists()

    def study(self) -> Study:
        """The study, opened anew."""
        return Study.open(self.folder, "chaos")

    def epochs(self) -> Callable[[], int]:
        """Counts the epochs that the study holds; opens it once."""
        opened: list[Study] = []

        def count() -> int:
            if not opened and self.made():
                opened.append(self.study())
            return sum(record.epochs for study in opened for record in study.records())

        return count

    def output(self) -> str:
        """The end of what all drivers have printed."""
        return (self.folder / "output.txt").read_text()[-3000:]


def chaos(place: Place, kills: int, seed: int, told: Callable[[Figures], bool] = lambda figures: True) -> Figures:
    """Launch a small search, kill its driver `kills` times, and let it end.

    Each kill is a SIGKILL at a moment drawn with `seed`; before about one in three a worker is killed as well. `told`
    gets the figures after each kill; where it returns False, that was the last one.
    """
    figures, rng, began = Figures(), random.Random(seed), time.monotonic()
    (place.folder / "chaos.yaml").write_text(_SPACE)
    seen = _Seen(figures)
    for _ in range(kills):
        _live_and_die(place, rng, figures)
        if place.made():
            seen.look(place.study())
        figures.seconds = time.monotonic() - began
        if not told(figures):
            break
    budget = 2 + (len(place.study().records()) if place.made() else 0)
    driver = place.start(budget)
    assert driver.wait() == 0, place.output()
    study = place.study()
    seen.look(study)
    _count(study, budget, figures)
    figures.mlflow_disagrees = disagreements(study)
    figures.seconds = time.monotonic() - began
    return figures


def _live_and_die(place: Place, rng: random.Random, figures: Figures) -> None:
    """One driver's life: half of them end some seconds after the start, the others some time after the first epoch."""
    epochs = place.epochs()
    before = epochs()
    driver = place.start(_FAR_OFF)
    with_worker, anywhere, wait = rng.random() < 1 / 3, rng.random() < 2 / 3, rng.uniform(0.2, _LONGEST_START)
    if with_worker or not anywhere:
        wait_until(lambda: epochs() > before or driver.poll() is not None)
        wait = rng.uniform(0.0, 4.0)
    if with_worker:
        _rest(driver, wait / 2)
        figures.worker_kills += _kill_a_worker(driver.pid, rng)
        wait /= 2
    _rest(driver, wait)
    assert driver.poll() is None, f"ended by itself:\n{place.output()}"
    driver.kill()
    driver.wait()
    figures.driver_kills += 1
    figures.kills_before_the_first_epoch += epochs() == before


def _rest(driver: subprocess.Popen[str], seconds: float) -> None:
    """Let the driver live so long."""
    try:
        driver.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _kill_a_worker(driver: int, rng: random.Random) -> int:
    """SIGKILL one of Ray's workers, if there are any; how many were killed."""
    workers = [child for child in descendants(driver) if _is_worker(command_line(child))]
    if not workers:
        return 0
    try:
        os.kill(rng.choice(workers), signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1


def _is_worker(command_line: str) -> bool:
    return command_line.startswith(("ray::IDLE", "ray::ResourceTrainable", "ray::Worker"))


def _count(study: Study, budget: int, figures: Figures) -> None:
    records = study.records()
    figures.trials = len(records)
    figures.complete = sum(record.state == "complete" for record in records)
    failed = [record for record in records if record.state == "fail"]
    figures.failed_other_than_by_a_lost_worker = [
        f"trial {record.number}: {record.reason}"
        for record in failed
        if not (record.reason or "").startswith(_WORKER_LOST)
    ]
    figures.failed_without_a_kill = max(0, len(failed) - figures.worker_kills)
    figures.left_running = [record.number for record in records if record.state == "running"]
    figures.numbers_missing = sorted(set(range(len(records))) ^ {record.number for record in records})
    figures.over_or_under_the_budget = study.finished() - budget
    for record in records:
        if record.state == "complete" and record.epochs != record.stored.epochs:
            figures.lost.append(f"trial {record.number}: complete after {record.epochs} epochs")
    figures.lock_held = holder(study.folder)
    figures.processes_left = _processes_left(study.folder.parent)
    figures.checkpoints_left = _files_left(study, records)


def _files_left(study: Study, records: Sequence[TrialRecord]) -> list[str]:
    """What lies there beside the tracebacks of failed trials, and what of the front's weights does not."""
    place = study.folder / "trials"
    wanted = {place / f"{each.number:05d}/model.safetensors" for each in front_of(records, study.objectives)}
    found = {path for path in place.rglob("*") if path.is_file() and path.name != "error.txt"}
    return sorted(map(str, found ^ wanted))


def _processes_left(folder: Path) -> list[str]:
    """Processes of Ray that don't end."""
    try:
        wait_until(lambda: not list(_processes(folder)), 120)  # an agent of a killed Ray may take a minute
    except AssertionError:
        return [f"{pid} {command_line(pid)}" for pid in _processes(folder)]
    return []


def _processes(folder: Path) -> Iterator[int]:
    """Processes of this run's Ray: started with its folder, or with a file of its sessions open."""
    sessions = str(folder / "ray")
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        if pid != os.getpid() and (sessions in command_line(pid) or _has_open(path, sessions)):
            yield pid


def _has_open(process: Path, folder: str) -> bool:
    try:
        return any(str(link.readlink()).startswith(folder) for link in (process / "fd").iterdir())
    except OSError:
        return False  # it ended while we looked, or is another user's
