"""Checks a file's nodes against the grammar and builds the tree of a space; finds everything wrong in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kansearch.space.distributions import Branch, Tree
from kansearch.space.grammar import Leaf, ListOf, OneOf, Record, Shape
from kansearch.space.leaves import KINDS, LeafChecker
from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Node, ScalarNode
from kansearch.space.ranges import FAILED, Failed
from kansearch.space.wording import describe, expects, listed, show, suggest

__all__ = ["Checker", "labelled"]


class Checker(LeafChecker):
    """Turns nodes into a tree. What a file does not mention is left out, so that the model's default holds.

    With `lenient`, a mapping with something wrong in it is kept without that.
    """

    def __init__(self, issues: Issues, grammar: Record, lenient: bool = False) -> None:
        super().__init__(issues)
        self.grammar = grammar
        self.lenient = lenient

    def check(self, shape: Shape, node: Node, path: str) -> Tree | Failed:
        """The tree at `node`, or FAILED with everything wrong in it reported."""
        if isinstance(shape, Leaf):
            return self.leaf(shape, node, path)
        if isinstance(node, Broken):
            return FAILED
        if isinstance(shape, ListOf):
            items: Tree | Failed = self._list_of(shape, node, path)
            return items
        if isinstance(node, MapNode) and any(kind in node.entries for kind in KINDS):
            return self._branch(shape, node, path)
        if shape.nullable and isinstance(node, ScalarNode) and node.value is None:
            return None
        return self._one_of(shape, node, path) if isinstance(shape, OneOf) else self._record(shape, node, path)

    # mappings

    def _record(self, shape: Record, node: Node, path: str, key: str | None = None) -> dict[str, Tree] | Failed:
        """A mapping with the record's fields; `key` is one more, already looked at."""
        if not isinstance(node, MapNode):
            empty = isinstance(node, ScalarNode) and node.value is None
            way_out = "; remove the key, or give it entries" if empty else ""
            wanted = f"must be a mapping with keys such as {listed(list(shape.fields)[:3])}"
            return self._fail(node.mark, path, f"{wanted}, got {describe(node)}{way_out}")
        unknown = [name for name in node.entries if name not in shape.fields and name != key]
        for name in unknown:
            known = [*([key] if key else []), *shape.fields]
            self.unknown(node, [name], path, known, self._belongs(name, path, known))
        missing = [name for name in shape.required if name not in node.entries]
        for name in missing:
            self.issues.add(node.mark, _join(path, name), _missing(shape.fields[name]))
        present = {name: each for name, each in shape.fields.items() if name in node.entries}
        tree = {name: self.check(each, node.entries[name].node, _join(path, name)) for name, each in present.items()}
        good = {name: each for name, each in tree.items() if not isinstance(each, Failed)}
        wrong = unknown or missing or len(good) < len(tree)
        return FAILED if wrong and not self.lenient else good

    def _belongs(self, name: str, path: str, known: list[str]) -> str:
        """A hint for a key that is right, but in the wrong place; empty if it means nothing anywhere."""
        places = [place for key, place in _places(self.grammar, "") if key == name]
        if not places or "did you mean" in suggest(name, known):
            return ""
        return f"; it belongs to {places[0]}"

    def _one_of(self, shape: OneOf, node: Node, path: str) -> dict[str, Tree] | Failed:
        if isinstance(node, ScalarNode) and shape.usual and not isinstance(node.value, str):
            return self._record(shape.members[shape.usual], node, path)
        if isinstance(node, ScalarNode):  # text alone is short for {name: text}
            if node.value not in shape.members:
                return self._unknown_name(shape, node, path)
            node = MapNode(node.mark, {shape.key: Entry(node.mark, node)})
        if not isinstance(node, MapNode):
            listing = isinstance(node, ListNode) and not shape.fixed
            way_out = "; write {choice: [...]} for a choice between them" if listing else ""
            return self._fail(node.mark, path, f"must be a mapping with '{shape.key}', got {describe(node)}{way_out}")
        name = self._name(shape, node, path)
        if name is None:
            self._shared(shape, node, path)
            return FAILED
        tree = self._record(shape.members[name], node, path, shape.key)
        return tree if isinstance(tree, Failed) else {shape.key: name, **tree}

    def _name(self, shape: OneOf, node: MapNode, path: str) -> str | None:
        """The name of the member that a mapping chooses, or None, reported."""
        inner = _join(path, shape.key)
        if shape.key not in node.entries and shape.usual:
            return shape.usual
        if shape.key not in node.entries:
            self.issues.add(node.mark, inner, f"missing; one of: {listed(shape.members)}")
            return None
        name = node.entries[shape.key].node
        if isinstance(name, ScalarNode):
            if name.value in shape.members:
                return str(name.value)
            self._unknown_name(shape, name, inner)
        elif not isinstance(name, Broken):
            reason = f"{shape.fixed}; write" if shape.fixed else "must be"
            choices = f"{{choice: [{{{shape.key}: ...}}, {{{shape.key}: ...}}]}}"
            way_out = "" if shape.fixed else f"; to search over it write {path}: {choices}"
            self._fail(name.mark, inner, f"{reason} one plain name, got {describe(name)}{way_out}")
        return None

    def _shared(self, shape: OneOf, node: MapNode, path: str) -> None:
        """Report what is wrong with the fields that every member has alike."""
        first, *others = shape.members.values()
        for key, each in first.fields.items():
            if key in node.entries and all(other.fields.get(key) == each for other in others):
                self.check(each, node.entries[key].node, _join(path, key))

    def _unknown_name(self, shape: OneOf, node: ScalarNode, path: str) -> Failed:
        name = "none" if node.value is None else node.value  # what a null may stand for
        return self._fail(node.mark, path, f"unknown name {show(node.value)}" + suggest(name, shape.members))

    # a list of mappings

    def _list_of(self, shape: ListOf, node: Node, path: str) -> Any:
        """A mapping for each item, without what was reported here, so that the rest can still be looked at."""
        if not isinstance(node, ListNode):
            example = f"[{describe(node)}]" if isinstance(node, MapNode) else "[{model: {width: 8}}]"
            reason = f"must be a list of configurations, got {describe(node)}; write {example}"
            return self._fail(node.mark, path, reason)
        checker = Checker(self.issues, shape.item, lenient=True)
        items = [checker.check(shape.item, item, _join(path, str(index))) for index, item in enumerate(node.items)]
        return tuple({} if isinstance(item, Failed) else item for item in items)

    # a choice between mappings

    def _branch(self, shape: Record | OneOf, node: MapNode, path: str) -> Tree | Failed:
        kind = next(kind for kind in KINDS if kind in node.entries)
        if shape.fixed:
            return self._fail(node.mark, path, f"{shape.fixed}; write one plain mapping, got {describe(node)}")
        if kind != "choice":
            reason = f"{kind} draws numbers, but this is a mapping; use choice, or put {kind} on one of its values"
            return self._fail(node.entries[kind].mark, path, reason)
        wrong = [key for key in node.entries if key != "choice"]
        self.unknown(node, wrong, path, ["choice"])
        options = self.options(node.entries["choice"].node, path)
        trees = [
            (label, self._option_tree(shape, each, _join(path, label))) for label, each in labelled(shape, options)
        ]
        good = {label: each for label, each in trees if not isinstance(each, Failed)}
        if wrong or not trees or len(good) < len(trees):
            return FAILED
        seen = set()
        for option, (_, tree) in zip(options, trees, strict=True):
            if repr(tree) in seen:
                return self._fail(option.mark, path, f"the option {describe(option)} is listed twice; remove one")
            seen.add(repr(tree))
        return Branch(good)

    def _option_tree(self, shape: Record | OneOf, node: Node, path: str) -> Tree | Failed:
        if isinstance(node, MapNode) and "choice" in node.entries:
            return self._fail(node.mark, path, "a choice directly inside a choice; list its options in the outer one")
        return self.check(shape, node, path)


def labelled(shape: Record | OneOf, options: tuple[Node, ...]) -> Iterator[tuple[str, Node]]:
    """The options of a choice with their labels: a member's name (name#2 the second time), else the index."""
    seen: dict[str, int] = {}
    for index, node in enumerate(options):
        label = _label(shape, node, index)
        seen[label] = seen.get(label, 0) + 1
        yield (label if seen[label] == 1 else f"{label}#{seen[label]}"), node


def _label(shape: Record | OneOf, node: Node, index: int) -> str:
    if isinstance(shape, OneOf) and isinstance(node, MapNode):
        if shape.key not in node.entries:
            return shape.usual or str(index)
        node = node.entries[shape.key].node
    if not isinstance(node, ScalarNode):
        return str(index)
    if node.value is None and shape.nullable:
        return "null"
    return str(node.value) if isinstance(shape, OneOf) and node.value in shape.members else str(index)


def _missing(shape: Shape) -> str:
    if isinstance(shape, OneOf):
        return f"missing; one of: {listed(shape.members)}"
    if isinstance(shape, Record):
        return f"missing; a mapping with {listed(shape.required or shape.fields)}"
    if isinstance(shape, ListOf):
        return "missing; a list"
    return f"missing; {expects(shape)}" if shape.names else f"missing; must be {expects(shape)}"


def _places(shape: Shape, path: str) -> Iterator[tuple[str, str]]:
    """Every key of the grammar with the place it belongs to, in words."""
    if isinstance(shape, OneOf):
        for name, member in shape.members.items():
            where = "" if name == shape.usual else f" where its {shape.key} is '{name}'"
            for key, each in member.fields.items():
                yield key, f"'{path}'{where}"
                yield from _places(each, _join(path, key))
    elif isinstance(shape, Record):
        yield from ((key, f"'{path}'" if path else "the top level") for key in shape.fields)
        for key, each in shape.fields.items():
            yield from _places(each, _join(path, key))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
