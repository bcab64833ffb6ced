"""Checks `int` and `float` ranges: the ends, `log`, `step`, and that the field takes every value they can draw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import ValidationError

from kansearch.space.distributions import FloatRange, IntRange
from kansearch.space.grammar import Leaf
from kansearch.space.nodes import Broken, Issues, ListNode, MapNode, Mark, Node, ScalarNode
from kansearch.space.wording import describe, expects, show, why_refused

__all__ = ["FAILED", "Failed", "RangeChecker"]

_ENUMERATED = 2000  # values of a range that are tried against the field; of a longer one the first and last half


class Failed:
    """Stands in the place of a subtree in which something is wrong."""


FAILED = Failed()


class RangeChecker:
    """Turns the node of a range into a distribution, or into FAILED with the reason in `issues`."""

    def __init__(self, issues: Issues) -> None:
        self.issues = issues

    def _fail(self, mark: Mark, path: str, reason: str) -> Failed:
        self.issues.add(mark, path, reason)
        return FAILED

    def range(self, leaf: Leaf, node: MapNode, kind: str, path: str) -> IntRange | FloatRange | Failed:
        if float not in leaf.kinds and not (kind == "int" and int in leaf.kinds):
            instead = "use int" if int in leaf.kinds else "use choice"
            article = "an int" if kind == "int" else "a float"
            reason = f"{article} range cannot be drawn here, the value must be {expects(leaf)}; {instead}"
            return self._fail(node.entries[kind].mark, path, reason)
        ends = self._ends(node.entries[kind].node, kind, path)
        log = self._log(node, path)
        step = self._step(node, kind, path)
        if ends is None or log is None or step is FAILED:
            return FAILED
        low: Any = ends[0].value
        high: Any = ends[1].value
        if reason := _relation(low, high, log, step):
            where = node.entries["step" if reason.startswith("step") else kind].node
            return self._fail(where.mark, path, reason)
        if kind == "int":
            drawn: IntRange | FloatRange = IntRange(low, high, log, step or 1)
        else:
            drawn = FloatRange(float(low), float(high), log, step if step is None else float(step))
        return drawn if self._within(leaf, drawn, ends, path) else FAILED

    def _ends(self, node: Node, kind: str, path: str) -> tuple[ScalarNode, ScalarNode] | None:
        if isinstance(node, Broken):
            return None
        items = node.items if isinstance(node, ListNode) else ()
        if len(items) != 2 or any(isinstance(item, (ListNode, MapNode)) for item in items):
            hint = "; use {choice: [...]} to list values" if len(items) > 2 else ""
            self.issues.add(node.mark, path, f"{kind} takes two numbers [low, high], got {describe(node)}{hint}")
            return None
        wanted = "an integer" if kind == "int" else "a finite number"
        good = [item for item in items if isinstance(item, ScalarNode) and _is_number(item.value, kind)]
        for name, item in zip(("low", "high"), items, strict=True):
            if isinstance(item, ScalarNode) and item not in good:
                self.issues.add(item.mark, path, f"{name} must be {wanted}, got {show(item.value)}")
        return (good[0], good[1]) if len(good) == 2 else None

    def _log(self, node: MapNode, path: str) -> bool | None:
        if "log" not in node.entries:
            return False
        value = node.entries["log"].node
        if isinstance(value, ScalarNode) and isinstance(value.value, bool):
            return value.value
        if not isinstance(value, Broken):
            self.issues.add(value.mark, f"{path}.log", f"must be true or false, got {describe(value)}")
        return None

    def _step(self, node: MapNode, kind: str, path: str) -> Any:
        if "step" not in node.entries:
            return None
        value = node.entries["step"].node
        step: Any = value.value if isinstance(value, ScalarNode) else None
        if _is_number(step, kind) and step > 0:
            return step
        if not isinstance(value, Broken):
            wanted = "an integer" if kind == "int" else "a number"
            self.issues.add(value.mark, f"{path}.step", f"must be {wanted} > 0, got {describe(value)}")
        return FAILED

    def _within(self, leaf: Leaf, drawn: IntRange | FloatRange, ends: tuple[ScalarNode, ScalarNode], path: str) -> bool:
        """Whether the field takes both ends as written, and every value in between that can be drawn."""
        for name, end, reached in zip(("low", "high"), ends, (drawn.low, drawn.high), strict=True):
            if reason := _refusal(leaf, end.value, only_bounds=end.value != reached):
                self.issues.add(end.mark, path, f"{name} {reason}")
                return False
        for value in _inner(drawn):
            if reason := _refusal(leaf, value):
                self.issues.add(ends[0].mark, path, f"{reason}, which this range can draw; use step, or choice")
                return False
        return True


def _relation(low: Any, high: Any, log: bool, step: Any) -> str:
    """Say what is wrong between the parts of a range; empty if nothing is."""
    if low > high:
        return f"low <= high must hold, got low={show(low)}, high={show(high)}"
    if log and low <= 0:
        return f"low > 0 must hold with log, got low={show(low)}"
    if log and step is not None:
        return f"step cannot be used with log, got step={show(step)}; remove one of the two"
    if step is not None and (high - low) / step > 1e9:
        return f"step is too small for [{show(low)}, {show(high)}], got step={show(step)}"
    return ""


def _is_number(value: object, kind: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) if kind == "int" else abs(value) < float("inf")


def _refusal(leaf: Leaf, value: Any, only_bounds: bool = False) -> str:
    """Why the field refuses a value; with `only_bounds`, only if that is for its range."""
    try:
        leaf.adapter.validate_python(value)
    except ValidationError as error:
        by_rule = all(detail["type"] in ("value_error", "assertion_error") for detail in error.errors())
        return "" if only_bounds and by_rule else why_refused(leaf, value, error)
    return ""


def _inner(drawn: IntRange | FloatRange) -> Iterable[int | float]:
    """Values to try: all of a short range, the first and last of a long one."""
    if isinstance(drawn, IntRange):
        values, half = drawn.reachable(), _ENUMERATED // 2
        return values if len(values) <= 2 * half else [*values[:half], *values[-half:]]
    if drawn.step is None:
        return ()
    half = min(drawn.count, _ENUMERATED) // 2
    return [drawn.at(index) for index in (*range(half), *range(drawn.count - half, drawn.count))]
