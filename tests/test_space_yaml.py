"""What YAML means in a search-space file: numbers, booleans, text, anchors, and where each value stands."""

import math
from pathlib import Path
from typing import Any

import pytest

from kansearch.space import Choice, FloatRange, IntRange, SearchSpace, load_space, parse_space
from kansearch.space.nodes import Issues, MapNode, compose
from kansearch.space.scalars import read_scalar


def space(body: str) -> SearchSpace:
    return parse_space(f"study: s\ndata: {{dataset: digits}}\n{body}\n", "my.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("1e-8", 1e-8),
        ("-1.5e+3", -1500.0),
        (".5", 0.5),
        ("3.", 3.0),
        ("1_000.5", 1000.5),
        ("100_000", 100_000),
        ("+7", 7),
        ("-7", -7),
        ("0", 0),
        ("-0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
    ],
)
def test_plain_words_that_are_values(text: str, value: object) -> None:
    read = read_scalar(text)
    assert read == value and type(read) is type(value)


TEXT = ["yes", "no", "on", "off", "Yes", "TRUE", "y", "1:30", "1:30:00", "2026-11-21", "0x1F", "0o17", "1__0", "1e"]
TEXT += ["e5", "_1", "1_", ".", "inf", "nan", "none", "=", "١٢", "1e5x", "--1", "01.5"]


@pytest.mark.parametrize("text", TEXT)
def test_plain_words_that_stay_text(text: str) -> None:
    assert read_scalar(text) == text


@pytest.mark.parametrize("text", ["012", "00", "-07", "0_1", "017"])
def test_leading_zeros_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="leading zero"):
        read_scalar(text)


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63)), "9" * 5000])
def test_integers_past_64_bits_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="too large"):
        read_scalar(text)


def test_numbers_reach_the_space_as_the_field_stores_them() -> None:
    tree: Any = space(
        "regularization: {l1_weight: {float: [1e-8, 1], log: True}}\n"
        "optimizer: {name: adamw, lr: 1}\n"
        "model: {width: {int: [4, 1_000]}, dropout: {choice: [0, 0.5]}}"
    ).tree
    assert tree["regularization"] == {"l1_weight": FloatRange(1e-8, 1.0, log=True)}
    assert tree["optimizer"] == {"name": "adamw", "lr": 1.0}
    assert tree["model"] == {"family": "plain", "width": IntRange(4, 1000), "dropout": Choice((0.0, 0.5))}
    assert isinstance(tree["model"]["dropout"].options[0], float)


def test_an_int_range_on_a_number_field_draws_integers() -> None:
    assert space("optimizer: {name: lbfgs, lr: {int: [1, 3]}}").tree["optimizer"] == {
        "name": "lbfgs",
        "lr": IntRange(1, 3),
    }


def test_quoted_words_are_text() -> None:
    assert parse_space("study: '2026'\ndata: {dataset: \"digits\"}\n", "my.yaml").study == "2026"


def test_a_byte_order_mark_crlf_and_a_final_end_marker_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes(b"\xef\xbb\xbf---\r\nstudy: s\r\ndata: {dataset: digits}\r\n...\r\n")
    assert load_space(path).study == "s"


def test_anchors_aliases_and_merge_keys_are_expanded() -> None:
    body = """
model: {depth: &range {int: [2, 4]}, halvings: *range}
optimizer:
  choice:
    - &adam {name: adamw, lr: 0.1, weight_decay: 0.5}
    - {<<: *adam, lr: 0.2}
    - {<<: [{lr: 0.3}, *adam]}
"""
    tree: Any = space(body).tree
    assert tree["model"] == {"family": "plain", "depth": IntRange(2, 4), "halvings": IntRange(2, 4)}
    options = tree["optimizer"].options
    assert [option["lr"] for option in options.values()] == [0.1, 0.2, 0.3]
    assert list(options) == ["adamw", "adamw#2", "adamw#3"]
    assert all(option["weight_decay"] == 0.5 for option in options.values())


def test_marks_count_lines_and_columns_from_one() -> None:
    node = compose("a: 1\nb:\n  c: [2, x]\n", "f.yaml", issues := Issues())
    assert isinstance(node, MapNode) and not issues.found
    inner = node.entries["b"].node
    assert isinstance(inner, MapNode)
    assert (inner.entries["c"].mark.line, inner.entries["c"].mark.column) == (3, 3)
    assert (inner.entries["c"].node.mark.line, inner.entries["c"].node.mark.column) == (3, 6)
