"""A Ray cluster whose only node dies stops the search in one line: it is waited for by nobody, and no trial fails."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, command_line, descendants, start, succeed, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.mark.slow
def test_a_node_that_dies_stops_the_search_and_no_trial_fails(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    driver = start("launch", "small.yaml", "--trials", "3", "--epochs", "1500", cwd=tmp_path)
    wait_until(lambda: (tmp_path / "studies/small/study.json").exists())
    study = Study.open(tmp_path / "studies", "small")
    wait_until(lambda: sum(record.epochs for record in study.records()) >= 3)
    (node,) = [pid for pid in descendants(driver.pid) if "/raylet/raylet" in command_line(pid)]
    os.kill(node, signal.SIGKILL)
    _, stderr = driver.communicate(timeout=300)
    assert driver.returncode == 1
    assert stderr == (
        "kansearch: every node of the Ray cluster died; nothing is lost, go on with `kansearch resume small`\n"
    )
    assert {record.state for record in study.records()} <= {"running", "complete"}
    succeed("resume", "small", cwd=tmp_path)
    assert [(record.state, record.epochs) for record in study.records()] == [("complete", 1500)] * 3
