"""What several studies know beside their trials, joined: time that passed once counts once."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kansearch.study.history import History, joined_history
from kansearch.study.usage import Usage

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def history(*spans: tuple[float, float], **more: Any) -> History:
    """Of drivers that worked from one second to another."""
    sessions, elapsed = [], 0.0
    for begin, end in spans:
        began = (BEGAN + timedelta(seconds=begin)).isoformat()
        sessions.append({"began": began, "elapsed": elapsed, "processor": "x"})
        elapsed += end - begin
    return History(elapsed, sessions, **more)


def elapsed(found: History) -> list[float]:
    return [round(float(session["elapsed"]), 6) for session in found.sessions]


def test_sessions_one_after_the_other_add_up_in_the_order_of_time() -> None:
    found = joined_history({"late": history((100, 130), (300, 310)), "early": history((0, 50), (200, 201))})
    assert found.elapsed_seconds == 30 + 10 + 50 + 1
    assert elapsed(found) == [0, 50, 80, 81]
    assert [session["study"] for session in found.sessions] == ["early", "late", "early", "late"]


def test_time_in_which_two_worked_counts_once() -> None:
    found = joined_history({"a": history((0, 100)), "b": history((10, 20), (90, 120)), "c": history((200, 250))})
    assert found.elapsed_seconds == 120 + 50
    assert elapsed(found) == [0, 10, 90, 120]


def test_a_session_that_a_copy_knows_too_is_one() -> None:
    shared = (0.0, 60.0)
    found = joined_history({"a": history(shared, (100, 110)), "b": history(shared, (105, 130))})
    assert found.elapsed_seconds == 60 + 30
    assert [session["study"] for session in found.sessions] == ["a", "a", "b"]


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_length_of_the_union_and_joining_again_changes_nothing(seed: int) -> None:
    rng = random.Random(seed)
    histories: dict[str, History] = {}
    covered: set[int] = set()
    for name in "abc":
        edges = sorted(rng.sample(range(200), 6))
        spans = list(zip(edges[::2], edges[1::2], strict=True))
        covered |= {second for begin, end in spans for second in range(begin, end)}
        histories[name] = history(*spans)
    found = joined_history(histories)
    assert found.elapsed_seconds == pytest.approx(len(covered))
    begins = [datetime.fromisoformat(session["began"]) for session in found.sessions]
    before = [len([s for s in covered if BEGAN + timedelta(seconds=s) < begin]) for begin in begins]
    assert elapsed(found) == pytest.approx(before)
    two = {name: histories[name] for name in "ab"}
    nested = joined_history({"ab": joined_history(two), "c": histories["c"]})
    assert nested.elapsed_seconds == pytest.approx(found.elapsed_seconds)
    assert _places(nested.sessions) == _places(found.sessions)


def _places(sessions: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float]]:
    return [(each["study"], each["began"], round(each["elapsed"], 6)) for each in sessions]


def test_usages_add_up_and_sequences_go_on_where_the_farthest_is() -> None:
    first = history(usage=Usage(10.0, 6.0, {"GPU 0": (10.0, 4.0)}), sequence={"qmc:1": 7, "qmc:2": 1})
    second = history(usage=Usage(1.0, 1.0), sequence={"qmc:1": 3, "qmc:3": 5})
    found = joined_history({"a": first, "b": second})
    assert found.usage == Usage(11.0, 7.0, {"GPU 0": (10.0, 4.0)})
    assert found.sequence == {"qmc:1": 7, "qmc:2": 1, "qmc:3": 5}
    assert found.elapsed_seconds == 0.0 and "kansearch:sessions" not in found.attributes()
