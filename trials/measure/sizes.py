"""Costs of a configuration, before anything is trained: sizes counted on torch's meta device, without data files.

measure(config, ["parameters", "flops"])  # {"parameters": 17882.0, "flops": 1990144.0}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from trials.config import DENSE_FAMILIES, TrialConfig
from trials.data.datasets import data_shape, known_images
from trials.data.shape import DataShape
from trials.measure.memory import estimate_memory
from trials.metrics import METRICS
from trials.models import build_model, build_network
from trials.presets import Preset
from trials.training.distributed import ALONE, Processes

__all__ = [
    "COUNTS",
    "SIZES",
    "check_batch",
    "count_flops",
    "count_parameters",
    "count_preset",
    "count_sizes",
    "measure",
    "network_flops",
    "network_parameters",
]

SIZES = tuple(name for name, metric in METRICS.items() if metric.size)
"""Sizes that can be known before training."""


def measure(
    config: TrialConfig,
    names: Iterable[str] = SIZES,
    *,
    device: str | None = None,
    threads: int = 1,
    data_dir: Path | None = None,
) -> dict[str, float]:
    """The sizes `names` of a configuration, of one network that is built once.

    Integers are those of `COUNTS`; peak_memory_mib is `estimate_memory` on `device`. data_dir: where
    a data set's files are looked for, if their number is not known. Raises ValueError or RuntimeError where the
    configuration cannot be built, or cannot be trained, or where the memory depends on an unknown number of samples.
    """
    check_batch(config, known_images(config.data, data_dir) or config.images_per_step)
    with torch.device("meta"):
        network = build_network(config)
    wanted = set(names)
    sizes = {name: float(count(config, network)) for name, count in COUNTS.items() if name in wanted}
    if "peak_memory_mib" in wanted:  # last: it uses the network up
        sizes["peak_memory_mib"] = estimate_memory(config, device, threads, network, data_dir)
    return sizes


def count_sizes(config: TrialConfig, built: nn.Module | None = None) -> dict[str, int]:
    """`COUNTS` of a configuration's network; with a grid schedule on its last grids.

    built: the network before its first step. One on a CPU that takes rows of numbers, and whose grids stay, is counted
    itself, in eval mode, which is faster than to build another one.
    """
    network = built
    extended, rows = bool(config.grid_schedule.extensions), not data_shape(config.data).size
    if network is None or extended or not rows or any(p.device.type != "cpu" for p in network.parameters()):
        with torch.device("meta"):
            network = build_network(config)
    return {name: count(config, network) for name, count in COUNTS.items()}


def check_batch(config: TrialConfig, images: int, processes: Processes = ALONE) -> None:
    """Raises ValueError where the batches of so many training images are too small for the normalisation: a vector of
    each image. (Networks that give a class to each pixel normalise over pixels alone.) Or for so many processes."""
    step = min(config.images_per_step, images)
    smallest = processes.smallest_part(step) // math.ceil(step / config.data.batch_size)
    if smallest < 1:
        raise ValueError(f"data.batch_size={config.data.batch_size} is too small for {processes.size} processes")
    if config.model.family in DENSE_FAMILIES:
        return
    names = (config.model.normalization, getattr(config.model, "classifier_normalization", None))
    if "batch" in names and smallest < 2:
        for_each = f" for each of {processes.size} processes" if processes.size > 1 else ""
        raise ValueError(f"normalization batch needs batch_size >= 2{for_each}, got 1; use layer, instance or none")


def count_parameters(config: TrialConfig) -> int:
    """Trainable parameters of the network. Needs no data files and no memory for the weights."""
    with torch.device("meta"):
        return network_parameters(build_network(config))


def count_preset(preset: Preset) -> int:
    """Trainable parameters of a published network, for the data set that it was published on."""
    channels, height, width, classes = preset.shape
    dense = preset.config.family in DENSE_FAMILIES
    with torch.device("meta"):
        return network_parameters(build_model(preset.config, DataShape(channels, (height, width), classes, dense)))


def count_flops(config: TrialConfig) -> int:
    """Multiply-adds times two of one image's forward pass: convolutions and products. Needs what `count_parameters`
    does."""
    with torch.device("meta"):
        network = build_network(config)
    return network_flops(config, network)


class _Flops(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """`torch.utils.flop_counter` without its table of modules, which takes most of its time."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def network_parameters(network: nn.Module) -> int:
    """Numbers that training changes."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


def network_flops(config: TrialConfig, network: nn.Module) -> int:
    """The same of a network that is there already, mostly on the meta device; it is left in eval mode."""
    shape = data_shape(config.data)
    device = next(network.parameters(), torch.empty(0, device="meta")).device
    image = torch.zeros(1, shape.channels, *shape.size, device=device)
    with torch.no_grad(), _Flops() as counter:
        network.eval()(image)
    total: int = counter.total
    return total


COUNTS: dict[str, Callable[[TrialConfig, nn.Module], int]] = {
    "parameters": lambda config, network: network_parameters(network),
    "flops": network_flops,
}
"""Integers that are known of a configuration and its network on the meta device, by their names in `trials.metrics`."""
