"""`--set KEY=VALUE`: replaces a value before the checks, by the same rules as the file."""

from typing import Any

import pytest

from kansearch.errors import SpaceError
from kansearch.space import Choice, FloatRange, IntRange, SearchSpace, parse_space

TEXT = """\
study: s
data: {dataset: digits}
model:
  depth: {int: [2, 4]}
  basis:
    choice:
      - none
      - {name: rbf, grid_size: {int: [4, 8]}}
      - {name: rbf, grid_size: 9}
optimizer: lion
epochs: 3
"""


def space(*overrides: str) -> SearchSpace:
    return parse_space(TEXT, "my.yaml", overrides)


def model(*overrides: str) -> Any:
    return space(*overrides).tree["model"]


def refusal(*overrides: str) -> str:
    with pytest.raises(SpaceError) as caught:
        space(*overrides)
    return str(caught.value)


def test_a_plain_value_replaces_a_range() -> None:
    assert model("model.depth=5")["depth"] == 5


def test_a_range_replaces_a_plain_value() -> None:
    assert space("epochs={int: [3, 9]}").tree["epochs"] == IntRange(3, 9)


def test_missing_mappings_are_created() -> None:
    made = space("search.trials=5", "regularization.l1_weight={float: [1e-8, 1e-4], log: true}")
    assert made.search.trials == 5
    assert made.tree["regularization"] == {"l1_weight": FloatRange(1e-8, 1e-4, log=True)}


def test_a_short_name_is_filled_out() -> None:
    assert space("optimizer.lr=1e-3").tree["optimizer"] == {"name": "lion", "lr": 1e-3}


def test_a_whole_section_and_parts_of_a_distribution_can_be_set() -> None:
    assert space("optimizer={name: adamw, lr: 0.1}").tree["optimizer"] == {"name": "adamw", "lr": 0.1}
    assert space("model.depth.int=[1, 9]").hyperparameters()["model.depth"] == IntRange(1, 9)
    assert space("model.basis.choice=[gram, bspline]").hyperparameters()["model.basis"] == Choice(("gram", "bspline"))


def test_a_branch_is_reached_by_its_label() -> None:
    names = space("model.basis.rbf.grid_size=5", "model.basis.rbf#2.grid_size={int: [6, 7]}").hyperparameters()
    assert "model.basis.rbf.grid_size" not in names and names["model.basis.rbf#2.grid_size"] == IntRange(6, 7)


def test_the_last_of_two_overrides_holds_and_values_may_hold_equals_signs() -> None:
    assert space("epochs=4", "epochs=5").tree["epochs"] == 5
    assert "got 'a=b'" in refusal("study=a=b")


def test_an_empty_value_is_null() -> None:
    assert model("model.bottleneck=")["bottleneck"] is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.depth=0", "--set model.depth:1:1: model.depth: must be >= 1, got 0"),
        ("model.depth={int: [4, 2]}", "--set model.depth:1:7: model.depth: low <= high must hold, got low=4, high=2"),
        ("model.dept=4", "--set model.dept:1:1: model.dept: unknown key 'dept'; did you mean 'depth'?"),
        ("modle.depth=4", "--set modle.depth:1:1: modle: unknown key 'modle'; did you mean 'model'?"),
        ("model.depth=012", "--set model.depth:1:1: model.depth: a leading zero is ambiguous"),
        ("model.depth", "--set model.depth:1:1: must be KEY=VALUE with a dotted key, such as model.depth=4"),
        ("=4", "--set :1:1: must be KEY=VALUE"),
        ("model..depth=4", "--set model..depth:1:1: must be KEY=VALUE"),
        (
            "epochs.deep=4",
            "--set epochs.deep:1:1: epochs.deep: epochs is 3, not a mapping, so nothing can be set in it",
        ),
        ("optimizer.name.x=4", "optimizer.name is 'lion', not a mapping"),
        ("model.basis.grid_size=4", "model.basis is a choice; name the branch to set it in, one of: none, rbf, rbf#2"),
        ("model.basis.bspline.grid_size=4", "name the branch to set it in, one of: none, rbf, rbf#2"),
        ("model={depth: [", "--set model:1:10: model: not valid YAML"),
        ("data.dataset={choice: [digits, mnist]}", "--set data.dataset:1:1: data.dataset: one study is one data set"),
        ("search.scheduler=halvin", "--set search.scheduler:1:1: search.scheduler: unknown value 'halvin'"),
    ],
)
def test_a_wrong_override_is_named_in_its_error(override: str, message: str) -> None:
    assert message in refusal(override)


def test_the_errors_of_a_file_and_its_overrides_come_together() -> None:
    lines = refusal("epochs=0", "seed=x").splitlines()
    assert len(lines) == 2 and lines[0].startswith("--set epochs:1:1:") and lines[1].startswith("--set seed:1:1:")
