"""CUDA graphs: what the device does in a training step, recorded once."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

__all__ = ["NotCapturable", "capture"]


class NotCapturable(RuntimeError):
    """What was to be captured in a CUDA graph waits for the device."""


def capture(
    function: Callable[[], object],
    warm_up: Callable[[], object],
    device: torch.device,
    generators: Sequence[torch.Generator] = (),
    prepare: Callable[[], object] = lambda: None,
) -> torch.cuda.CUDAGraph:
    """The CUDA graph of what `function` does on `device`, after `warm_up` and `prepare` have run; torch's global
    generator and `generators` go on with each replay. What the graph reads and writes must outlive it. `prepare` may
    wait for the device.

    Raises NotCapturable where `warm_up` waits for the device: a capture that fails would leave torch's allocator and
    generators in disorder.
    """
    with torch.cuda.device(device):
        stream, current = _capture_stream(torch.cuda.current_device()), torch.cuda.current_stream()
        stream.wait_stream(current)
        try:
            with torch.cuda.stream(stream):
                with _no_waiting():
                    warm_up()
                prepare()
        finally:
            current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        for generator in generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
            function()
    return graph


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
        raise NotCapturable(str(error).splitlines()[0]) from None
    finally:
        torch.cuda.set_sync_debug_mode(before)
