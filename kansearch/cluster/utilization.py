"""How idle the GPUs of this machine are while a search runs: NVML's utilisation, looked at once a second."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

__all__ = ["GpuWatch", "visible_gpus"]

_PERIOD_SECONDS = 1.0


class GpuWatch:
    """Within `with`, a thread watches the GPUs that CUDA_VISIBLE_DEVICES leaves; none where there is no NVML.

    NVML's utilisation is the share of its last period of sampling in which some kernel ran, not of the processors
    that it kept busy.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = {}
        """Seconds watched and seconds idle, by the GPU's name."""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-watch", daemon=True)

    def __enter__(self) -> GpuWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        import pynvml

        try:
            pynvml.nvmlInit()
            devices = _devices(pynvml)
        except pynvml.NVMLError:
            return  # no driver, so no GPU
        while not self._end.wait(_PERIOD_SECONDS):
            for name, device in devices.items():
                with suppress(pynvml.NVMLError):  # one that can't tell is not watched
                    self._count(name, pynvml.nvmlDeviceGetUtilizationRates(device).gpu)
        pynvml.nvmlShutdown()

    def _count(self, name: str, percent: float) -> None:
        watched, idle = self.seconds.get(name, (0.0, 0.0))
        self.seconds[name] = (watched + _PERIOD_SECONDS, idle + _PERIOD_SECONDS * (1 - percent / 100))


def visible_gpus() -> list[tuple[str, int]]:
    """Name and memory, MiB, of each GPU that CUDA_VISIBLE_DEVICES leaves; none where there is no NVML.

    Opens no GPU, and loads no torch.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        devices = _devices(pynvml).values()
        found = [
            (str(pynvml.nvmlDeviceGetName(each)), int(pynvml.nvmlDeviceGetMemoryInfo(each).total) >> 20)
            for each in devices
        ]
        pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return []  # no driver, so no GPU
    return found


def _devices(nvml: Any) -> dict[str, Any]:
    """NVML's handle of each visible GPU, as `GPU 0`."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    wanted = None if visible is None else [each.strip() for each in visible.split(",")]
    return {
        f"GPU {index}": handle
        for index, handle in enumerate(handles)
        if wanted is None or str(index) in wanted or nvml.nvmlDeviceGetUUID(handle) in wanted
    }
