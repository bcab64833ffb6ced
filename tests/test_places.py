"""A real search, with Ray, of short trials: every place gets a worker, and none is started in vain."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.helpers import ROOT, environment


def test_every_place_gets_one_worker_which_runs_trials_to_the_end() -> None:
    words = [sys.executable, "-m", "tests.benchmarks.places", "--one", "search"]
    words += ["--places", "4", "--trials", "0.1", "--seconds", "3"]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout.splitlines()[-1])
    assert row["workers"] == 4, "four processes ran trials: none was cancelled, and none replaced"
