"""Nodes that join a real Ray cluster are found and looked at while a driver runs; one that can't take part is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.helpers import ROOT, environment, stop
from tests.nodes import local_cluster, path_with_shelf

DRIVER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from kansearch.cluster.cluster import ray_cluster
from kansearch.cluster.newcomers import Newcomers
from kansearch.space import SearchSettings

address, place = sys.argv[1:]
with ray_cluster(SearchSettings(), address, None, place) as cluster, Newcomers(cluster, place) as newcomers:
    print(json.dumps(cluster.node_ids), flush=True)
    refused = False
    while not refused:
        for each in newcomers.poll():
            print(json.dumps(asdict(each)), flush=True)
            refused = each.problem is not None
        time.sleep(0.2)
"""


def test_nodes_that_join_are_looked_at_and_one_with_other_code_is_named(tmp_path: Path) -> None:
    other, place = tmp_path / "other", tmp_path / "place"
    place.mkdir()
    for package in ("kansearch", "trials"):
        shutil.copytree(ROOT / package, other / package, ignore=shutil.ignore_patterns("__pycache__"))
    (other / "trials/training/step.py").write_text((other / "trials/training/step.py").read_text() + "# changed\n")
    with local_cluster() as cluster:
        env = environment(
            RAY_AUTH_TOKEN=cluster.token, RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0", PYTHONPATH=path_with_shelf()
        )
        words, pipe = [sys.executable, "-c", DRIVER, cluster.address, str(place)], subprocess.PIPE
        driver = subprocess.Popen(words, env=env, cwd=tmp_path, stdout=pipe, stderr=pipe, text=True)
        try:
            first = line(driver)
            assert len(first) == 1
            cluster.add(gpus=2)
            joined = line(driver)
            assert joined["node_id"] not in first
            assert (joined["cpus"], joined["gpus"], joined["problem"]) == (1.0, 2.0, None)
            cluster.add(PYTHONPATH=str(other))
            refused = line(driver)
            name = refused["node_id"]
            assert name not in {*first, joined["node_id"]}
            assert refused["problem"].startswith(f"node 127.0.0.1 ({name[:8]}) has another package `trials`")
            assert refused["problem"].endswith("; it gets no trials")
            assert driver.wait(60) == 0
        finally:
            stop(driver)
    assert list(place.iterdir()) == [], "no note is left"


def line(driver: subprocess.Popen[str]) -> Any:
    assert driver.stdout
    return json.loads(driver.stdout.readline())
