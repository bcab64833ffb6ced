"""`enqueue`: configurations to try first, each one that the space could have drawn."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from pydantic import model_validator

from kansearch.errors import SpaceError
from kansearch.space import (
    GivenSuggest,
    RandomSuggest,
    find_space,
    load_space,
    parse_space,
    random_config,
    shipped_spaces,
)
from tests.random_spaces import NoSuggest, random_spaces
from trials.config import TrialConfig

TEXT = """\
study: s
data: {dataset: digits, batch_size: {choice: [32, 64]}}
model:
  width: {int: [4, 64], log: true}
  bottleneck: {choice: [null, 2]}
  basis:
    choice:
      - none
      - {name: bspline, grid_size: {int: [3, 9]}, spline_order: 2}
      - {name: bspline, grid_size: {int: [10, 20]}, spline_order: {choice: [2, 3]}}
optimizer: {choice: [{name: adamw, lr: {float: [1e-4, 1e-2], log: true}}, lion]}
"""


def enqueued(entries: str, *overrides: str) -> list[dict[str, Any]]:
    return [dict(each) for each in parse_space(f"{TEXT}enqueue:{entries}\n", "my.yaml", overrides).enqueued]


def reasons(text: str, *overrides: str) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        parse_space(text, "my.yaml", overrides)
    return str(caught.value).splitlines()


def test_entries_are_hyperparameters_by_name_in_the_order_of_the_file() -> None:
    entries = """
  - {model: {basis: {name: bspline, grid_size: 5}, width: 16}, optimizer: {name: adamw, lr: 1e-3}}
  - {model: {basis: none, width: 8, bottleneck: null}, epochs: 10}
  - data: {dataset: digits, batch_size: 64}"""
    assert enqueued(entries) == [
        {
            "model.basis": "bspline",
            "model.basis.bspline.grid_size": 5,
            "model.width": 16,
            "optimizer": "adamw",
            "optimizer.adamw.lr": 1e-3,
        },
        {"model.basis": "none", "model.width": 8, "model.bottleneck": None},
        {"data.batch_size": 64},
    ]


def test_a_space_without_the_key_and_an_empty_list_enqueue_nothing() -> None:
    assert parse_space(TEXT, "my.yaml").enqueued == () and enqueued(" []") == []


@pytest.mark.parametrize(
    ("basis", "label"),
    [
        ("{name: bspline}", "bspline"),
        ("{name: bspline, grid_size: 9}", "bspline"),
        ("{name: bspline, grid_size: 10}", "bspline#2"),
        ("{name: bspline, spline_order: 2}", "bspline"),
        ("{name: bspline, spline_order: 3}", "bspline#2"),
        ("none", "none"),
        ("{name: none}", "none"),
    ],
)
def test_the_first_branch_that_holds_the_values_is_taken(basis: str, label: str) -> None:
    assert enqueued(f" [{{model: {{basis: {basis}}}}}]")[0]["model.basis"] == label


def test_an_empty_mapping_says_nothing_of_a_branch() -> None:
    text = TEXT + "regularization: {choice: [{}, {l1_weight: {float: [0, 1]}}, {label_smoothing: 0.1}]}\n"
    entries = "[{model: {width: 8}, regularization: {}}, {regularization: {label_smoothing: 0.1}}]"
    space = parse_space(f"{text}enqueue: {entries}\n", "f")
    assert [dict(each) for each in space.enqueued] == [{"model.width": 8}, {"regularization": "2"}]


def test_set_replaces_the_list_and_shares_the_checks_of_the_file() -> None:
    assert enqueued(" [{model: {width: 4}}]", "enqueue=[{model: {width: 8}}, {model: {width: 9}}]") == [
        {"model.width": 8},
        {"model.width": 9},
    ]
    assert reasons(TEXT, "enqueue=[{model: {width: 99, basis: gram}}]") == [
        "--set enqueue:1:18: enqueue.0.model.width: 99 is outside int [4, 64]; leave it out, or widen the space",
        "--set enqueue:1:29: enqueue.0.model.basis: 'gram' is none of the branches none, bspline, bspline#2; "
        "leave it out, or widen the space",
    ]


def test_what_is_enqueued_follows_an_override_of_the_space() -> None:
    assert enqueued(" [{model: {width: 4}}]", "model.width.int=[2, 5]") == [{"model.width": 4}]
    assert reasons(f"{TEXT}enqueue: [{{model: {{width: 4}}}}]\n", "model.width.int=[5, 9]") == [
        "my.yaml:12:27: enqueue.0.model.width: 4 is outside int [5, 9]; leave it out, or widen the space"
    ]


def test_a_space_is_rebuilt_with_what_it_enqueues() -> None:
    space = parse_space(f"{TEXT}enqueue: [{{model: {{width: 4}}}}]\n", "my.yaml", ["enqueue=[{model: {width: 5}}]"])
    assert parse_space(space.source, space.file, space.overrides) == space and len(space.enqueued) == 1
    assert space != parse_space(space.source, space.file)


def test_anchors_and_merge_keys_may_be_used_in_entries() -> None:
    entries = "\n  - &first {model: &model {width: 8, basis: none}}\n  - {<<: *first, model: {<<: *model, width: 9}}"
    assert [each["model.width"] for each in enqueued(entries)] == [8, 9]
    assert reasons(f"{TEXT}enqueue:\n  - &a {{model: {{width: 8}}}}\n  - *a\n") == [
        "my.yaml:13:5: enqueue.1: the same configuration as enqueue.0; remove one of the two"
    ]


def test_mistakes_in_entries_and_in_the_space_are_told_at_once() -> None:
    text = TEXT.replace("[4, 64]", "[64, 4]") + "enqueue: [{model: {widht: 8}}, {modle: 1}]\nepoch: 5\n"
    places = [reason.split(": ")[:2] for reason in reasons(text)]
    assert places == [
        ["my.yaml:4:16", "model.width"],
        ["my.yaml:12:20", "enqueue.0.model.widht"],
        ["my.yaml:12:33", "enqueue.1.modle"],
        ["my.yaml:13:1", "epoch"],
    ]


def test_an_entry_with_a_mistake_is_not_called_empty_or_doubled_as_well() -> None:
    assert (
        len(reasons(f"{TEXT}enqueue: [{{model: {{width: 8}}}}, {{model: {{width: 8, widht: 9}}}}, {{epoch: 1}}]\n"))
        == 2
    )
    assert len(reasons(f"{TEXT}enqueue: [{{model: {{width: 012}}}}]\n")) == 1


def test_an_entry_whose_values_do_not_go_together_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Checked(TrialConfig):
        @model_validator(mode="after")
        def _not_this_one(self) -> Checked:
            if self.seed == 12345:
                raise ValueError("not this one")
            return self

    monkeypatch.setattr("kansearch.space.loader.TrialConfig", Checked)
    text = f"{TEXT}seed: {{int: [0, 1_000_000]}}\nenqueue: [{{seed: SEED}}]\n"
    parse_space(text.replace("SEED", "12344"), "my.yaml")
    assert "do not go together: not this one" in reasons(text.replace("SEED", "12345"))[0]


@pytest.mark.parametrize("name", [name for name, _, _ in shipped_spaces()])
def test_any_drawn_configuration_can_be_enqueued_in_full(name: str) -> None:
    source = find_space(name).read_text(encoding="utf-8")
    drawn = [random_config(load_space(find_space(name)), random.Random(seed)) for seed in range(20)]
    configs = [each for at, each in enumerate(drawn) if each not in drawn[:at]]
    space = parse_space(f"{source}\nenqueue: {json.dumps([each.model_dump() for each in configs])}\n", "f")
    assert [space.sample(GivenSuggest(point, NoSuggest())) for point in space.enqueued] == configs


@pytest.mark.parametrize("seed", range(3))
def test_what_a_random_space_draws_can_be_enqueued_in_it(seed: int) -> None:
    rng = random.Random(seed)
    for space in random_spaces(20, seed):
        config = random_config(space, rng)
        if space.hyperparameters():
            (point,) = parse_space(space.source, "f", [f"enqueue=[{config.model_dump_json()}]"]).enqueued
            assert space.sample(GivenSuggest(point, RandomSuggest(rng))) == config
