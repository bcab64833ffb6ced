"""Halving in a real search, with Ray, through a driver that is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from kansearch.engine.halving import build_halving
from kansearch.study.front import front_of
from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, epochs_done, start, stop, wait_until
from tests.support.commands import answer
from tests.support.searches import copy_mlflow_database
from tests.test_engine import assert_mlflow_agrees

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

HALVING_SPACE = (
    SMALL_SPACE.replace("epochs: 2", "epochs: 10")
    .replace("limit: 200", "limit: 400")
    .replace("scheduler: none, trials: 6", "trials: 12, reduction_factor: 3")
)


def test_halving_prunes_and_a_killed_driver_decides_the_same_again(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(HALVING_SPACE)
    copy_mlflow_database(tmp_path / "studies/mlflow.db")
    driver = start("launch", "small.yaml", cwd=tmp_path)
    wait_until(lambda: epochs_done(tmp_path / "studies", "small") >= 15)
    stop(driver)
    before = {record.number: record for record in Study.open(tmp_path / "studies", "small").records()}
    assert any(record.state == "running" for record in before.values())
    assert any(record.rungs for record in before.values())

    answer("resume", "small", cwd=tmp_path)
    study = Study.open(tmp_path / "studies", "small")
    records = study.records()
    assert [record.number for record in records] == list(range(12))
    for record in records:
        known = before.get(record.number)
        assert known is None or record.rungs.items() >= known.rungs.items(), "no decision is taken back"
        if record.state == "pruned":
            assert record.epochs in (1, 3, 9)
            assert record.rungs[str(record.epochs)][2] is False
            assert str(record.reason).startswith(f"stopped by halving at epoch {record.epochs}: rank ")
            assert record.values == {}
        else:
            assert (record.state, record.epochs) == ("complete", 10)
            assert set(record.rungs) == {"1", "3", "9"}
    assert any(record.state == "pruned" for record in records)

    rebuilt = build_halving(study.space.search, study.objectives)
    assert rebuilt is not None
    rebuilt.replay(records)
    assert len(rebuilt.rungs[0, 1].numbers) == 12
    for epoch in (1, 3, 9):
        seen = sorted(record.rungs[str(epoch)][1] for record in records if str(epoch) in record.rungs)
        assert seen == list(range(1, len(seen) + 1)), (
            "each saw all that came before it, over both drivers, and no other"
        )

    front = front_of(records, study.objectives)
    assert front and all(record.epochs == 10 for record in front)
    assert_mlflow_agrees(tmp_path, "small")
    leftovers = {path.parent.name for path in (tmp_path / "studies/small/trials").rglob("*") if path.is_file()}
    assert leftovers == {f"{record.number:05d}" for record in front}, "a pruned trial keeps no checkpoint"
