"""Whether studies are of one space, and what the space of all their trials is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kansearch.errors import InputError
from kansearch.space import SearchSpace, find_space, load_space, parse_space, shipped_spaces
from kansearch.space.agreement import check_agreement, differing_settings, joined_space, loosest
from tests.helpers import SMALL_SPACE
from tests.random_spaces import random_spaces


def space(*overrides: str) -> SearchSpace:
    return parse_space(SMALL_SPACE, "small.yaml", overrides)


def disagreement(*overrides: str) -> str:
    spaces = {"a": space(), "b": space(*overrides)}
    with pytest.raises(InputError) as error:
        check_agreement(spaces)
    return str(error.value)


SEARCHED = (
    ["study=other"],
    ["search={sampler: tpe, scheduler: asha, trials: 9, time_budget: 1h, seed: 3, cpus_per_trial: 2}"],
    ["enqueue=[{model: {width: 3}}]", "constraints={parameters: 500}"],
    ["objectives={parameters: minimize, accuracy: maximize}"],
    ["data.split_seed=0", "model.normalization=batch", "optimizer.weight_decay=0.01", "precision=auto"],
)


@pytest.mark.parametrize("overrides", SEARCHED)
def test_what_says_how_it_was_searched_may_differ_and_defaults_may_be_written(overrides: list[str]) -> None:
    check_agreement({"a": space(), "b": space(*overrides), "c": space()})


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("epochs=3", "epochs is 2 in 'a' and 3 in 'b'"),
        ("seed=1", "seed is 0 in 'a' and 1 in 'b'"),
        ("data.limit=300", "data.limit is 200 in 'a' and 300 in 'b'"),
        ("data.split_seed=1", "data.split_seed is 0 in 'a' and 1 in 'b'"),
        ("model.normalization=none", "model.normalization is 'batch' in 'a' and 'none' in 'b'"),
        ("model.width.int=[2, 7]", "model.width is int [2, 6] in 'a' and int [2, 7] in 'b'"),
        ("model.width={int: [2, 6], step: 2}", "model.width is int [2, 6] in 'a' and int [2, 6] step 2 in 'b'"),
        ("optimizer.lr.log=false", "optimizer.lr is float [0.001, 0.01] log in 'a' and float [0.001, 0.01] in 'b'"),
        ("model.width=4", "model.width is int [2, 6] in 'a' and 4 in 'b'"),
        ("model.basis.rbf.grid_size=4", "model.basis.rbf.grid_size is int [3, 5] in 'a' and 4 in 'b'"),
        ("objectives={accuracy: maximize}", "objectives.parameters is 'minimize' in 'a' and not there in 'b'"),
        ("model.bias={choice: [true, false]}", "model.bias is true in 'a' and choice [true, false] in 'b'"),
    ],
)
def test_the_key_that_differs_is_named_with_both_values(override: str, shown: str) -> None:
    assert disagreement(override) == f"studies 'a' and 'b' are not of one space: {shown}"


def test_of_many_keys_the_first_three_are_named() -> None:
    found = disagreement("epochs=3", "data.limit=90", "model.basis={choice: [rbf, none]}", "model.width=4", "seed=2")
    assert found == (
        "studies 'a' and 'b' are not of one space: data.limit is 200 in 'a' and 90 in 'b'; model.width is int [2, 6] "
        "in 'a' and 4 in 'b'; "
        "model.basis is choice ['none', 'rbf'] in 'a' and choice ['rbf', 'none'] in 'b'; and 3 more"
    )


def test_weights_are_the_same_wherever_their_file_lies(tmp_path: Path) -> None:
    for name, content in (("here", "weights"), ("there", "weights"), ("other", "others")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_text(content)
    here, there, other = (
        space(f"start.weights={tmp_path}/{name}/model.safetensors") for name in ("here", "there", "other")
    )
    check_agreement({"a": here, "b": there})
    with pytest.raises(InputError, match=r"start\.weights is "):
        check_agreement({"a": here, "b": other})


def test_each_shipped_space_and_each_random_one_agrees_with_itself_alone() -> None:
    spaces = {name: load_space(find_space(name)) for name, *_ in shipped_spaces()}
    spaces |= {f"random {index}": each for index, each in enumerate(random_spaces(10, 0))}
    for name, each in spaces.items():
        check_agreement({"a": each, "b": parse_space(each.source, each.file, [*each.overrides, "search.trials=1"])})
        for other, second in spaces.items():
            if other != name:
                with pytest.raises(InputError, match="are not of one space"):
                    check_agreement({name: each, other: second})


def test_the_joined_space_is_the_first_one_with_the_loosest_constraints_and_its_search_is_at_its_end() -> None:
    bounds = ("search.time_budget=1h", "search.patience=3", "search.device_budget=9h", "search.epochs_budget=9")
    first = space(
        "constraints={parameters: 500, flops: 1e6}", *bounds, "enqueue=[{model: {width: 3}}]", "model.depth=2"
    )
    second = space("constraints={parameters: 700}", "search.sampler=tpe", "search.trials=90", "model.depth=2")
    third = space("constraints={parameters: 600, flops: 1e5}", "search.seed=9", "model.depth=2")
    joined = joined_space([first, second, third], "2024", 33)
    check_agreement({"a": first, "b": joined})
    assert joined.study == "2024" and joined.constraints == {"parameters": 700} and joined.enqueued == ()
    ended = {"trials": 33, "time_budget": None, "patience": None, "device_budget": None, "epochs_budget": None}
    assert joined.search == first.search.model_copy(update=ended)
    assert differing_settings([first, second, third]) == ["sampler", "seed"]
    again = parse_space(joined.source, joined.file, joined.overrides)
    assert (again.tree, again.search, again.constraints) == (joined.tree, joined.search, joined.constraints)


def test_a_constraint_that_one_study_lacks_holds_no_more() -> None:
    tight, loose, none = space("constraints={parameters: 5}"), space("constraints={parameters: 6}"), space()
    assert loosest([tight, loose]) == loosest([loose, tight]) == {"parameters": 6}
    assert loosest([tight, loose, none]) == loosest([none, tight]) == {}
    assert joined_space([tight, none], "n", 1).constraints == {}


def test_a_grid_holds_no_more_trials_than_it_has() -> None:
    grid = space("model.basis=none", "optimizer.lr={choice: [0.1, 0.2]}", "search={sampler: grid, trials: 10}")
    assert joined_space([grid, grid], "n", 20).search.trials == 10
    assert joined_space([grid, grid], "n", 7).search.trials == 7
