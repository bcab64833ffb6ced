"""The curve of a trial is appended to, and read back whole, whatever was reported when, by whom, and who was killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from kansearch.space import parse_space
from kansearch.study.curve import blocks, read_curve
from kansearch.study.joining import join_trials
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, environment, start_trial
from tests.test_study import epoch, reopened

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study.create(tmp_path, parse_space(SMALL_SPACE, "small.yaml"))


@pytest.mark.parametrize("seed", range(50))
def test_what_is_appended_in_any_portions_is_read_back(seed: int) -> None:
    rng = random.Random(seed)
    curve = [epoch(number, rng.random()) for number in range(1, 1 + rng.randint(0, 60))]
    known = rng.choice([0, rng.randint(0, len(curve))])
    stored: dict[str, Any] = {"curve": curve[:known]} if known else {}  # as it was stored once, in one block
    while known < len(curve):
        upto = rng.randint(known + 1, len(curve))
        written = blocks(curve[:upto], known)
        assert sum(map(len, written.values())) <= upto - known + 7, "nothing old but the block in which it ended"
        rows = list((stored | written).items())
        rng.shuffle(rows)
        stored, known = dict(rows), upto
        assert list(read_curve(stored)) == curve[:known]
    assert list(read_curve(stored)) == curve


@pytest.mark.parametrize("seed", range(3))
def test_a_study_gives_back_what_drivers_reported_one_after_the_other(study: Study, seed: int) -> None:
    rng = random.Random(seed)
    number, known = start_trial(study).number, list[dict[str, Any]]()
    for _ in range(12):
        driver = rng.choice([study, reopened(study)])
        driver._trials._running.clear()  # of what the other driver wrote it knows nothing
        again = rng.randint(0, len(known))  # epochs that a trial repeats that goes on from its checkpoint
        news = [epoch(len(known) + 1 + each, rng.random()) for each in range(rng.randint(0, 11))]
        record = driver.add_epochs(number, [*known[again:], *news])
        known += news
        assert list(record.curve) == known
        assert list(reopened(study).record(number).curve) == known
    (trial,) = study.optuna_trials()
    assert all(len(value) <= 8 for name, value in trial.user_attrs.items() if name.startswith("curve"))


def test_an_older_study_with_a_curve_in_one_block_goes_on(study: Study) -> None:
    number, curve = start_trial(study).number, [epoch(each, each / 100) for each in range(1, 21)]
    study._trials._storage.set_trial_user_attr(study._trials._id(number), "curve", curve)
    driver = reopened(study)
    driver.add_epochs(number, [epoch(20), epoch(21, 0.9)])
    driver.complete(number, [epoch(each, 0.95) for each in range(22, 31)])
    (record,) = reopened(study).records()
    assert [each["epoch"] for each in record.curve] == list(range(1, 31))
    assert record.curve[:20] == curve and record.values["accuracy"] == 0.95


def test_of_a_study_and_its_copy_the_longer_curve_is_taken(study: Study, tmp_path: Path) -> None:
    number = start_trial(study).number
    study.add_epochs(number, [epoch(each) for each in range(1, 10)])
    behind = study.optuna_trials()
    study.fail(number, "because", [epoch(each) for each in range(10, 20)])
    (ended,) = study.optuna_trials()
    (behind[0].state, behind[0].values) = (ended.state, ended.values)
    assert join_trials([behind, [ended]]).places == [[(1, 0), (0, 0)]]


def test_bytes_of_an_epoch_do_not_grow_with_the_curve(study: Study) -> None:
    number, written, database = start_trial(study).number, list[int](), study._opened.database
    assert database is not None

    def count(connection: object, cursor: object, statement: str, parameters: object, *more: object) -> None:
        written[-1] += len(str(parameters))

    event.listen(database.engine, "before_cursor_execute", count)
    for each in range(1, 301):
        written.append(0)
        study.add_epochs(number, [epoch(each)], seconds=float(each))
    event.remove(database.engine, "before_cursor_execute", count)
    assert sum(written[200:]) < 1.1 * sum(written[:100])


_DRIVER = """
import sys
from pathlib import Path
from kansearch.study.study import Study
from tests.test_study import epoch
study = Study.open(Path(sys.argv[1]), "small")
for number in range(1, 10_000):
    study.add_epochs(0, [epoch(number)], {str(number): (1, number, True)}, seconds=float(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("after", [5, 40])
def test_an_epoch_that_was_acknowledged_survives_its_driver_with_its_decision(study: Study, after: int) -> None:
    start_trial(study)
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, str(study.folder.parent)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    with driver.stdout as output:
        acknowledged = [int(output.readline()) for _ in range(after)]
        os.kill(driver.pid, signal.SIGKILL)
        acknowledged += map(int, output.read().split())
    driver.wait()
    (record,) = reopened(study).records()
    assert record.epochs in (acknowledged[-1], acknowledged[-1] + 1)
    assert [each["epoch"] for each in record.curve] == list(range(1, record.epochs + 1))
    assert record.rungs.keys() == {str(record.epochs)} and record.held_seconds == float(record.epochs)
