"""`--set KEY=VALUE`: replaces one node of a file before it is checked."""

from __future__ import annotations

from dataclasses import replace

from kansearch.space.check import labelled
from kansearch.space.grammar import OneOf, Record, Shape
from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Mark, Node, ScalarNode, compose
from kansearch.space.wording import describe, listed

__all__ = ["apply_override"]


def apply_override(root: MapNode, override: str, grammar: Record, issues: Issues) -> MapNode:
    """The file's nodes with the value at a dotted key replaced; a missing mapping on the way is created.

    The key goes through a choice by a branch's label, as a hyperparameter's name does: `model.basis.rbf.grid_size=4`.
    """
    key, separator, value = override.partition("=")
    key = key.strip()
    mark = Mark(f"--set {key[:100]}")
    if not separator or not key or not all(key.split(".")):
        issues.add(mark, "", "must be KEY=VALUE with a dotted key, such as model.depth=4")
        return root
    node = compose(value, mark.file, issues, key) or ScalarNode(mark, None)
    replaced = _Replacer(mark, key, node, issues).at(grammar, root, key.split("."))
    assert isinstance(replaced, MapNode)
    return replaced


class _Replacer:
    def __init__(self, mark: Mark, key: str, value: Node, issues: Issues) -> None:
        self.mark, self.key, self.value, self.issues = mark, key, value, issues

    def at(self, shape: Shape | None, node: Node, rest: list[str]) -> Node:
        """`node` with the value put in at `rest`, the part of the key that is left to go."""
        if not rest:
            return self.value
        if isinstance(node, Broken):
            return node
        if isinstance(node, MapNode) and "choice" in node.entries:
            return self._into_choice(shape, node, rest)
        if isinstance(shape, OneOf) and isinstance(node, ScalarNode) and node.value in shape.members:
            node = MapNode(node.mark, {shape.key: Entry(node.mark, node)})  # text alone is short for {name: text}
        if not isinstance(node, MapNode):
            return self._refuse(node, rest, f"is {describe(node)}, not a mapping, so nothing can be set in it")
        inner = _inner(shape, node, rest[0])
        old = node.entries.get(rest[0], Entry(self.mark, MapNode(self.mark, {})))
        return replace(node, entries={**node.entries, rest[0]: Entry(self.mark, self.at(inner, old.node, rest[1:]))})

    def _into_choice(self, shape: Shape | None, node: MapNode, rest: list[str]) -> Node:
        if rest[0] in ("choice", "int", "float", "log", "step"):
            return replace(node, entries={**node.entries, rest[0]: Entry(self.mark, self.at(None, node, rest[1:]))})
        options = node.entries["choice"].node
        if not isinstance(options, ListNode) or not isinstance(shape, (Record, OneOf)):
            return self._refuse(node, rest, "is a choice between plain values, so nothing can be set in it")
        branches = list(labelled(shape, options.items))
        if rest[0] not in [label for label, _ in branches]:
            labels = listed(label for label, _ in branches)
            return self._refuse(node, rest, f"is a choice; name the branch to set it in, one of: {labels}")
        items = tuple(self.at(shape, each, rest[1:]) if label == rest[0] else each for label, each in branches)
        entry = replace(node.entries["choice"], node=replace(options, items=items))
        return replace(node, entries={**node.entries, "choice": entry})

    def _refuse(self, node: Node, rest: list[str], reason: str) -> Node:
        parts = self.key.split(".")
        where = ".".join(parts[: len(parts) - len(rest)])
        self.issues.add(self.mark, self.key, f"{where} {reason}")
        return node


def _inner(shape: Shape | None, node: MapNode, key: str) -> Shape | None:
    """The shape of what a mapping holds under `key`, if it is known."""
    if isinstance(shape, OneOf):
        named = node.entries[shape.key].node if shape.key in node.entries else None
        name = named.value if isinstance(named, ScalarNode) else shape.usual
        shape = shape.members.get(str(name))
    return shape.fields.get(key) if isinstance(shape, Record) else None
