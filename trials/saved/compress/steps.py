"""The record of the steps from one model to another: the figures after each, and the networks, timed together."""

from __future__ import annotations

import copy
import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.splits import Split
from trials.results import EpochResult
from trials.saved.compress.figures import (
    Figures,
    measure_network,
    parameter_counts,
    sizes_of,
    time_networks,
)
from trials.training.evaluation import measure_split

__all__ = ["Progress", "Steps", "final_metrics", "machine"]


@dataclass(frozen=True)
class Progress:
    """Functions that are told of each step and of each epoch, while it happens."""

    step: Callable[[Figures], None]
    epoch: Callable[[EpochResult], None]


class Steps:
    """The network after each step."""

    def __init__(self, test: Split, progress: Progress) -> None:
        self._test, self._progress = test, progress
        self._figures: list[Figures] = []
        self._networks: list[nn.Module] = []

    def note(self, step: str, network: nn.Module, file: Path | Mapping[str, Tensor] | None = None) -> None:
        """Measure a network as it is now. file: that of its weights, or what would be in it, if not its own state."""
        if isinstance(file, Path):
            size = file.stat().st_size
        else:
            size = len(save(dict(network.state_dict() if file is None else file)))
        figures = measure_network(step, network, size, self._test)
        self._figures.append(figures)
        self._networks.append(copy.deepcopy(network))
        self._progress.step(figures)

    def report(self) -> list[dict[str, Any]]:
        """The figures of all steps, times included, JSON-able."""
        times = time_networks(self._networks, self._test)
        timed = [dataclasses.replace(each, latency_ms=own) for each, own in zip(self._figures, times, strict=True)]
        return [dataclasses.asdict(each) for each in timed]


def final_metrics(config: TrialConfig, network: nn.Module, test: Split) -> dict[str, Any]:
    """The content of metrics.json: figures of the test split, and the network's sizes."""
    parameters, nonzero = parameter_counts(network)
    sizes = {**sizes_of(config, network), "parameters": parameters, "nonzero_parameters": nonzero}
    return {**measure_split(network, test, regression=config.loss), "epochs": config.epochs, **sizes, "split": "test"}


def machine() -> dict[str, Any]:
    """Where the times were measured."""
    return {"cpu": _processor(), "threads": torch.get_num_threads()}


def _processor() -> str:
    """The CPU's name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
