"""Look at each node of a cluster before a search begins: does it have the driver's code, and see its checkpoints?

What runs there is sent by value, so that a node without kansearch can say so.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kansearch.errors import KansearchError
from kansearch.search.checkpoints import Checkpoints, checkpoints_at

__all__ = ["check_nodes", "inspector"]

_SECONDS = 120.0
Report = dict[str, str | None]


def check_nodes(nodes: Sequence[Mapping[str, Any]], place: str | None) -> None:
    """Ask every node, at the same time.

    Args:
        nodes: those of `ray.nodes()` that are alive.
        place: where checkpoints lie; None where the nodes need see none.

    Raises:
        KansearchError: a node can't do its part; the message names it and says what to do.
    """
    if place is None:
        look = inspector()
        expected = look(None, "", "")
        for node, found in zip(nodes, _ask(look, nodes, None, ""), strict=True):
            _compare(_address(node), expected, found)
        return
    checkpoints, name, look = checkpoints_at(place), f"seen-{uuid.uuid4().hex}", inspector()
    notes = [name, *(f"{name}-{node['NodeID']}" for node in nodes)]
    try:
        _leave(checkpoints, name)
        expected = look(place, name, f"{name}-driver")
        notes.append(f"{name}-driver")
        for node, found in zip(nodes, _ask(look, nodes, place, name), strict=True):
            _compare(_address(node), expected, found)
            _compare_places(_address(node), checkpoints, name, f"{name}-{node['NodeID']}", found)
    finally:
        for note in notes:
            checkpoints.remove(note)


def _leave(checkpoints: Checkpoints, name: str) -> None:
    try:
        checkpoints.leave(name, name)
    except Exception as error:  # each filesystem has its own
        raise KansearchError(f"the checkpoints' place {checkpoints} cannot be written: {error}") from error


def inspector() -> Callable[[str | None, str, str], Report]:
    """The function that looks. A closure, because Ray would only send the name of a module's."""

    def look(place: str | None, name: str, answer: str) -> Report:
        import hashlib
        import importlib.metadata
        import importlib.util
        import platform
        from pathlib import Path

        def digest(package: str) -> str | None:
            spec = importlib.util.find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                return None
            folder, total = Path(next(iter(spec.submodule_search_locations))), hashlib.sha256()
            for path in sorted(folder.rglob("*.py")):
                total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
            return total.hexdigest()

        def version(package: str) -> str | None:
            try:
                return importlib.metadata.version(package).partition("+")[0]
            except importlib.metadata.PackageNotFoundError:
                return None

        report: Report = {
            "Python": platform.python_version(),
            "torch": version("torch"),
            "kansearch": digest("kansearch"),
            "trials": digest("trials"),
            "note": None,
            "problem": None,
        }
        if report["kansearch"] is None:
            return report
        from kansearch import __version__
        from kansearch.search.checkpoints import checkpoints_at

        report["version"] = __version__
        if place is None:
            return report
        try:
            checkpoints = checkpoints_at(place)
            report["note"] = checkpoints.find(name)
            if report["note"] is not None:
                checkpoints.leave(answer, answer)
        except Exception as error:
            report["problem"] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return report

    return look


def _ask(
    look: Callable[[str | None, str, str], Report], nodes: Sequence[Mapping[str, Any]], place: str | None, name: str
) -> list[Report]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(look)
    asked = []
    for node in nodes:
        here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        asked.append(remote.options(scheduling_strategy=here).remote(place, name, f"{name}-{node['NodeID']}"))
    ray.wait(asked, num_returns=len(asked), timeout=_SECONDS)
    return [_answer(_address(node), answer) for node, answer in zip(nodes, asked, strict=True)]


def _answer(node: str, answer: Any) -> Report:
    import ray

    try:
        return dict(ray.get(answer, timeout=0))
    except ray.exceptions.GetTimeoutError as error:
        raise KansearchError(f"{node} did not answer within {_SECONDS:g} s") from error
    except ray.exceptions.RayError as error:
        reason = next(
            (line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__
        )
        raise KansearchError(f"{node} cannot run a task: {reason}") from error


def _compare(node: str, expected: Report, found: Report) -> None:
    for name in ("Python", "torch"):
        if found[name] != expected[name]:
            raise KansearchError(
                f"{node} has {name} {found[name] or 'not at all'}, the driver {expected[name]}: install the same there"
            )
    if found["kansearch"] is None:
        raise KansearchError(
            f"{node} has no kansearch: install {expected['version']} there, in the Python that runs Ray"
        )
    for name in ("kansearch", "trials"):
        if found[name] != expected[name]:
            versions = f"{found['version']}, the driver {expected['version']}"
            raise KansearchError(
                f"{node} has another package `{name}` (kansearch {versions}): install the driver's there"
            )


def _compare_places(node: str, checkpoints: Checkpoints, name: str, answer: str, found: Report) -> None:
    way_out = "launch with --checkpoints PLACE, a folder or URL that every machine sees and may write"
    if found["problem"] is not None:
        raise KansearchError(f"{node} cannot use the checkpoints' place {checkpoints}: {found['problem']}; {way_out}")
    if found["note"] != name or checkpoints.find(answer) != answer:
        raise KansearchError(f"{node} does not see the checkpoints' place {checkpoints}: {way_out}")


def _address(node: Mapping[str, Any]) -> str:
    return f"node {node['NodeManagerAddress']} ({str(node['NodeID'])[:8]})"
