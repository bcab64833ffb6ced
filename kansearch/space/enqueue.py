"""The configurations that a file wants tried first: each must be one that the space could have drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kansearch.space.distributions import Scalar, Tree
from kansearch.space.nodes import Issues, MapNode, place
from kansearch.space.points import point_of

__all__ = ["enqueued_points"]


def enqueued_points(
    entries: Sequence[Mapping[str, Any]], tree: Mapping[str, Tree], root: MapNode, issues: Issues
) -> tuple[Mapping[str, Scalar], ...]:
    """The hyperparameters of each entry of `enqueue`, by name; what is wrong with one goes to `issues`.

    `tree` is the part of the space that makes a configuration, `root` the file, for the places of its values.
    """
    as_written = not any(issue.path.split(".")[0] == "enqueue" for issue in issues.found)
    points: list[Mapping[str, Scalar]] = []
    for index, entry in enumerate(entries):
        point = point_of(tree, entry)
        for each in point.mismatches:
            path = ("enqueue", str(index), *each.path.split("."))
            reason = f"{each.reason}; leave it out, or widen the space"
            issues.add(place(root, path)[0], ".".join(path), reason)
        if as_written and not point.mismatches and (problem := _problem(point.hyperparameters, points)):
            issues.add(place(root, ("enqueue", str(index)))[0], f"enqueue.{index}", problem)
        points.append(point.hyperparameters)
    return tuple(points)


def _problem(point: Mapping[str, Scalar], before: Sequence[Mapping[str, Scalar]]) -> str | None:
    """Say what is wrong with a configuration that the space holds; None where nothing is."""
    if not point:
        return "sets nothing that the space varies, so the sampler proposes all of it; remove it, or set a value"
    if point in before:
        return f"the same configuration as enqueue.{before.index(point)}; remove one of the two"
    return None
