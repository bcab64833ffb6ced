"""Nodes that join a cluster while a search runs: each is looked at like the first ones, and none ends the search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType

from kansearch.cluster.cluster import Cluster, fitting, kind_of_gpu, resources_of
from kansearch.cluster.nodes import Inquiry, Node, alive_nodes
from kansearch.errors import KansearchError

__all__ = ["Newcomer", "Newcomers"]


@dataclass(frozen=True)
class Newcomer:
    """A node that joined."""

    node_id: str
    cpus: float
    gpus: float
    kind: str
    """Kind of its GPUs, as Ray names it; empty where it has none."""
    problem: str | None
    """One line for the user where it gets no trials; None where it may have some."""


class Newcomers:
    """Within `with`, finds nodes that `cluster` did not have.

    Args:
        cluster: with each trial's share decided; a node that has no room for one trial is passed over.
        place: where checkpoints lie, which each node must see; None where there are none to see.
    """

    def __init__(self, cluster: Cluster, place: str | None) -> None:
        self._per_trial, self._place = cluster.per_trial, place
        self._known = set(cluster.node_ids)
        self._asked: list[Node] = []
        self._inquiry: Inquiry | None = None

    def __enter__(self) -> Newcomers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def poll(self) -> list[Newcomer]:
        """Nodes that were looked at since the last call, each once; to be called every few seconds.

        Waits for no node: one is asked in one call, and told of in a later one. Reading the driver's own code for
        comparison takes about 0.1 s in the call that asks.
        """
        nodes = alive_nodes()
        found = list(self._answered({str(node["NodeID"]) for node in nodes}))
        if self._inquiry is None:
            new = [node for node in nodes if node["NodeID"] not in self._known]
            self._known |= {str(node["NodeID"]) for node in new}
            self._asked = [node for node in new if fitting(resources_of(node), *self._per_trial)]
            if self._asked:
                return found + self._ask()
        return found

    def _ask(self) -> list[Newcomer]:
        """Begin to look at the nodes; all of them with a problem where the driver can't."""
        try:
            self._inquiry = Inquiry(self._asked, self._place)
        except KansearchError as error:
            return [_newcomer(node, str(error)) for node in self._asked]
        return []

    def _answered(self, alive: set[str]) -> Iterable[Newcomer]:
        if self._inquiry is None or not self._inquiry.wait(0):
            return []
        problems = self._inquiry.problems()
        self._end()
        asked = [(node, str(node["NodeID"])) for node in self._asked]
        return [_newcomer(node, problems.get(name)) for node, name in asked if name in alive]

    def _end(self) -> None:
        if self._inquiry is not None:
            self._inquiry.close()
            self._inquiry = None


def _newcomer(node: Node, problem: str | None) -> Newcomer:
    line = None if problem is None else f"{problem}; it gets no trials"
    return Newcomer(str(node["NodeID"]), *resources_of(node), kind_of_gpu(node), line)
