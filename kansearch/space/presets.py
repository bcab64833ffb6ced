"""`preset: NAME` under `model` -> the nodes of the published network's whole configuration, before anything is checked.

What stands beside the name is put in its place: `{preset: kkan-small-gs10, basis: {grid_size: 5}}`. A preset may stand
in a space's `model`, in an option of its choice, in the `model` of an entry of `enqueue` and in a file that `retrain`
reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeGuard

from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Mark, Node, ScalarNode
from kansearch.space.wording import describe, show
from trials.presets import PRESETS

__all__ = ["PRESET_KEY", "at_each", "expand_presets", "family_of"]

PRESET_KEY = "preset"
_DISTRIBUTIONS = ("choice", "int", "float")


def expand_presets(root: MapNode, issues: Issues) -> MapNode:
    """The file's nodes with every preset written out; an unknown one goes to `issues`."""
    return at_each("model", root, lambda node, path: _expand(node, path, issues))


def at_each(part: str, root: MapNode, change: Callable[[MapNode, str], Node]) -> MapNode:
    """The same nodes with `change` made to every mapping at this part of a configuration, such as `model`; it is given
    its dotted path too."""
    for key in (part, "config", "enqueue"):
        entry = root.entries.get(key)
        if entry is not None:
            root = _with(root, key, _changed(part, key, entry.node, change))
    return root


def family_of(node: MapNode) -> str | None:
    """The family of the preset that a model names, if it does."""
    name = node.entries[PRESET_KEY].node if PRESET_KEY in node.entries else None
    preset = PRESETS.get(str(name.value)) if isinstance(name, ScalarNode) else None
    return None if preset is None else str(preset.config.family)


def _changed(part: str, key: str, node: Node, change: Callable[[MapNode, str], Node]) -> Node:
    if key == part:
        return _options(node, key, change)
    if isinstance(node, MapNode):
        return _within(part, key, node, change)
    if not isinstance(node, ListNode):
        return node
    items = (_within(part, f"{key}.{index}", each, change) for index, each in enumerate(node.items))
    return replace(node, items=tuple(items))


def _within(part: str, where: str, node: Node, change: Callable[[MapNode, str], Node]) -> Node:
    """A configuration that stands at `where`."""
    if not isinstance(node, MapNode):
        return node
    return at_each(part, node, lambda each, path: change(each, f"{where}.{path}"))


def _options(node: Node, path: str, change: Callable[[MapNode, str], Node]) -> Node:
    """A mapping, or a choice between mappings."""
    if not isinstance(node, MapNode):
        return node
    options = node.entries["choice"].node if "choice" in node.entries else None
    if not isinstance(options, ListNode):
        return change(node, path)
    return _with(node, "choice", replace(options, items=tuple(_options(each, path, change) for each in options.items)))


def _expand(node: MapNode, path: str, issues: Issues) -> Node:
    if PRESET_KEY not in node.entries:
        return node
    name = node.entries[PRESET_KEY].node
    where = f"{path}.{PRESET_KEY}"
    if not isinstance(name, ScalarNode):
        if not isinstance(name, Broken):
            way_out = "for a choice between presets write model: {choice: [{preset: ...}, {preset: ...}]}"
            issues.add(name.mark, where, f"must be the name of one preset, got {describe(name)}; {way_out}")
        return Broken(node.mark)
    preset = PRESETS.get(str(name.value))
    if preset is None:
        close = get_close_matches(str(name.value)[:100], PRESETS, n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ";"
        issues.add(name.mark, where, f"unknown preset {show(name.value)}{hint} `kansearch presets` lists them")
        return Broken(node.mark)
    own = {key: entry for key, entry in node.entries.items() if key != PRESET_KEY}
    family = own.get("family")
    if family and isinstance(family.node, ScalarNode) and family.node.value != preset.config.family:
        reason = f"preset {preset.name} is of family {preset.config.family}, not {show(family.node.value)}; remove it"
        issues.add(family.mark, f"{path}.family", reason)
        return Broken(node.mark)
    return _merged(_nodes(preset.document(), name.mark), MapNode(node.mark, own))


def _merged(base: MapNode, over: MapNode) -> MapNode:
    """`over` in place of what `base` has; a mapping without a name of its own is put into the one that is there."""
    entries = dict(base.entries)
    for key, entry in over.entries.items():
        old = base.entries[key].node if key in base.entries else None
        node = _merged(old, entry.node) if isinstance(old, MapNode) and _adds(entry.node) else entry.node
        entries[key] = replace(entry, node=node)
    return replace(over, entries=entries)


def _adds(node: Node) -> TypeGuard[MapNode]:
    return isinstance(node, MapNode) and not any(key in node.entries for key in ("name", *_DISTRIBUTIONS))


def _nodes(value: dict[str, Any], mark: Mark) -> MapNode:
    """A preset's values; they all stand where its name does."""
    entries = {
        key: Entry(mark, _nodes(each, mark) if isinstance(each, dict) else ScalarNode(mark, each))
        for key, each in value.items()
    }
    return MapNode(mark, entries)


def _with(node: MapNode, key: str, value: Node) -> MapNode:
    return replace(node, entries={**node.entries, key: replace(node.entries[key], node=value)})
