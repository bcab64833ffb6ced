"""YAML text -> nodes that know where they stand, with every trap of YAML closed.

Composed, never constructed: no tag is obeyed, so a file cannot run code. Aliases and merge keys are expanded here,
under a limit; duplicate keys, tags, several documents and deep nesting are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

import yaml

from kansearch.errors import SpaceIssue
from kansearch.space.distributions import Scalar
from kansearch.space.scalars import read_scalar

__all__ = ["Broken", "Entry", "Issues", "ListNode", "MapNode", "Mark", "Node", "ScalarNode", "compose", "place"]

MAX_DEPTH = 40
MAX_NODES = 10_000
_TOO_MANY = f"more than {MAX_NODES} values"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Mark:
    """A place in a file (or in the value of a `--set`). Lines and columns count from 1."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True)
class ScalarNode:
    """A plain value; `quoted` if it was written in quotes."""

    mark: Mark
    value: Scalar
    quoted: bool = False


@dataclass(frozen=True)
class ListNode:
    """A sequence."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Entry:
    """A key's place and its value."""

    mark: Mark
    node: Node


@dataclass(frozen=True)
class MapNode:
    """A mapping, merge keys applied, in file order."""

    mark: Mark
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Broken:
    """A value that was reported already; checks pass over it."""

    mark: Mark


Node: TypeAlias = ScalarNode | ListNode | MapNode | Broken


@dataclass
class Issues:
    """Everything found wrong so far."""

    _found: dict[SpaceIssue, None] = field(default_factory=dict)

    @property
    def found(self) -> tuple[SpaceIssue, ...]:
        """The issues that were found, in the order of finding."""
        return tuple(self._found)

    def add(self, mark: Mark, path: str, reason: str) -> None:
        """Note one more thing wrong, once. Characters that a terminal would obey are shown as escapes."""
        self._found[SpaceIssue(mark.file, mark.line, mark.column, _printable(path), _printable(reason))] = None


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def compose(text: str, file: str, issues: Issues, path: str = "") -> Node | None:
    """The nodes of `text`, or None if it is empty or cannot be read; what is wrong goes to `issues`.

    `path` is where the text stands in the space: a whole file's is empty.
    """
    try:
        root = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        if error.problem == "found unexpected end of stream":
            place = error.context_mark  # where the quote was opened, not where the file ends
        issues.add(_mark(file, place) if place else Mark(file), path, _syntax_reason(error))
        return Broken(Mark(file))
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        mark = Mark(file, before.count("\n") + 1, error.position - before.rfind("\n"))
        issues.add(mark, path, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML")
        return Broken(mark)
    return None if root is None else _Expander(file, issues).node(root, path)


def place(root: Node, location: Sequence[int | str]) -> tuple[Mark, str]:
    """The deepest place in a file on the way to `location`, a key or index a step, and its dotted path."""
    node = root
    path: list[str] = []
    for key in map(str, location):
        if isinstance(node, MapNode) and key in node.entries:
            node = node.entries[key].node
        elif isinstance(node, ListNode) and key.isdecimal() and int(key) < len(node.items):
            node = node.items[int(key)]
        else:
            continue
        path.append(key)
    return node.mark, ".".join(path)


class _Composer(yaml.SafeLoader):
    """Composes nodes tagged by how they were written: plain, quoted, map, seq, or an explicit tag."""

    depth = 0
    count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        self.count += 1
        if self.depth > MAX_DEPTH or self.count > MAX_NODES:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            problem = f"nested more than {MAX_DEPTH} deep" if self.depth > MAX_DEPTH else _TOO_MANY
            raise yaml.MarkedYAMLError(problem=f"{problem}; write a smaller file", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: tuple[bool, bool] | bool) -> str:
        if kind is yaml.ScalarNode:
            return "plain" if isinstance(implicit, tuple) and implicit[0] else "quoted"
        return "map" if kind is yaml.MappingNode else "seq"


_HINTS = {
    "'\\t'": "; indent with spaces, not tabs",
    "mapping values are not allowed": "; a ': ' inside a value needs quotes, and keys of one mapping the same indent",
    "expected <block end>": "; keys of one mapping need the same indent",
    "expected ',' or": "; the bracket of {} is not closed, or a comma is missing",
    "unexpected end of stream": "; the quote opened here is not closed",
    "found undefined alias": "; an anchor '&name' must come before its '*name'",
}


def _syntax_reason(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read as YAML"
    if problem == "but found another document":
        return "several documents in one file; a file is one search space, remove the '---' and what follows"
    hint = next((hint for words, hint in _HINTS.items() if words in problem), "")
    if error.context_mark and "{}" in hint:
        hint = hint.format(f"{error.context_mark.line + 1}:{error.context_mark.column + 1}")
    return problem if problem.startswith(("nested", _TOO_MANY)) else f"not valid YAML: {problem}{hint}"


def _mark(file: str, mark: yaml.Mark) -> Mark:
    return Mark(file, mark.line + 1, mark.column + 1)


class _Expander:
    """Turns PyYAML's graph of nodes into a tree of ours."""

    def __init__(self, file: str, issues: Issues) -> None:
        self.file = file
        self.issues = issues
        self.open: list[yaml.Node] = []  # from the root to here: an alias to one of them is recursive
        self.count = 0

    def node(self, node: yaml.Node, path: str) -> Node:
        mark = _mark(self.file, node.start_mark)
        self.count += 1
        if (reason := self._refusal(node)) is not None:
            if reason:
                self.issues.add(mark, path, reason)
            return Broken(mark)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, mark, path)
        self.open.append(node)
        expanded = self._list(node, mark, path) if node.tag == "seq" else self._map(node, mark, path)
        self.open.pop()
        return expanded

    def _refusal(self, node: yaml.Node) -> str | None:
        """Why the node is not looked at; empty if that was said before, None if it is fine."""
        if node.tag not in ("plain", "quoted", "map", "seq"):
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            return f"tags are not allowed, got {tag[:60]}; write a plain value (in quotes if it is text)"
        if any(node is outer for outer in self.open):
            return "an alias to a value that contains it; write the value out"
        if self.count == MAX_NODES:
            return f"{_TOO_MANY} once aliases are expanded; write a smaller file"
        return "" if self.count > MAX_NODES else None

    def _scalar(self, node: yaml.ScalarNode, mark: Mark, path: str) -> Node:
        if node.tag == "quoted":
            return ScalarNode(mark, node.value, quoted=True)
        try:
            return ScalarNode(mark, read_scalar(node.value))
        except ValueError as error:
            self.issues.add(mark, path, str(error))
            return Broken(mark)

    def _list(self, node: yaml.Node, mark: Mark, path: str) -> Node:
        return ListNode(mark, tuple(self.node(item, path) for item in self._within_limit(node.value)))

    def _map(self, node: yaml.Node, mark: Mark, path: str) -> Node:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in self._within_limit(node.value):
            key_mark = _mark(self.file, key.start_mark)
            if not isinstance(key, yaml.ScalarNode):
                self.issues.add(key_mark, path, "a key must be a single word")
            elif key.value in own or (key.value == "<<" and merged):
                first = own[key.value].mark if key.value in own else next(iter(merged.values())).mark
                place = f"first at {first.line}:{first.column}"
                self.issues.add(key_mark, _join(path, key.value), f"duplicate key, {place}; keep one of the two")
            elif key.tag == "plain" and key.value == "<<":
                merged.update(self._merge(value, path))
            else:
                own[key.value] = Entry(key_mark, self.node(value, _join(path, key.value)))
        return MapNode(mark, own | {key: entry for key, entry in merged.items() if key not in own})

    def _merge(self, value: yaml.Node, path: str) -> dict[str, Entry]:
        """The entries behind a merge key; of several mappings the first that has a key decides."""
        node = self.node(value, path)
        merged: dict[str, Entry] = {}
        for source in node.items if isinstance(node, ListNode) else (node,):
            if isinstance(source, MapNode):
                merged = source.entries | merged
            elif not isinstance(source, Broken):
                self.issues.add(source.mark, path, "a merge key '<<' takes a mapping or a list of mappings")
        return merged

    def _within_limit(self, values: list[_T]) -> Iterator[_T]:
        for value in values:
            if self.count > MAX_NODES:
                return
            yield value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
