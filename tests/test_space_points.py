"""From a configuration back to the hyperparameters that draw it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kansearch.space import (
    Choice,
    FloatRange,
    GivenSuggest,
    IntRange,
    Mismatch,
    RandomSuggest,
    Scalar,
    SearchSpace,
    find_space,
    load_space,
    parse_space,
    point_of,
    random_config,
    shipped_spaces,
)
from kansearch.space.points import held
from tests.random_spaces import NoSuggest, random_spaces
from trials.config import TrialConfig

SHIPPED = [name for name, _, _ in shipped_spaces()]
HEAD = "study: s\ndata: {dataset: digits}\n"
SMALL = [
    "model: {depth: {int: [1, 3]}, basis: {choice: [none, {name: rbf, grid_size: {int: [4, 6], step: 2}}]}}",
    "model: {depth: {choice: [3, 2]}, basis: {choice: [{name: rbf, grid_size: 6}, {name: rbf, grid_size: 4}, gram]}}",
    "model: {depth: 2, basis: {choice: [none, rbf, {name: rbf, grid_size: {choice: [4, 8]}}]}}\nepochs: {int: [9, 10]}",
    "model: {choice: [{depth: 1}, {basis: none}, {depth: {int: [1, 2]}, basis: rbf}]}",
    "model: {depth: {int: [1, 3], step: 2}, basis: {name: rbf, grid_size: {int: [4, 6], log: true}}}",
    "optimizer: {choice: [adamw, {name: lbfgs, lr: {int: [1, 2]}}, {name: adamw, lr: {float: [0.1, 0.3], step: 0.1}}]}",
    "optimizer: {choice: [{name: lbfgs, lr: {choice: [0.5, 1, 2]}}, adamw]}\nmodel: {bottleneck: {choice: [null, 2]}}",
]


def small(index: int) -> SearchSpace:
    return parse_space(HEAD + SMALL[index], f"{index}.yaml")


def every_config(space: SearchSpace) -> set[TrialConfig]:
    """All that a small space can draw, by trying every combination of its hyperparameters' values."""
    known = space.hyperparameters()
    combinations = itertools.product(*(list(_values(each)) for each in known.values()))
    return {space.sample(GivenSuggest(dict(zip(known, each, strict=True)), NoSuggest())) for each in combinations}


def _values(distribution: Choice | IntRange | FloatRange) -> Iterator[Scalar]:
    if isinstance(distribution, Choice):
        yield from distribution.options
    elif isinstance(distribution, IntRange):
        yield from distribution.reachable()
    else:
        yield from (distribution.at(index) for index in range(distribution.count))


def document(config: TrialConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


def drawn_again(space: SearchSpace, values: Mapping[str, Any]) -> TrialConfig:
    point = point_of(space.tree, values)
    assert point.mismatches == ()
    return space.sample(GivenSuggest(point.hyperparameters, NoSuggest()))


@pytest.mark.parametrize("name", SHIPPED)
def test_whatever_a_shipped_space_draws_is_drawn_again_from_its_document(name: str) -> None:
    space = load_space(find_space(name))
    for seed in range(200):
        config = random_config(space, random.Random(seed))
        assert drawn_again(space, document(config)) == config


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_random_space_draws_is_drawn_again_from_its_document(seed: int) -> None:
    rng = random.Random(seed)
    drawn = 0
    for space in random_spaces(25, seed):
        for _ in range(8):
            config = random_config(space, rng)
            assert drawn_again(space, document(config)) == config
        drawn += len(space.hyperparameters())
    assert drawn > 100, "the random spaces vary hardly anything"


@pytest.mark.parametrize(("here", "there"), list(itertools.product(range(len(SMALL)), repeat=2)))
def test_a_space_holds_exactly_the_configurations_that_it_can_draw(here: int, there: int) -> None:
    space, reachable = small(here), every_config(small(here))
    for config in every_config(small(there)):
        if config in reachable:
            assert drawn_again(space, document(config)) == config
        else:
            assert point_of(space.tree, document(config)).mismatches


def test_the_small_spaces_overlap_in_part() -> None:
    drawn = [every_config(small(index)) for index in range(len(SMALL))]
    pairs = list(itertools.permutations(drawn, 2))
    assert sum(bool(first & second) for first, second in pairs) >= 6 and any(first - second for first, second in pairs)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_part_of_a_configuration_is_kept_by_whatever_completes_it(name: str) -> None:
    space = load_space(find_space(name))
    for seed in range(100):
        rng = random.Random(seed)
        part = _thinned(document(random_config(space, rng)), rng)
        point = point_of(space.tree, part)
        assert point.mismatches == () and set(point.hyperparameters) <= set(space.hyperparameters())
        completed = space.sample(GivenSuggest(point.hyperparameters, RandomSuggest(rng)))
        assert _contains(document(completed), part)


def _thinned(values: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    kept = {key: each for key, each in values.items() if key == "name" or rng.random() < 0.5}
    return {key: _thinned(each, rng) if isinstance(each, dict) else each for key, each in kept.items()}


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return all(_contains(whole[key], each) for key, each in part.items())
    return bool(whole == part)


def test_every_difference_is_named_with_its_path_and_reason() -> None:
    space = parse_space(
        HEAD + "model: {width: {int: [4, 64]}, basis: {choice: [{name: rbf, grid_size: 5}, none]}}\nepochs: 3\n", "f"
    )
    values = {"model": {"width": 99, "depth": 2, "basis": {"name": "gram"}, "wdth": 1}, "epochs": 4, "seed": 0}
    assert point_of(space.tree, values).mismatches == (
        Mismatch("model.width", "99 is outside int [4, 64]"),
        Mismatch("model.depth", "2 is not 3, which the space fixes"),
        Mismatch("model.basis", "'gram' is none of the branches rbf, none"),
        Mismatch("model.wdth", "unknown key 'wdth'; did you mean 'width'?"),
        Mismatch("epochs", "4 is not 3, which the space fixes"),
    )
    assert str(point_of(space.tree, {"epochs": 4}).mismatches[0]) == "epochs: 4 is not 3, which the space fixes"


def test_of_several_branches_of_a_name_the_nearest_says_why_not() -> None:
    body = "{choice: [{name: rbf, grid_size: 5}, {name: rbf, grid_size: 6, grid_range: {float: [1, 2]}}, none]}"
    space = parse_space(HEAD + f"model: {{basis: {body}}}\n", "f")
    rbf = {"name": "rbf", "grid_size": 6, "grid_range": 3.0}
    assert point_of(space.tree, {"model": {"basis": rbf}}).mismatches == (
        Mismatch("model.basis.grid_range", "3.0 is outside float [1.0, 2.0]"),
    )


def test_what_is_ignored_is_not_compared_where_fixed_and_taken_where_it_can_be_drawn() -> None:
    space = parse_space(
        "study: s\ndata: {dataset: digits, batch_size: {choice: [32, 64]}}\nmodel: {width: {int: [4, 9]}}\n"
        "optimizer: {choice: [adamw, {name: lion, lr: {float: [0.1, 0.2]}}]}\n",
        "f",
    )
    values = {
        "data": {"dataset": "mnist", "batch_size": 64},
        "model": {"width": 5},
        "optimizer": {"name": "lion", "lr": 0.5},
    }
    point = point_of(space.tree, values, frozenset({"data", "optimizer.lr"}))
    assert point.mismatches == ()
    assert point.hyperparameters == {"data.batch_size": 64, "model.width": 5, "optimizer": "lion"}
    values["data"] = {"batch_size": 128}
    point = point_of(space.tree, values, frozenset({"data", "optimizer"}))
    assert point.mismatches == () and point.hyperparameters == {"model.width": 5}
    paths = [each.path for each in point_of(space.tree, values, frozenset({"dat", "optimizer.l"})).mismatches]
    assert paths == ["data.batch_size", "optimizer.lr"]


@pytest.mark.parametrize(
    ("distribution", "value", "drawn"),
    [
        (IntRange(1, 3), 2.0, 2),
        (IntRange(0, 2**62), 2**62 - 1, 2**62 - 1),
        (FloatRange(1.0, 3.0), 2, 2.0),
        (FloatRange(0.1, 0.9, step=0.1), 0.1 + 0.2, 0.1 + 0.2),
        (Choice((0.5, 1.0)), 1, 1.0),
        (Choice((None, True, "a")), None, None),
    ],
)
def test_a_value_is_held_as_it_is_drawn(
    distribution: Choice | IntRange | FloatRange, value: object, drawn: Scalar
) -> None:
    found = held(distribution, value)
    assert found == drawn and type(found) is type(drawn)


@pytest.mark.parametrize(
    ("distribution", "value", "reason"),
    [
        (IntRange(1, 3), 1.6, r"1.6 is not drawn by int \[1, 3\]; the nearest value is 2"),
        (IntRange(1, 9, step=4), 8, r"8 is not drawn by int \[1, 9\] with step 4; the nearest value is 9"),
        (IntRange(0, 2**62, step=2), 2**62 - 1, "is not drawn by"),
        (IntRange(0, 1), True, r"true is not a number of int \[0, 1\]"),
        (FloatRange(1.0, 3.0), "2", "'2' is not a number"),
        (FloatRange(1.0, 3.0), 3.0000001, "is outside"),
        (FloatRange(1.0, 3.0), float("nan"), "is outside"),
        (FloatRange(0.0, 1.0, step=0.25), 0.3, r"the nearest value is 0.25"),
        (Choice((1, 2)), True, "true is none of the options 1, 2"),
        (Choice((True, False)), 1, "1 is none of the options true, false"),
    ],
)
def test_a_value_that_is_never_drawn_is_refused(
    distribution: Choice | IntRange | FloatRange, value: object, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        held(distribution, value)
