"""`model.pretrained: PATH`, `start.weights: PATH` -> PATH@sha256:HASH, so that a configuration says which weights it
means, wherever it is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Node, ScalarNode
from kansearch.space.presets import at_each

__all__ = ["pin_weights", "plain"]

KEYS = {"model": "pretrained", "start": "weights"}
"""Where a configuration names a file of weights: a key of each of these parts."""
PINNED, SUFFIX = "@sha256:", ".safetensors"


def pin_weights(root: MapNode, issues: Issues) -> tuple[MapNode, tuple[str, ...]]:
    """The nodes with each file of weights hashed, and the overrides by which the same bytes are meant ever after.

    A relative path is taken from the file that names it, in a `--set` from the current folder. What is wrong goes to
    `issues`. A path with a hash is left as it is: whoever loads the weights compares it.
    """
    overrides: list[str] = []
    for part, key in KEYS.items():
        pinned = at_each(part, root, partial(_pinned, key, issues))
        if part in root.entries and pinned.entries[part] != root.entries[part]:
            overrides.append(_override(part, key, pinned.entries[part].node))
        root = pinned
    return root, tuple(overrides)


def _override(part: str, key: str, node: Node) -> str:
    """`model.pretrained=PATH@sha256:HASH`; or all of the part, where it is a choice."""
    if isinstance(node, MapNode) and key in node.entries:
        return f"{part}.{key}={json.dumps(plain(node.entries[key].node))}"
    return f"{part}={json.dumps(plain(node))}"


def _pinned(key: str, issues: Issues, node: MapNode, path: str) -> MapNode:
    if key not in node.entries:
        return node
    entry = node.entries[key]
    hashed = _hashed(entry.node, f"{path}.{key}", issues)
    return replace(node, entries={**node.entries, key: Entry(entry.mark, hashed)})


def _hashed(node: Node, path: str, issues: Issues) -> Node:
    """A path, or a choice between several."""
    if isinstance(node, MapNode) and "choice" in node.entries:
        entry = node.entries["choice"]
        return replace(node, entries={**node.entries, "choice": replace(entry, node=_hashed(entry.node, path, issues))})
    if isinstance(node, ListNode):
        return replace(node, items=tuple(_hashed(item, path, issues) for item in node.items))
    if not isinstance(node, ScalarNode) or not isinstance(node.value, str) or PINNED in node.value:
        return node
    start = Path() if node.mark.file.startswith("--set") else Path(node.mark.file).parent
    file = (start / node.value).resolve()
    try:
        if file.suffix != SUFFIX:
            raise ValueError(f"must be a {SUFFIX} file, such as the model.safetensors that `kansearch retrain` writes")
        with file.open("rb") as opened:
            return replace(node, value=f"{file}{PINNED}{hashlib.file_digest(opened, 'sha256').hexdigest()}")
    except (OSError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        issues.add(node.mark, path, f"{node.value}: {reason}")
    return Broken(node.mark)


def plain(node: Node) -> Any:
    """The values at a node, as YAML would load them."""
    if isinstance(node, MapNode):
        return {key: plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return node.value if isinstance(node, ScalarNode) else None
