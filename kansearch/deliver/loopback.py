"""How the processes of one machine find each other: through a file.

Ray's own way is a server of torch's that listens on every interface and asks nobody who he is.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from ray.train.backend import Backend
from ray.train.torch import TorchConfig

__all__ = ["LoopbackTorchConfig"]


@dataclass
class LoopbackTorchConfig(TorchConfig):
    """Processes of one machine, which meet at the file `meeting`: not there yet, in a folder that is."""

    meeting: str = ""

    @property
    def backend_cls(self) -> type[Backend]:
        return _LoopbackBackend


class _LoopbackBackend(Backend):
    share_cuda_visible_devices = True  # as Ray's own has it: each process sees all GPUs and is told which is its own

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        import ray

        backend = backend_config.backend
        size, seconds = len(worker_group), backend_config.timeout_s
        joining = [
            worker_group.execute_single_async(rank, _join, backend, backend_config.meeting, rank, size, seconds)
            for rank in range(size)
        ]
        ray.get(joining)


def _join(backend: str, meeting: str, rank: int, size: int, seconds: int) -> None:
    from datetime import timedelta

    from torch import distributed

    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    distributed.init_process_group(
        backend,
        init_method=f"file://{meeting}",
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=seconds),
    )
