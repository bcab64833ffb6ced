"""CUDA graphs: what the device does in a training step, recorded once.

`torch.cuda.graph` gives all cached memory back before each capture, and the next step asks CUDA for it again. Here it
is given back only where the process has reserved more than it can still get.
"""

from __future__ import annotations

import atexit
import functools
import gc
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from trials.files import first_line

__all__ = ["NotCapturable", "Pool", "capture", "drop_pools", "give_back", "record", "rehearse", "shared_pool"]


Pool: TypeAlias = Any
"""torch's handle of a pool of memory that graphs allocate from."""


class NotCapturable(RuntimeError):
    """A function that was to be captured in a CUDA graph waits for the device."""


def capture(
    function: Callable[[], object],
    warm_up: Callable[[], object],
    device: torch.device,
    generators: Sequence[torch.Generator] = (),
    pool: Pool | None = None,
    prepare: Callable[[], object] | None = None,
) -> torch.cuda.CUDAGraph:
    """`rehearse` with `warm_up`, then `record` with `function`. Between them `prepare`, which may wait for the device,
    runs on the stream that records."""
    rehearse(warm_up, device)
    if prepare is not None:
        _run(prepare, device, may_wait=True)
    return record(function, device, generators, pool)


def rehearse(function: Callable[[], object], device: torch.device) -> None:
    """Run `function` once on the stream that records graphs, so that a later `record` finds kernels and workspaces.

    Where memory ends, that of finished trials' graphs is given back and `function` runs once more. Raises NotCapturable
    where it waits for the device: a capture that fails would leave torch's allocator and generators in disorder.
    """
    try:
        _run(function, device)
    except torch.OutOfMemoryError:
        if not _pools:
            raise
        drop_pools()
    else:
        return
    gc.collect()
    torch.cuda.empty_cache()
    _run(function, device)


def record(
    function: Callable[[], object],
    device: torch.device,
    generators: Sequence[torch.Generator] = (),
    pool: Pool | None = None,
) -> torch.cuda.CUDAGraph:
    """The CUDA graph of what `function` does on `device`, where it has been rehearsed. Nothing is computed yet.

    torch's global generator and `generators` go on with each replay. What the graph reads and writes must outlive it.
    pool: the memory that it allocates from; None: one of its own.
    """
    if _is_half_full(device):
        torch.cuda.empty_cache()
    with torch.cuda.device(device):
        stream, graph = _capture_stream(torch.cuda.current_device()), torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        torch.cuda.synchronize()
        try:
            with torch.cuda.stream(stream):
                graph.capture_begin(pool, capture_error_mode="thread_local")
                try:
                    function()
                except BaseException:
                    with suppress(RuntimeError):  # what follows from the first error, which is the one to tell
                        graph.capture_end()
                    raise
                graph.capture_end()
        except BaseException:
            drop_pools()  # nobody knows what a capture that failed left there
            raise
    return graph


@dataclass(frozen=True)
class _Kept:
    """A pool of memory, and a graph that keeps it: torch gives up a pool whose last graph is released."""

    pool: Pool
    graph: torch.cuda.CUDAGraph
    buffer: torch.Tensor


_pools: dict[int, _Kept] = {}


def shared_pool(device: torch.device) -> Pool:
    """The memory of all graphs that this process replays on `device`, one after the other on one stream.

    Graphs overwrite each other's intermediate results there, so two of them must never be replayed at once. What a
    released graph held is used by the next one, without asking CUDA for it.
    """
    with torch.cuda.device(device):
        index = torch.cuda.current_device()
        if index not in _pools:
            _pools[index] = _keep(torch.cuda.graph_pool_handle(), index)
        return _pools[index].pool


def _keep(pool: Pool, device: int) -> _Kept:
    graph = torch.cuda.CUDAGraph()
    torch.cuda.synchronize()
    with torch.cuda.stream(_capture_stream(device)):
        graph.capture_begin(pool, capture_error_mode="thread_local")
        buffer = torch.zeros(1, device="cuda")
        graph.capture_end()
    return _Kept(pool, graph, buffer)


def drop_pools() -> None:
    """Let torch take back the memory of `shared_pool` as soon as the graphs that use it are released."""
    _pools.clear()


atexit.register(drop_pools)  # CUDA is there then; at the end of the interpreter nobody knows


def give_back(device: torch.device) -> None:
    """Keep the memory of a finished trial's graphs for the next one, unless they took much of what is allowed."""
    if _is_half_full(device):
        drop_pools()


def _run(function: Callable[[], object], device: torch.device, may_wait: bool = False) -> None:
    with torch.cuda.device(device):
        stream, current = _capture_stream(torch.cuda.current_device()), torch.cuda.current_stream()
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream), nullcontext() if may_wait else _no_waiting():
                function()
        finally:
            current.wait_stream(stream)


def _is_half_full(device: torch.device) -> bool:
    """Whether this process has reserved more memory than it can still get."""
    with torch.cuda.device(device):
        free, total = torch.cuda.mem_get_info()
        reserved = torch.cuda.memory_reserved()
        return reserved > min(free, torch.cuda.get_per_process_memory_fraction() * total - reserved)


@functools.cache
def _capture_stream(device: int) -> torch.cuda.Stream:
    """One for all captures, because cuBLAS keeps a workspace for each stream that it has seen."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Inside, an operation that waits for the device raises NotCapturable."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Synchronization debug mode is a prototype")
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if "synchronizing" not in str(error):
            raise
        raise NotCapturable(first_line(error)) from None
    finally:
        torch.cuda.set_sync_debug_mode(before)
