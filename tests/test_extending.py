"""The diffs of docs/extending.md apply to the code as it is.

Where one does not, apply it with `git apply --3way`, put it right, and paste `git diff -U1`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text()
DIFFS: dict[str, str] = dict(re.findall(r"(?ms)^## ([^\n]+)\n(?:(?!^## ).)*?^```diff\n(.*?)^```", PAGE))


def test_each_task_but_the_last_has_a_diff() -> None:
    tasks = re.findall(r"(?m)^## (.+)$", PAGE)
    assert len(tasks) == 10 and list(DIFFS) == tasks[:-1]


@pytest.mark.parametrize("task", DIFFS)
def test_a_diff_applies(task: str) -> None:
    check = subprocess.run(
        ["git", "apply", "--check", "-"], input=DIFFS[task], text=True, cwd=ROOT, capture_output=True, timeout=60
    )
    assert (check.returncode, check.stderr) == (0, "")


@pytest.mark.parametrize("task", DIFFS)
def test_the_table_counts_its_files(task: str) -> None:
    """Files of the packages are counted; tests, docs and benchmarks stand beside them."""
    edited = re.findall(r"(?m)^diff --git a/((?:kansearch|trials)/\S+)", DIFFS[task])
    (row,) = re.findall(rf"(?m)^\| \[{task[0].lower()}{task[1:]}\]\(\S+\) \| (\d+) \| (\d+)", PAGE)
    assert int(row[1]) == len(edited) <= int(row[0])
