"""How errors are put into words: show the value, name the field, give the way out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import NoneType

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kansearch.space.grammar import Leaf
from kansearch.space.nodes import Broken, ListNode, Node, ScalarNode

__all__ = ["describe", "expects", "listed", "show", "suggest", "why_refused"]

_KINDS = {int: "an integer", float: "a number", bool: "true or false", str: "text", tuple: "a list", NoneType: "null"}
_NOT_BOOLEANS = ("yes", "on", "true", "no", "off", "false")
_BOUNDS = {
    "greater_than_equal": ("ge", ">="),
    "greater_than": ("gt", ">"),
    "less_than_equal": ("le", "<="),
    "less_than": ("lt", "<"),
}


def show(value: object) -> str:
    """A value as one would write it in YAML, cut at 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(show(each) for each in value)}]"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:60]}...'"
    return repr(value)


def describe(node: Node) -> str:
    """Show what stands at a node, as one would write it on one line, cut at 60 characters."""
    if isinstance(node, ScalarNode):
        return show(node.value)
    text = ""
    for part in _flow(node):
        text += part
        if len(text) > 60:
            return f"{text[:60]}..."
    return text


def _flow(node: Node) -> Iterator[str]:
    """The pieces of a node in YAML's flow style, made only as far as they are asked for."""
    if isinstance(node, ScalarNode):
        bare = isinstance(node.value, str) and node.value.isidentifier()
        yield str(node.value) if bare else show(node.value)
    elif isinstance(node, Broken):
        yield "?"
    elif isinstance(node, ListNode):
        for index, item in enumerate(node.items):
            yield ", " if index else "["
            yield from _flow(item)
        yield "]" if node.items else "[]"
    else:
        for index, (key, entry) in enumerate(node.entries.items()):
            yield f"{', ' if index else '{'}{key}: "
            yield from _flow(entry.node)
        yield "}" if node.entries else "{}"


def listed(names: Iterable[object]) -> str:
    """The first dozen names, separated by commas."""
    words = [show(name) if not isinstance(name, str) else name for name in names]
    return ", ".join(words[:12]) + (f", ... ({len(words)} in all)" if len(words) > 12 else "")


def suggest(word: object, names: Iterable[str]) -> str:
    """`; did you mean 'bspline'?`, or what else there is."""
    names = list(names)
    word = str(word)[:100]
    folded = {name.lower(): name for name in names}
    close = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    if not close and len(word) >= 3:
        close = [name for name in folded if name.startswith(word.lower()) or word.lower().startswith(name)][:1]
    return f"; did you mean '{folded[close[0]]}'?" if close else f"; expected one of: {listed(names)}"


def expects(leaf: Leaf) -> str:
    """Describe in words what a leaf takes."""
    if leaf.names:
        return f"one of: {listed([*leaf.names, *([None] if leaf.nullable else [])])}"
    kinds = [kind for kind in leaf.kinds if not (kind is int and float in leaf.kinds)]
    words = sorted((_KINDS.get(kind, f"a {kind.__name__}") for kind in kinds), key=lambda word: word == "null")
    words += [show(word) for word in leaf.also]
    return " or ".join(words).replace("true or false or", "true, false or")


def why_refused(leaf: Leaf, value: object, error: ValidationError, quoted: bool = False) -> str:
    """The reason a field gave for refusing a value."""
    if leaf.names:
        return f"unknown value {show(value)}" + suggest(value, (str(name) for name in leaf.names))
    details = [each for each in error.errors(include_url=False) if not (leaf.also and each["type"] == "literal_error")]
    reasons = dict.fromkeys(_reason(leaf, detail) for detail in details)
    reason = f"{' or '.join(reasons)}, got {show(value)}"
    if quoted and leaf.kinds & {int, float, bool} and str not in leaf.kinds:
        return f"{reason}; remove the quotes if that is what they hold"
    if str in leaf.kinds and isinstance(value, (int, float)):
        return f"{reason}; put it in quotes if it is text"
    if bool in leaf.kinds and str(value).lower() in _NOT_BOOLEANS:
        return f"{reason}, which is text; write {'true' if str(value).lower() in _NOT_BOOLEANS[:3] else 'false'}"
    return reason + ("; remove the key to keep the default" if value is None and leaf.default is not ... else "")


def _reason(leaf: Leaf, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _BOUNDS:
        key, sign = _BOUNDS[kind]
        bound = context[key]
        return f"must be {sign} {bound:g}" if isinstance(bound, float) else f"must be {sign} {bound}"
    if kind == "value_error":
        return str(context["error"])
    if kind == "finite_number":
        return "must be finite"
    if kind.endswith(("_type", "_parsing", "_from_float")):
        return f"must be {expects(leaf)}"
    return detail["msg"].removeprefix("Input ").removeprefix("should ")
