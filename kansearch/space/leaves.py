"""Checks the leaves of a space: a plain value, or a `choice`, `int` or `float` distribution of one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from kansearch.space.distributions import Choice, Tree
from kansearch.space.grammar import Leaf
from kansearch.space.nodes import Broken, ListNode, MapNode, Node, ScalarNode
from kansearch.space.ranges import FAILED, Failed, RangeChecker
from kansearch.space.wording import describe, expects, show, suggest, why_refused

__all__ = ["KINDS", "LeafChecker"]

KINDS = ("choice", "int", "float")


class LeafChecker(RangeChecker):
    """Turns the node at a leaf into a plain value or a distribution, or into FAILED with the reason in `issues`."""

    def leaf(self, leaf: Leaf, node: Node, path: str) -> Tree | Failed:
        """The value or distribution at `node`."""
        if isinstance(node, Broken):
            return FAILED
        if isinstance(node, ScalarNode):
            value: Tree | Failed = self.plain(leaf, node, path)
            return value
        if isinstance(node, ListNode):
            return self._list(leaf, node, path)
        if leaf.fixed:
            return self._fail(node.mark, path, f"{leaf.fixed}; write one plain value, got {describe(node)}")
        return self._distribution(leaf, node, path)

    def plain(self, leaf: Leaf, node: ScalarNode, path: str, prefix: str = "") -> Any:
        """A plain value as the field stores it, or FAILED. `prefix` opens the reason."""
        try:
            return leaf.adapter.validate_python(node.value)
        except ValidationError as error:
            return self._fail(node.mark, path, prefix + why_refused(leaf, node.value, error, node.quoted))

    def _list(self, leaf: Leaf, node: ListNode, path: str) -> Tree | Failed:
        if not leaf.kinds & {tuple, list}:
            way_out = (
                ""
                if leaf.fixed
                else "; write {choice: [...]} for a choice between values"
                + (" or {int: [low, high]} for a range" if leaf.kinds & {int, float} else "")
            )
            return self._fail(node.mark, path, f"must be {expects(leaf)}, got {describe(node)}{way_out}")
        values = tuple(item.value for item in node.items if isinstance(item, ScalarNode))
        if len(values) < len(node.items):
            return self._fail(node.mark, path, "a list here holds plain values only")
        try:
            return tuple(leaf.adapter.validate_python(values if tuple in leaf.kinds else list(values)))
        except ValidationError as error:
            return self._fail(node.mark, path, why_refused(leaf, list(values), error))

    def _distribution(self, leaf: Leaf, node: MapNode, path: str) -> Tree | Failed:
        kinds = [kind for kind in KINDS if kind in node.entries]
        if not kinds:
            if wrong := [key for key in node.entries if key not in (*KINDS, "log", "step")]:
                self.unknown(node, wrong, path, KINDS)
                return FAILED
            reason = f"must be a plain value, or one of choice, int, float; got {describe(node)}"
            return self._fail(node.mark, path, reason)
        if len(kinds) > 1:
            reason = f"takes one of choice, int, float, got {' and '.join(kinds)}; remove one"
            return self._fail(node.entries[kinds[1]].mark, path, reason)
        known = ("choice",) if kinds[0] == "choice" else (kinds[0], "log", "step")
        wrong = [key for key in node.entries if key not in known]
        self.unknown(node, wrong, path, known)
        value = node.entries[kinds[0]].node
        checked = self._choice(leaf, value, path) if kinds[0] == "choice" else self.range(leaf, node, kinds[0], path)
        return FAILED if wrong else checked

    def unknown(self, node: MapNode, keys: Iterable[str], path: str, known: Iterable[str], hint: str = "") -> None:
        """Report keys that mean nothing here."""
        known = list(known)
        for key in keys:
            if known == ["choice"]:
                ranges_only = f"{key} belongs to an int or float range; " if key in ("log", "step") else ""
                reason = f"{ranges_only}a choice takes nothing beside it"
            else:
                reason = f"unknown key '{key[:60]}'" + (hint or suggest(key, known))
            self.issues.add(node.entries[key].mark, f"{path}.{key[:60]}" if path else key[:60], reason)

    # a choice

    def options(self, node: Node, path: str) -> tuple[Node, ...]:
        """The options of a `choice`; empty, and reported, if there are none."""
        if isinstance(node, ListNode) and node.items:
            return node.items
        if not isinstance(node, Broken):
            self.issues.add(node.mark, path, f"choice takes a list of options such as [a, b], got {describe(node)}")
        return ()

    def _choice(self, leaf: Leaf, node: Node, path: str) -> Tree | Failed:
        values: list[Any] = [self._option(leaf, each, path) for each in self.options(node, path)]
        if not values or FAILED in values:
            return FAILED
        seen = set()
        for option, value in zip(self.options(node, path), values, strict=True):
            if (type(value), value) in seen:
                return self._fail(option.mark, path, f"the option {show(value)} is listed twice; remove one")
            seen.add((type(value), value))
        return Choice(tuple(values))

    def _option(self, leaf: Leaf, node: Node, path: str) -> Any:
        if isinstance(node, ScalarNode):
            return self.plain(leaf, node, path)
        if isinstance(node, Broken):
            return FAILED
        return self._fail(node.mark, path, f"the options here are plain values, got {describe(node)}")
