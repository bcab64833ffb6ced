"""`Growth`: a joined cluster that becomes larger while a search runs: nodes that join get workers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from kansearch.cluster.cluster import Cluster
from kansearch.cluster.newcomers import Newcomer, Newcomers
from kansearch.cluster.node_mps import ClusterMps, NodeMps
from kansearch.cluster.nodes import alive_nodes

__all__ = ["Growth", "NodesMps"]

_PERIOD_SECONDS = 5.0
_MPS_SECONDS = 40.0


class NodesMps:
    """CUDA MPS on the nodes of a joined cluster, as `kansearch.cluster.gpu_sharing.packed` uses it.

    Args:
        daemons: those of the nodes.
    """

    def __init__(self, daemons: ClusterMps) -> None:
        self._daemons = daemons
        self._found: Mapping[str, NodeMps] | None = None

    @property
    def available(self) -> bool:
        """Whether each node with a GPU has a daemon; they are started when this is first asked."""
        return bool(self._all()) and self.problem is None

    @property
    def pipes(self) -> Mapping[str, str] | None:
        """Where each node's workers find its daemon, by the node's id; None where one has none."""
        found = self._all()
        if not found or self.problem is not None:
            return None
        return {name: each.pipes for name, each in found.items() if each.pipes is not None}

    @property
    def problem(self) -> str | None:
        """Why a node has none."""
        return next((f"node {name[:8]}: {each.problem}" for name, each in self._all().items() if each.problem), None)

    def start(self) -> None:
        """Start the daemons that are missing."""
        self._found = None
        self._all()

    def _all(self) -> Mapping[str, NodeMps]:
        if self._found is None:
            self._daemons.start(alive_nodes())
            self._found = self._daemons.found(_MPS_SECONDS)
        return self._found


class Growth:
    """Within `with`, looks for nodes that join.

    Args:
        cluster: as the search begins.
        place: where checkpoints lie, which each node must see.
        daemons: of CUDA MPS, for nodes whose GPUs are shared.
    """

    def __init__(self, cluster: Cluster, place: str | None, daemons: ClusterMps) -> None:
        self._cluster = cluster
        self._newcomers = Newcomers(cluster, place)
        self._daemons = daemons
        self._waiting: list[Newcomer] = []  # for their daemons
        self._next = time.monotonic() + _PERIOD_SECONDS

    def __enter__(self) -> Growth:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._newcomers.__exit__(kind, error, trace)

    def poll(self) -> Cluster | None:
        """The cluster with the nodes that have joined, and with what the user is to be told; None while nothing is new.

        To be called often; it looks every five seconds.
        """
        if time.monotonic() < self._next:
            return None
        self._next = time.monotonic() + _PERIOD_SECONDS
        found = self._newcomers.poll()
        refused = [newcomer.problem for newcomer in found if newcomer.problem is not None]
        self._waiting += [newcomer for newcomer in found if newcomer.problem is None]
        if isinstance(self._cluster.mps, Mapping) and self._waiting:
            joined = self._with_daemons(self._cluster.mps)
        else:
            joined, self._waiting = self._waiting, []
        if not joined and not refused:
            return None
        self._cluster = self._cluster.grown([(each.cpus, each.gpus) for each in joined], refused)
        return self._cluster

    def _with_daemons(self, pipes: Mapping[str, str]) -> Sequence[Newcomer]:
        """The newcomers whose daemons run, or that have no GPU; one whose daemon does not start gets no trials."""
        self._daemons.start(alive_nodes())
        found = self._daemons.found(0.0)
        ready = [each for each in self._waiting if not each.gpus or each.node_id in found]
        self._waiting = [each for each in self._waiting if each not in ready]
        known = {each.node_id: found[each.node_id].pipes for each in ready if each.gpus}
        self._cluster = replace(
            self._cluster, mps={**pipes, **{name: each for name, each in known.items() if each is not None}}
        )
        return [each for each in ready if not each.gpus or known[each.node_id] is not None]
