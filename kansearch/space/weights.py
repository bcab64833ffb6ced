"""`pretrained: PATH` -> PATH@sha256:HASH, so that a configuration says which weights it means, wherever it is read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from kansearch.space.nodes import Broken, Entry, Issues, ListNode, MapNode, Node, ScalarNode
from kansearch.space.presets import at_each_model

__all__ = ["pin_weights"]

KEY, PINNED, SUFFIX = "pretrained", "@sha256:", ".safetensors"


def pin_weights(root: MapNode, issues: Issues) -> tuple[MapNode, tuple[str, ...]]:
    """The nodes with each file of weights hashed, and the overrides by which the same bytes are meant ever after.

    A relative path is taken from the file that names it, in a `--set` from the current folder. What is wrong goes to
    `issues`. A path with a hash is left as it is: whoever loads the weights compares it.
    """
    pinned = at_each_model(root, lambda model, path: _pinned(model, f"{path}.{KEY}", issues))
    if "model" not in root.entries or pinned.entries["model"] == root.entries["model"]:
        return pinned, ()
    model = pinned.entries["model"].node
    if isinstance(model, MapNode) and KEY in model.entries:
        return pinned, (f"model.{KEY}={json.dumps(_plain(model.entries[KEY].node))}",)
    return pinned, (f"model={json.dumps(_plain(model))}",)


def _pinned(model: MapNode, path: str, issues: Issues) -> MapNode:
    if KEY not in model.entries:
        return model
    entry = model.entries[KEY]
    return replace(model, entries={**model.entries, KEY: Entry(entry.mark, _hashed(entry.node, path, issues))})


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


def _plain(node: Node) -> Any:
    if isinstance(node, MapNode):
        return {key: _plain(entry.node) for key, entry in node.entries.items()}
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    return node.value if isinstance(node, ScalarNode) else None
