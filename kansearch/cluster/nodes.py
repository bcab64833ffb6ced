"""Look at each node of a cluster before it gets trials: does it have the driver's code, and see its checkpoints?

What runs there is sent by value, so that a node without kansearch can say so.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from kansearch.cluster.checkpoints import Checkpoints, checkpoints_at
from kansearch.errors import KansearchError
from trials.files import typed_line

__all__ = ["Inquiry", "alive_nodes", "check_nodes", "inspector", "on_node"]

_SECONDS = 120.0
Report = dict[str, str | None]
Node = Mapping[str, Any]
"""One of `ray.nodes()`."""


def alive_nodes() -> list[Node]:
    """The nodes that the cluster has now."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def on_node(node_id: str) -> Any:
    """The scheduling strategy that runs a task or an actor on one node and on no other."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)


def check_nodes(nodes: Sequence[Node], place: str | None) -> None:
    """Ask every node, at the same time.

    Args:
        nodes: those of `ray.nodes()` that are alive.
        place: where checkpoints lie; None where the nodes need see none.

    Raises:
        KansearchError: a node can't do its part; the message names it and says what to do.
    """
    with Inquiry(nodes, place) as inquiry:
        inquiry.wait()
        for problem in inquiry.problems().values():
            raise KansearchError(problem)


class Inquiry:
    """Questions to some nodes, which answer while the driver does other things. Its notes are gone after `with`.

    Args:
        nodes: those to ask; each is asked at once.
        place: where checkpoints lie; None where the nodes need see none.

    Raises:
        KansearchError: the driver itself can't write at `place`.
    """

    def __init__(self, nodes: Sequence[Node], place: str | None) -> None:
        self._nodes, look = list(nodes), inspector()
        self._place = None if place is None else checkpoints_at(place)
        self._name = f"seen-{uuid.uuid4().hex}"
        self._until = time.monotonic() + _SECONDS
        if self._place is not None:
            _leave(self._place, self._name)
        try:
            self._expected = look(place, self._name, f"{self._name}-driver")
            self._asked = _ask(look, self._nodes, place, self._name)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Inquiry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def wait(self, seconds: float = _SECONDS) -> bool:
        """Wait so long for the answers; whether all are there, or the time to answer is over."""
        import ray

        _, missing = ray.wait(self._asked, num_returns=len(self._asked), timeout=seconds)
        return not missing or time.monotonic() >= self._until

    def problems(self) -> dict[str, str]:
        """Why nodes can't do their part, by their ids; called when `wait` said that all have answered."""
        problems = {}
        for node, answer in zip(self._nodes, self._asked, strict=True):
            try:
                found = _answer(_address(node), answer)
                _compare(_address(node), self._expected, found)
                if self._place is not None:
                    name = self._name
                    _compare_places(_address(node), self._place, name, f"{name}-{node['NodeID']}", found)
            except KansearchError as error:
                problems[str(node["NodeID"])] = str(error)
        return problems

    def close(self) -> None:
        """Remove the notes that were left at the checkpoints' place."""
        if self._place is not None:
            for end in ("", "-driver", *(f"-{node['NodeID']}" for node in self._nodes)):
                self._place.remove(f"{self._name}{end}")


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
        from kansearch.cluster.checkpoints import checkpoints_at

        report["version"] = __version__
        if place is None:
            return report
        try:
            checkpoints = checkpoints_at(place)
            report["note"] = checkpoints.find(name)
            if report["note"] is not None:
                checkpoints.leave(answer, answer)
        except Exception as error:
            report["problem"] = typed_line(error)
        return report

    return look


def _ask(
    look: Callable[[str | None, str, str], Report], nodes: Sequence[Node], place: str | None, name: str
) -> list[Any]:
    import ray

    remote = ray.remote(num_cpus=0, max_retries=0)(look)
    return [
        remote.options(scheduling_strategy=on_node(node["NodeID"])).remote(place, name, f"{name}-{node['NodeID']}")
        for node in nodes
    ]


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


def _address(node: Node) -> str:
    return f"node {node['NodeManagerAddress']} ({str(node['NodeID'])[:8]})"
