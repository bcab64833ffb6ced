"""Studies beside each other: what each found alone, by how much, on a page and in a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from kansearch.report.comparison import write_comparison
from kansearch.space import Direction, parse_space
from kansearch.study.comparison import Side, compare_studies
from kansearch.study.front import front_of, hypervolume
from kansearch.study.records import TrialRecord
from kansearch.study.study import Study
from tests.commandline import Command, kansearch_fixture, one_line
from tests.helpers import SMALL_SPACE, start_trial
from tests.test_study import epoch
from tests.test_verdict import trial

__all__ = ["kansearch_fixture"]

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}


def compared(**studies: Sequence[TrialRecord]) -> dict[str, Side]:
    sides = compare_studies({name: (trials, []) for name, trials in studies.items()}, OBJECTIVES)
    return {side.name: side for side in sides}


def test_a_find_is_a_trial_that_the_other_has_nothing_as_good_as() -> None:
    a = [trial(0, "gram", 0.90, 1_000), trial(1, "gram", 0.95, 5_000), trial(2, "gram", 0.5, 100)]
    b = [trial(0, "none", 0.91, 900), trial(1, "none", 0.93, 4_000), trial(2, "none", 0.92, 4_500)]
    sides = compared(a=a, b=b)
    assert [(find.trial.number, find.gain) for find in sides["a"].finds] == [(2, None), (1, pytest.approx(0.02))]
    assert [(find.trial.number, find.gain) for find in sides["b"].finds] == [
        (0, pytest.approx(0.41)),
        (1, pytest.approx(0.03)),
    ]


def test_equal_fronts_have_no_finds() -> None:
    a = [trial(0, "gram", 0.90, 1_000), trial(1, "gram", 0.95, 5_000)]
    sides = compared(a=a, b=list(reversed(a)), c=a)
    assert [list(side.finds) for side in sides.values()] == [[], [], []]
    assert len({side.hypervolume for side in sides.values()}) == 1


def test_finds_agree_with_what_dominance_says_of_random_studies() -> None:
    generator = np.random.default_rng(0)
    for _ in range(30):
        a, b = (
            [trial(n, "gram", float(generator.uniform()), int(generator.integers(10, 10_000))) for n in range(8)]
            for _ in range(2)
        )
        side = compared(a=a, b=b)["a"]
        alone = [
            each for each in front_of(a, OBJECTIVES) if not any(_as_good(other.values, each.values) for other in b)
        ]
        assert [find.trial for find in side.finds] == alone
        for find in side.finds:
            rivals = [
                other.values["accuracy"] for other in b if other.values["parameters"] <= find.trial.values["parameters"]
            ]
            wanted = None if not rivals else pytest.approx(find.trial.values["accuracy"] - max(rivals))
            assert find.gain == wanted
            together = hypervolume(front_of([*b, find.trial], OBJECTIVES), OBJECTIVES)
            assert find.volume == pytest.approx(together - hypervolume(front_of(b, OBJECTIVES), OBJECTIVES))
            assert find.volume > 0


def _as_good(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    return first["accuracy"] >= second["accuracy"] and first["parameters"] <= second["parameters"]


def test_one_objective_has_one_find_at_most(tmp_path: Path) -> None:
    a, b = [trial(0, "gram", 0.90, 1_000)], [trial(0, "gram", 0.93, 1_000)]
    objectives: dict[str, Direction] = {"accuracy": "maximize"}
    studies = {"a": (a, []), "b": (b, [])}
    sides = compare_studies(studies, objectives)
    assert [len(side.finds) for side in sides] == [0, 1]
    assert sides[1].finds[0].gain == pytest.approx(0.03)
    write_comparison(sides, objectives, [], tmp_path / "page.html")
    assert "accuracy 0.0300" in (tmp_path / "page.html").read_text()


def _study(home: Path, name: str, accuracies: Sequence[float], more: str = "") -> Study:
    """A study with a complete trial for each accuracy."""
    study = Study.create(home, parse_space(SMALL_SPACE.replace("study: small", f"study: {name}") + more, "small.yaml"))
    for accuracy in accuracies:
        study.complete(start_trial(study).number, [epoch(1, 0.4), epoch(2, accuracy)])
    return study


def test_two_studies_are_compared_on_a_page_and_in_a_terminal(kansearch: Command, tmp_path: Path) -> None:
    _study(tmp_path, "one", [0.80, 0.85])
    _study(tmp_path, "two", [0.70, 0.90])
    told = kansearch("report", "one", "two", "--home", tmp_path)
    assert told.code == 0, told
    page = (tmp_path / "one-two.html").read_text()
    assert "The fronts of one, two" in page
    assert "accuracy 0.0500" in page  # 0.90 against 0.85, of networks that are as large
    assert "<script" not in page
    short = kansearch("compare", "one", "two", "--home", tmp_path)
    assert short.out == told.out[: told.out.index("comparison of one, two written to")]
    assert f"`kansearch confirm two --home {tmp_path} --seeds 5 --picks 1` tells" in short.out
    one, two = json.loads(kansearch("compare", "one", "two", "--home", tmp_path, "--json").out)["studies"]
    assert (one["finds"], [find["number"] for find in two["finds"]]) == ([], [1])
    assert two["hypervolume"] - one["hypervolume"] == pytest.approx(two["finds"][0]["adds"])


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("data: {dataset: digits, limit: 100}\n", "are of other data: limit 200 and 100"),
        ("objectives: {accuracy: maximize}\n", "have other objectives"),
    ],
)
def test_studies_of_other_data_or_objectives_are_refused(
    second: str, message: str, kansearch: Command, tmp_path: Path
) -> None:
    _study(tmp_path, "one", [0.8])
    text = SMALL_SPACE.replace("study: small", "study: two")
    if second.startswith("data"):
        text = text.replace("data: {dataset: digits, limit: 200, validation: 0.25, batch_size: 32}\n", "")
        second = second.replace("}", ", validation: 0.25}")
    Study.create(tmp_path, parse_space(text + second, "small.yaml"))
    assert message in one_line(kansearch("compare", "one", "two", "--home", tmp_path), 2)
    assert message in one_line(kansearch("report", "one", "two", "--home", tmp_path), 2)


def test_an_empty_study_and_one_named_twice_are_refused(kansearch: Command, tmp_path: Path) -> None:
    _study(tmp_path, "one", [0.8])
    _study(tmp_path, "empty", [])
    told = one_line(kansearch("report", "one", "empty", "--home", tmp_path), 1)
    assert "study 'empty' has no complete trial yet" in told
    assert "named twice" in one_line(kansearch("report", "one", "one", "--home", tmp_path), 2)
