"""Search spaces made at random from the grammar itself: any field may be left out, fixed, or drawn in any way."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from kansearch.errors import SpaceError
from kansearch.space import Scalar, SearchSpace, parse_space
from kansearch.space.grammar import Leaf, OneOf, Record, Shape, trial_grammar
from kansearch.space.leaves import LeafChecker
from kansearch.space.nodes import Broken, Issues, Mark, compose

NUMBERS = (0, 1, 2, 3, 5, 8, 13, 24, 0.0, 1e-5, 0.125, 0.3, 0.5, 0.9, 1.0, 2.5)


class NoSuggest:
    """Fails on being asked for anything."""

    def categorical(self, name: str, options: Sequence[Scalar]) -> Scalar:
        raise AssertionError(f"{name} was left out")

    def integer(self, name: str, low: int, high: int, log: bool, step: int) -> int:
        raise AssertionError(f"{name} was left out")

    def float_(self, name: str, low: float, high: float, log: bool, step: float | None) -> float:
        raise AssertionError(f"{name} was left out")


def random_spaces(count: int, seed: int = 0) -> Iterator[SearchSpace]:
    """`count` spaces. What the loader refuses, such as too many values, is made again."""
    rng = random.Random(seed)
    made = 0
    for _ in range(20 * count):
        document = {"study": "s", **_record(trial_grammar(), rng), "search": {"sampler": "random"}}
        document["data"]["dataset"] = "digits"
        try:
            yield parse_space(json.dumps(document), "random.yaml")
        except SpaceError:
            continue
        made += 1
        if made == count:
            return
    raise AssertionError(f"only {made} of {count} spaces are valid")


def _record(record: Record, rng: random.Random) -> dict[str, Any]:
    taken = [name for name in record.fields if name in record.required or rng.random() < 0.5]
    return {name: _node(record.fields[name], rng) for name in taken}


def _node(shape: Shape, rng: random.Random) -> Any:
    if isinstance(shape, Leaf):
        return _leaf(shape, rng)
    assert isinstance(shape, (Record, OneOf))
    if shape.fixed or rng.random() < 0.6:
        return _mapping(shape, rng)
    options = [_mapping(shape, rng) for _ in range(rng.randint(1, 4))]
    return {"choice": list({json.dumps(each): each for each in options}.values())}


def _mapping(shape: Record | OneOf, rng: random.Random) -> dict[str, Any]:
    if isinstance(shape, Record):
        return _record(shape, rng)
    name = rng.choice(list(shape.members)[:5])  # few enough for one to be taken twice
    return {shape.key: name, **_record(shape.members[name], rng)}


def _leaf(leaf: Leaf, rng: random.Random) -> Any:
    values = [each for each in (*leaf.names, None, True, False, *NUMBERS) if _takes(leaf, each)]
    numbers = sorted(each for each in values if isinstance(each, (int, float)) and not isinstance(each, bool))
    if leaf.fixed or rng.random() < 0.4:
        return rng.choice(values)
    if not numbers or rng.random() < 0.4:
        return {"choice": rng.sample(values, rng.randint(1, len(values)))}
    drawn = _range(leaf, numbers, rng)
    LeafChecker(issues := Issues()).leaf(leaf, compose(json.dumps(drawn), "leaf", issues) or Broken(Mark("")), "leaf")
    return rng.choice(values) if issues.found else drawn


def _range(leaf: Leaf, numbers: list[Any], rng: random.Random) -> dict[str, Any]:
    integers = [each for each in numbers if isinstance(each, int)]
    whole = float not in leaf.kinds or (len(integers) > 0 and rng.random() < 0.2)
    low, high = sorted(rng.choices(integers if whole else numbers, k=2))
    if low > 0 and rng.random() < 0.4:
        return {"int" if whole else "float": [low, high], "log": True}
    if rng.random() < 0.5:
        return {"int" if whole else "float": [low, high], "step": 2 if whole else rng.choice([0.1, 0.3, 1])}
    return {"int" if whole else "float": [low, high]}


def _takes(leaf: Leaf, value: object) -> bool:
    try:
        leaf.adapter.validate_python(value)
    except ValidationError:
        return False
    return True
