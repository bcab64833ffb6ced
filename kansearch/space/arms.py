"""Split a search space into two arms, KANs and plain networks, each a space that is searched by itself.

    arm_overrides(space, "plain")   ['model.basis={"choice": [{"name": "none"}]}']

Settings of the file are all that an arm is: its study reads them again, and `kansearch resume` goes on with it. Other
controls, such as networks with a learned activation, are in neither arm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from pydantic import TypeAdapter

from kansearch.errors import InputError
from kansearch.space.distributions import Branch, Choice, FloatRange, IntRange, Tree
from kansearch.space.search_space import SearchSpace
from trials.config.basis import kind_of
from trials.config.model import ModelConfig

__all__ = ["arm_overrides", "controls"]

ArmName = Literal["KAN", "plain"]
Model = Mapping[str, Tree]

_DECIDING = ("basis", "classifier", "classifier_basis", "output_basis", "convolution")
"""The keys of a model that decide its kind."""
_NAMES = {"KAN": "KAN", "plain": "plain network"}


@dataclass(frozen=True)
class _Kinds:
    """The values that the deciding keys of a model may have, and the kind of each combination of them."""

    options: Mapping[str, Sequence[Tree]]
    kinds: Mapping[tuple[int, ...], str]

    def of(self, arm: ArmName) -> Mapping[str, Sequence[Tree]] | None:
        """For each key the options that an arm has; None where it has none.

        Raises ValueError where some combinations of these options are not of the arm.
        """
        wanted = [places for places, kind in self.kinds.items() if kind == arm]
        if not wanted:
            return None
        kept = [sorted(set(column)) for column in zip(*wanted, strict=True)]
        if len(wanted) < len(list(product(*kept))):
            raise ValueError(" and ".join(key for key, options in self.options.items() if len(options) > 1))
        return {key: [self.options[key][place] for place in kept[at]] for at, key in enumerate(self.options)}


def arm_overrides(space: SearchSpace, arm: ArmName) -> list[str]:
    """Settings that leave the networks of one arm in a space.

    Raises:
        InputError: the space has no network of the arm, or no choice between options tells its networks apart.
    """
    try:
        model = _model(space)
        found = _restricted(model, arm)
    except ValueError as error:
        raise InputError(
            f"{space.file}: model: {error} together decide what is a KAN, so the space can't be split into arms; "
            "search each arm in a file of its own, and name both studies to `kansearch verdict`"
        ) from None
    if found is None:
        lacking = "`none`, the control," if arm == "plain" else "a KAN's, such as `rbf`,"
        raise InputError(f"{space.file}: model: there is no {_NAMES[arm]}: add {lacking} to the choice of its basis")
    if isinstance(model, Branch):
        return [f"model={_written(found)}"]
    assert isinstance(found, Mapping) and isinstance(model, Mapping)
    return [f"model.{key}={_written(found[key])}" for key in _DECIDING if found.get(key) != model.get(key)]


def controls(space: SearchSpace) -> list[str]:
    """Names of the bases in a space whose networks are in neither arm."""
    model = _model(space)
    branches = list(model.options.values()) if isinstance(model, Branch) else [model]
    return list(dict.fromkeys(name for each in branches if isinstance(each, Mapping) for name in _controls(each)))


def _controls(model: Model) -> Iterator[str]:
    kinds = _kinds(model)
    for places, kind in kinds.kinds.items():
        if kind == "control":
            basis = kinds.options["basis"][places[0]]
            assert isinstance(basis, Mapping)
            yield str(basis["name"])


def _model(space: SearchSpace) -> Tree:
    return space.tree.get("model", {})


def _restricted(model: Tree, arm: ArmName) -> Tree | None:
    """The part of a model that an arm has; None: nothing. Raises ValueError as `_Kinds.of`."""
    if isinstance(model, Branch):
        kept = {label: part for label, each in model.options.items() if (part := _restricted(each, arm)) is not None}
        return Branch(kept) if kept else None
    assert isinstance(model, Mapping)
    options = _kinds(model).of(arm)
    if options is None:
        return None
    narrowed = {key: _one_of(model[key], each) for key, each in options.items() if key in model}
    return {**model, **narrowed}


def _kinds(model: Model) -> _Kinds:
    usual = TypeAdapter(ModelConfig).validate_python({"family": model.get("family", "plain")}).model_dump(mode="json")
    options = {key: _options(model[key]) if key in model else [usual[key]] for key in _DECIDING if key in usual}
    return _Kinds(
        options,
        {
            places: kind_of({key: options[key][place] for key, place in zip(options, places, strict=True)})
            for places in product(*(range(len(each)) for each in options.values()))
        },
    )


def _options(tree: Tree) -> Sequence[Any]:
    if isinstance(tree, Branch):
        return list(tree.options.values())
    return tree.options if isinstance(tree, Choice) else [tree]


def _one_of(tree: Tree, kept: Sequence[Tree]) -> Tree:
    """A choice with the kept options alone."""
    if isinstance(tree, Branch):
        return Branch({label: each for label, each in tree.options.items() if each in kept})
    return Choice(tuple(each for each in tree.options if each in kept)) if isinstance(tree, Choice) else tree


def _written(tree: Tree) -> str:
    """A tree as a search-space file has it, on one line."""
    return json.dumps(_plain(tree))


def _plain(tree: Tree) -> Any:
    if isinstance(tree, Mapping):
        return {key: _plain(each) for key, each in tree.items()}
    if isinstance(tree, Branch):
        return {"choice": [_plain(each) for each in tree.options.values()]}
    if isinstance(tree, Choice):
        return {"choice": list(tree.options)}
    if isinstance(tree, (IntRange, FloatRange)):
        kind = "int" if isinstance(tree, IntRange) else "float"
        log = {"log": True} if tree.log else {}
        usual = 1 if isinstance(tree, IntRange) else None
        return {kind: [tree.low, tree.high], **log, **({} if tree.step == usual else {"step": tree.step})}
    return tree
