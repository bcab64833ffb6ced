"""A disk that is full stops a search in one line; no trial fails by it, and the search goes on when there is room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kansearch.study.study import Study
from tests.helpers import SMALL_SPACE, run, start, succeed, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

_MEBIBYTE = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, 24 MiB; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, leave: int = 0) -> Path:
    """Write a file, or more of it, that leaves `leave` bytes free."""
    path = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with path.open("ab", buffering=0) as file:
        left = free - leave
        while left > 0:
            try:
                left -= file.write(bytes(min(left, _MEBIBYTE)))
            except OSError:
                break  # full
    return path


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(0, id="nothing free", marks=pytest.mark.slow),
        pytest.param(64 * 1024, id="no room for a checkpoint"),
    ],
)
def test_a_full_disk_stops_the_search_and_no_trial_fails(tmp_path: Path, small_disk: Path, leave: int) -> None:
    (tmp_path / "small.yaml").write_text(SMALL_SPACE)
    home = ("--home", str(small_disk))
    wide = ("--set", "model.width=64", "--set", "model.basis={name: rbf, grid_size: 8}")  # a checkpoint of 1 MiB or so
    often = ("--set", "search.checkpoint_seconds=0")  # one is written after the disk is full
    driver = start("launch", "small.yaml", "--trials", "2", "--epochs", "30", *wide, *often, *home, cwd=tmp_path)
    wait_until(lambda: (small_disk / "small/study.json").exists())
    study = Study.open(small_disk, "small")
    wait_until(lambda: sum(record.epochs for record in study.records()) >= 4)
    ballast = fill(small_disk, leave)
    _, stderr = driver.communicate(timeout=300)
    assert driver.returncode == 1, stderr
    (line,) = stderr.splitlines()
    assert line.startswith("kansearch: ")
    assert str(small_disk / "small") in line
    assert line.endswith(f"go on with `kansearch resume small --home {small_disk}`")
    assert "full" in line or "No space left on device" in line

    fill(small_disk, leave)  # a database in WAL mode gives room back when it is closed
    still_full = run("resume", "small", *home, cwd=tmp_path)
    assert still_full.returncode == 1
    assert still_full.stderr.startswith("kansearch: ")
    assert "internal error" not in still_full.stderr
    assert still_full.stderr.count("\n") == 1, still_full.stderr
    before = {record.number: record for record in Study.open(small_disk, "small").records()}
    assert "fail" not in {record.state for record in before.values()}
    ballast.unlink()
    succeed("resume", "small", *home, cwd=tmp_path)
    after = json.loads(succeed("trials", "small", "--json", *home, cwd=tmp_path))
    assert [(record["state"], record["epochs"]) for record in after] == [("complete", 30)] * 2
    for record in Study.open(small_disk, "small").records():
        known = list(before[record.number].curve) if record.number in before else []
        assert list(record.curve)[: len(known)] == known
