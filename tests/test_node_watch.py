"""Is the cluster able to run a search? With nodes as Ray describes them, without Ray."""

from __future__ import annotations

from typing import Any

import pytest
import ray

from kansearch.cluster.node_watch import LateWorkers, NodeWatch
from kansearch.errors import InterruptionError


def node(cpus: float, gpus: float, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "every node of the Ray cluster died"),
        ([node(16, 4, alive=False)], "every node of the Ray cluster died"),
        ([node(16, 0)], r"no living node of the Ray cluster has 2 CPUs and 0\.5 GPUs for a trial"),
        ([node(1, 4), node(16, 4, alive=False)], "no living node"),
    ],
)
def test_a_cluster_without_room_for_a_trial_is_an_interruption(
    monkeypatch: pytest.MonkeyPatch, nodes: list[dict[str, Any]], message: str
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    with pytest.raises(InterruptionError, match=message):
        NodeWatch(2, 0.5).check()


def test_one_node_with_room_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [node(1, 0), node(16, 1), node(16, 4, alive=False)])
    NodeWatch(2, 0.5).check()


def test_late_workers_are_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 3.0})
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 16.0, "GPU": 2.0, "memory": 9e9})
    late, lines = 0, list[str]()
    watch = LateWorkers(lambda seconds: late, lines.append)
    watch()
    assert lines == []
    late = 5
    watch()
    watch()
    assert lines == ["5 workers wait for resources since 60 s; the cluster has 3 of 16 CPUs and 0 of 2 GPUs free"]
