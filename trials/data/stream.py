"""Batches of samples that do not fit on the device: read ahead by threads, from memory maps or host memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import torch
from torch import Tensor

__all__ = ["AHEAD", "SHARE", "batches", "does_not_fit"]

SHARE = 0.25
"""Share of a device's memory: larger data sets are streamed, not copied there."""

_THREADS = 4
AHEAD = 6
"""Batches that are read before they are asked for."""


def does_not_fit(size: int, device: torch.device) -> bool:
    """Whether `size` bytes are more than `SHARE` of the device's memory; on a CPU, the machine's."""
    if device.type == "cuda":
        if not torch.cuda.is_available():
            return False  # an estimate for a GPU that is elsewhere
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return size > SHARE * memory


def batches(sources: tuple[Tensor, ...], order: Iterable[Tensor], device: torch.device) -> Iterator[tuple[Tensor, ...]]:
    """For each of `order`, rows (B,) on the host, those rows of each source (N, ...), on the device.

    Threads read some batches ahead, into memory that a GPU copies from by itself; who stops early waits for no more
    than the batches being read.
    """

    def gather(rows: Tensor) -> tuple[Tensor, ...]:
        chosen = tuple(torch.from_numpy(source.numpy().take(rows.numpy(), 0)) for source in sources)
        return tuple(each.pin_memory() for each in chosen) if device.type == "cuda" else chosen

    rest = iter(order)
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting = deque(pool.submit(gather, rows) for rows in islice(rest, AHEAD))
        try:
            while waiting:
                ready = waiting.popleft().result()
                waiting.extend(pool.submit(gather, rows) for rows in islice(rest, 1))
                yield tuple(each.to(device, non_blocking=True) for each in ready)
        finally:
            for each in waiting:
                each.cancel()
