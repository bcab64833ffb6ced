"""Successive halving as a state machine: against brute force, in any order, before and after a restart."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from kansearch.engine.halving import Decision, Halving, crowding_distance
from kansearch.space import Direction
from kansearch.study.records import TrialRecord
from kansearch.study.stored_config import StoredConfig

TWO: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}
THREE: dict[str, Direction] = {**TWO, "validation_loss": "minimize"}


def trial(
    number: int, accuracies: Sequence[float], parameters: int = 100, epochs: int = 27, **more: Any
) -> TrialRecord:
    """A running trial that has reported `accuracies`, an epoch each."""
    same = {"parameters": parameters, "seconds": 2.0}
    curve = [
        {"epoch": epoch, "accuracy": accuracy, "validation_loss": 1 - accuracy, **same}
        for epoch, accuracy in enumerate(accuracies, 1)
    ]
    state = more.pop("state", "running")
    return TrialRecord(number, state, stored=StoredConfig({"epochs": epochs}), curve=curve, **more)


def random_trials(seed: int, count: int, epochs: int = 1) -> list[TrialRecord]:
    """Coarse values, so that there are ties and copies."""
    rng = random.Random(seed)
    return [
        trial(number, [rng.randrange(10) / 10 for _ in range(epochs)], 10 * rng.randrange(1, 10))
        for number in range(count)
    ]


def loss_of(record: TrialRecord, objectives: Mapping[str, Direction], epoch: int) -> list[float]:
    result = record.curve[epoch - 1]
    return [-result[name] if direction == "maximize" else result[name] for name, direction in objectives.items()]


def dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)


def brute_ranks(points: Sequence[Sequence[float]]) -> list[int]:
    left, ranks, rank = set(range(len(points))), [0] * len(points), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            ranks[i] = rank
        left, rank = left - front, rank + 1
    return ranks


def live(halving: Halving, trials: Sequence[TrialRecord]) -> dict[int, Decision]:
    return {each.number: decision for each in trials if (decision := halving.decide(each)) is not None}


def test_rungs_lie_below_the_full_number_of_epochs() -> None:
    halving = Halving(TWO, min_epochs=1, reduction_factor=3)
    assert list(halving.epochs_of_rungs(0, 27)) == [1, 3, 9]
    assert list(halving.epochs_of_rungs(0, 28)) == [1, 3, 9, 27]
    assert list(halving.epochs_of_rungs(0, 1)) == []
    assert list(Halving(TWO, min_epochs=2, reduction_factor=4).epochs_of_rungs(5, 60)) == [2, 8, 32]


def test_the_trials_of_a_bracket_skip_its_first_rungs_and_meet_no_others() -> None:
    halving = Halving(TWO, reduction_factor=3, brackets=3)
    assert [list(halving.epochs_of_rungs(number, 27)) for number in range(4)] == [[1, 3, 9], [3, 9], [9], [1, 3, 9]]
    decisions = live(halving, [trial(number, [0.9 - number / 20] * 3) for number in range(9)])
    assert {key: rung.numbers for key, rung in halving.rungs.items()} == {
        (0, 1): [0, 3, 6],
        (0, 3): [0],
        (1, 3): [1, 4, 7],
    }
    assert {number for number, decision in decisions.items() if not decision.goes_on} == {3, 4, 6, 7}
    assert 2 not in decisions, "its first rung comes later"


@pytest.mark.parametrize("objectives", [TWO, THREE])
@pytest.mark.parametrize("seed", range(10))
def test_ranks_are_those_of_brute_force_dominance(objectives: dict[str, Direction], seed: int) -> None:
    trials = random_trials(seed, 40)
    halving = Halving(objectives, reduction_factor=3, seed=seed)
    for seen, record in enumerate(trials, 1):
        decision = halving.decide(record)
        assert decision is not None and decision.seen == seen
        points = [loss_of(each, objectives, 1) for each in trials[:seen]]
        ranks = brute_ranks(points)
        lower = sum(rank < ranks[-1] for rank in ranks)
        assert lower < decision.rank <= lower + ranks.count(ranks[-1])
        first_of_copies = points.count(points[-1]) == 1
        if ranks[-1] == 0 and first_of_copies:
            assert decision.goes_on
        elif ranks[-1] > 0:
            assert decision.goes_on == (decision.rank <= seen // 3)


@pytest.mark.parametrize("seed", range(10))
def test_places_at_a_rung_do_not_depend_on_the_order_of_arrival(seed: int) -> None:
    trials = random_trials(seed, 25)
    newest = trials[-1]
    before = trials[:-1]
    places = set()
    for shuffle in range(5):
        random.Random(shuffle).shuffle(before)
        halving = Halving(TWO, seed=seed)
        live(halving, before)
        decision = halving.decide(newest)
        assert decision is not None
        places.add(decision.rank)
    assert len(places) == 1


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_no_trial_is_stopped_for_being_less_accurate_than_a_larger_one(factor: int) -> None:
    """Accuracy grows with size, so that nothing is dominated: all go on, whatever the order."""
    sizes = random.Random(factor).sample(range(10, 10_000), 60)
    trials = [trial(number, [0.2 + size / 20_000] * 9, size) for number, size in enumerate(sizes)]
    halving = Halving(TWO, reduction_factor=factor)
    assert all(decision.goes_on for decision in live(halving, trials).values())


@pytest.mark.parametrize("seed", range(5))
def test_a_trial_is_stopped_only_where_another_one_beats_it(seed: int) -> None:
    trials = random_trials(seed, 60)
    halving = Halving(TWO, reduction_factor=4, seed=seed)
    stopped = 0
    for seen, record in enumerate(trials, 1):
        decision = halving.decide(record)
        assert decision is not None
        if not decision.goes_on:
            stopped += 1
            mine, others = loss_of(record, TWO, 1), [loss_of(other, TWO, 1) for other in trials[: seen - 1]]
            assert any(all(a <= b for a, b in zip(other, mine, strict=True)) for other in others)
    assert stopped > 30


def test_a_trial_that_others_beat_in_everything_is_stopped() -> None:
    halving = Halving(TWO, reduction_factor=3)
    live(halving, [trial(number, [0.9 - number / 100], 100 + number) for number in range(8)])
    decision = halving.decide(trial(8, [0.1], 10_000))
    assert decision == Decision(epoch=1, rank=9, seen=9, goes_on=False)
    assert str(decision) == "epoch 1: rank 9 of 9"


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_with_one_objective_it_is_the_rule_of_asha(factor: int, direction: Direction) -> None:
    """Goes on if among the best ⌊n / η⌋ of those seen, or the best one of all."""
    rng = random.Random(factor)
    values = [rng.random() for _ in range(60)]
    halving = Halving({"accuracy": direction}, reduction_factor=factor)
    for seen, value in enumerate(values, 1):
        better = sum((each > value) == (direction == "maximize") for each in values[: seen - 1])
        decision = halving.decide(trial(seen, [value]))
        assert decision == Decision(1, better + 1, seen, better < max(1, seen // factor))


def test_an_objective_that_adds_up_or_was_not_measured() -> None:
    halving = Halving({"seconds": "minimize"}, min_epochs=2, reduction_factor=2)
    halving.decide(trial(0, [0.5, 0.5, 0.5]))
    assert halving.rungs[0, 2].signed == [[4.0]]
    nothing = trial(0, [0.5])
    nothing = dataclasses.replace(nothing, curve=[{**nothing.curve[0], "accuracy": None}])
    unmeasured = Halving(TWO)
    live(unmeasured, [nothing, *(trial(number, [0.1], 100) for number in (1, 2))])
    decision = unmeasured.decide(dataclasses.replace(nothing, number=3))
    assert decision is not None and decision.rank >= 3 and not decision.goes_on, "what was not measured comes last"


def test_copies_share_one_place_and_the_generator_breaks_the_tie_not_the_timing() -> None:
    copies = [trial(number, [0.5], 100) for number in range(7)]
    places = {}
    for newest in copies:
        halving = Halving(TWO, seed=5)
        live(halving, [each for each in copies if each is not newest])
        decision = halving.decide(newest)
        assert decision is not None
        places[newest.number] = decision.rank
    assert sorted(places.values()) == list(range(1, 8))
    other = Halving(TWO, seed=6)
    decisions = live(other, copies)
    assert [decision.rank for decision in decisions.values()] != [places[number] for number in sorted(places)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("width", [1, 2, 3])
def test_crowding_distance_is_that_of_a_double_loop(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, size=(rng.integers(1, 12), width)) / 5.0
    points = np.unique(points, axis=0)[rng.permutation(len(np.unique(points, axis=0)))]
    expected = []
    for point in points:
        total = 0.0
        for column in range(width):
            values = points[:, column]
            low, high = values.min(), values.max()
            if point[column] in (low, high):
                total = np.inf
                break
            rows = sorted(map(tuple, points), key=lambda row, column=column: (row[column], row))
            place = rows.index(tuple(point))
            total += (rows[place + 1][column] - rows[place - 1][column]) / (high - low)
        expected.append(total)
    assert crowding_distance(points, np.zeros(len(points))) == pytest.approx(np.array(expected))


def test_a_copy_adds_nothing_to_a_front() -> None:
    points = np.array([[0.0, 1.0], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    assert crowding_distance(points, np.array([0.1, 0.9, 0.2, 0.3])).tolist() == [np.inf, 0.0, 2.0, np.inf]


def test_judging_twice_changes_nothing() -> None:
    """A trial that goes on from its checkpoint reports again what is known."""
    halving = Halving(TWO)
    first = [trial(number, [0.5 + number / 100], 100) for number in range(5)]
    live(halving, first)
    stopped = trial(9, [0.1], 100)
    decision = halving.decide(stopped)
    assert decision is not None and not decision.goes_on
    assert halving.decide(stopped) == decision, "a stop is told again"
    assert halving.decide(first[-1]) is None, "nothing new"
    assert len(halving.rungs[0, 1].numbers) == 6


def interleaved(halving: Halving, seed: int, trials: list[TrialRecord], steps: int) -> dict[int, TrialRecord]:
    """Report epochs of random running trials, as a study would note them."""
    rng = random.Random(seed)
    now = {each.number: dataclasses.replace(each, curve=[]) for each in trials}
    for _ in range(steps):
        going = [each for each in trials if now[each.number].state == "running"]
        if not going:
            break
        whole = rng.choice(going)
        record = now[whole.number]
        record = dataclasses.replace(record, curve=whole.curve[: record.epochs + 1])
        decision = halving.decide(record)
        state: Any = "complete" if record.epochs == len(whole.curve) else "running"
        if decision is not None and not decision.goes_on:
            state = "pruned"
        noted = json.loads(json.dumps(halving.noted(record.number)))
        now[whole.number] = dataclasses.replace(record, state=state, rungs=noted)
    return now


@pytest.mark.parametrize("brackets", [1, 2])
@pytest.mark.parametrize("steps", [10, 40, 100])
def test_a_replayed_study_goes_on_with_the_same_decisions(steps: int, brackets: int) -> None:
    trials = [
        dataclasses.replace(each, stored=StoredConfig({"epochs": 10})) for each in random_trials(steps, 30, epochs=10)
    ]
    settings: dict[str, Any] = {"reduction_factor": 3, "brackets": brackets, "seed": 4}
    before = Halving(TWO, **settings)
    records = interleaved(before, 1, trials, steps)
    after = Halving(TWO, **settings)
    after.replay(records.values())
    for key, rung in before.rungs.items():
        again = after.rungs[key]
        points = dict(zip(rung.numbers, rung.signed, strict=True))
        assert dict(zip(again.numbers, again.signed, strict=True)) == points
    assert after.rungs.keys() == before.rungs.keys()
    for number in records:
        assert after.decisions(number) == before.decisions(number)
        whole = next(each for each in trials if each.number == number)
        going = dataclasses.replace(records[number], curve=whole.curve)
        assert after.decide(going) == before.decide(going)


def test_a_trial_lost_before_its_verdict_was_noted_is_judged_then() -> None:
    settings: dict[str, Any] = {"reduction_factor": 3}
    others = [trial(number, [0.5 + number / 100], 100, state="pruned") for number in range(5)]
    lost = trial(5, [0.1], 100)
    halving = Halving(TWO, **settings)
    halving.replay([*others, lost])
    assert lost.number not in halving.rungs[0, 1].numbers
    decision = halving.decide(lost)
    assert decision is not None and (decision.rank, decision.seen, decision.goes_on) == (6, 6, False)


def test_trials_from_before_halving_was_switched_on_count_but_are_not_judged_for_the_past() -> None:
    old = trial(0, [0.1, 0.1], 100)
    halving = Halving(TWO)
    halving.replay([old, *(trial(number, [0.9, 0.9], 50, state="complete", epochs=2) for number in (1, 2, 3))])
    assert sorted(halving.rungs[0, 1].numbers) == [0, 1, 2, 3]
    assert halving.decide(old) is None
    decision = halving.decide(trial(0, [0.1, 0.1, 0.1], 100))
    assert decision is not None and decision.epoch == 3


@pytest.mark.parametrize("wrong", [{"reduction_factor": 1}, {"min_epochs": 0}, {"brackets": 0}, {"objectives": {}}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Halving(wrong.pop("objectives", TWO), **wrong)
