"""The front, its hypervolume and its knee, against definitions written out by hand."""

from __future__ import annotations

import random

import pytest

from kansearch.space import Direction
from kansearch.study.front import front_of, hypervolume, knee
from kansearch.study.objectives import costs
from kansearch.study.records import State, TrialRecord
from trials.metrics import METRICS

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}


def record(number: int, accuracy: float, parameters: float, state: State = "complete") -> TrialRecord:
    return TrialRecord(number, state, values={"accuracy": accuracy, "parameters": parameters})


def random_records(seed: int, count: int = 60) -> list[TrialRecord]:
    rng = random.Random(seed)
    return [record(i, round(rng.random(), 1), rng.randrange(100, 3000, 100)) for i in range(count)]


def dominates(a: TrialRecord, b: TrialRecord) -> bool:
    """At least as good in both objectives and better in one."""
    no_worse = a.values["accuracy"] >= b.values["accuracy"] and a.values["parameters"] <= b.values["parameters"]
    return no_worse and dict(a.values) != dict(b.values)


@pytest.mark.parametrize("seed", range(20))
def test_front_is_what_nothing_dominates(seed: int) -> None:
    records = random_records(seed)
    expected = {tuple(r.values.values()) for r in records if not any(dominates(other, r) for other in records)}
    front = front_of(records, OBJECTIVES)
    assert {tuple(r.values.values()) for r in front} == expected
    assert len(front) == len(expected), "of equal points one stays"
    assert [r.values["parameters"] for r in front] == sorted(r.values["parameters"] for r in front)


def test_only_complete_trials_are_on_the_front() -> None:
    states: list[State] = ["pruned", "fail", "running", "infeasible"]
    better = [record(i, 0.99, 10, state) for i, state in enumerate(states)]
    assert [r.number for r in front_of([*better, record(9, 0.5, 1000)], OBJECTIVES)] == [9]
    assert front_of(better, OBJECTIVES) == []


def test_directions_decide_what_is_better() -> None:
    records = [record(0, 0.9, 100), record(1, 0.8, 200)]
    assert [r.number for r in front_of(records, OBJECTIVES)] == [0]
    assert [r.number for r in front_of(records, {"accuracy": "minimize", "parameters": "maximize"})] == [1]
    assert len(front_of(records, {"accuracy": "maximize", "parameters": "maximize"})) == 2


@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_is_the_area_of_the_boxes_it_dominates(seed: int) -> None:
    front = front_of(random_records(seed), OBJECTIVES)
    points = sorted(costs(OBJECTIVES, r.values) for r in front)
    area, ceiling = 0.0, 1.0
    for x, y in points:
        area += (1.0 - x) * max(0.0, ceiling - y)
        ceiling = min(ceiling, y)
    assert hypervolume(front, OBJECTIVES) == pytest.approx(area, abs=1e-12)


def test_hypervolume_never_falls_as_trials_are_added() -> None:
    records = random_records(3)
    volumes = [hypervolume(front_of(records[:n], OBJECTIVES), OBJECTIVES) for n in range(len(records) + 1)]
    assert volumes[0] == 0.0
    assert volumes == sorted(volumes)


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_cost_lies_between_0_and_1_and_is_monotonic(name: str) -> None:
    values = [0.0, 0.2, 0.5, 1.0] if name in ("accuracy", "mean_iou", "r2") else [0.0, 1.0, 10.0, 1e4, 1e6]
    measured = [METRICS[name].cost(value) for value in values]
    assert all(0.0 <= cost <= 1.0 for cost in measured)
    rising = name not in ("accuracy", "mean_iou", "r2", "images_per_second")
    assert measured == sorted(measured, reverse=not rising)


def test_knee_is_the_balanced_point() -> None:
    front = front_of([record(0, 0.30, 100), record(1, 0.95, 300), record(2, 0.97, 100_000)], OBJECTIVES)
    assert knee(front, OBJECTIVES).number == 1
    poor = front_of([*front, record(3, 0.02, 99)], OBJECTIVES)
    assert knee(poor, OBJECTIVES).number == 1, "one poor network more does not move it"
    assert knee(front[:1], OBJECTIVES) is front[0]
    assert knee(front[:2], OBJECTIVES) is front[1], "of two points, both at an end, the more accurate one"


def test_three_objectives() -> None:
    three: dict[str, Direction] = {**OBJECTIVES, "seconds": "minimize"}
    records = [
        TrialRecord(i, "complete", values={"accuracy": a, "parameters": p, "seconds": s})
        for i, (a, p, s) in enumerate([(0.9, 100, 5), (0.9, 100, 6), (0.8, 100, 1)])
    ]
    front = front_of(records, three)
    assert [r.number for r in front] == [2, 0]
    assert 0 < hypervolume(front, three) < 1
