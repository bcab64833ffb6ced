"""The worth and the costs of a network: on the test split, in bytes, and on this CPU."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.splits import Split
from trials.measure.sizes import COUNTS
from trials.saved.compress.choose import BATCHES
from trials.saved.compress.prune import count_edges
from trials.training.evaluation import measure_split

__all__ = ["Figures", "measure_network", "parameter_counts", "sizes_of", "time_networks"]

_TURNS, _FEWEST, _SECONDS = 32, 5, 1.0
"""Turns and seconds of each network with each batch at most, but for the fewest turns."""


@dataclass(frozen=True)
class Figures:
    """A network after one step."""

    step: str
    accuracy: float | None
    """Accuracy on the test split; of the labelled pixels where there is a class for each pixel; None of numbers."""
    nrmse: float | None
    """RMSE on the test split over the targets' standard deviation; None of classes."""
    parameters: int
    """Numbers that training changes, zeros among them."""
    nonzero: int
    """Numbers among `parameters` that are not zero."""
    edges: int
    """Edges that are not zero."""
    all_edges: int
    file_bytes: int
    """Bytes of the weights, as a safetensors file."""
    latency_ms: dict[str, float] = field(default_factory=dict)
    """Median time of a batch of 1 and of 128 samples, normalisation excluded, milliseconds."""


def measure_network(step: str, network: nn.Module, file_bytes: int, split: Split) -> Figures:
    """All but the latency, which is empty. file_bytes: of the weights' file."""
    parameters, nonzero = parameter_counts(network)
    edges, all_edges = count_edges(network)
    scores = measure_split(network, split)
    score = scores.get("accuracy"), scores.get("nrmse")
    return Figures(step, *score, parameters, nonzero, edges, all_edges, file_bytes)


@torch.inference_mode()
def time_networks(networks: Sequence[nn.Module], split: Split) -> list[dict[str, float]]:
    """Median milliseconds of a forward pass of each network, by the samples in its batch.

    The networks take turns, after two turns to warm up, so that what else this machine does hits all of them alike.
    """
    images = split.normalised(_samples(split))
    found: list[dict[str, float]] = [{} for _ in networks]
    for batch in BATCHES:
        times: list[list[float]] = [[] for _ in networks]
        spent = 0.0
        for turn in range(_TURNS):
            for network, own in zip(networks, times, strict=True):
                own.append(_seconds(network.eval(), images[:batch]))
                spent += own[-1]
            if turn >= 2 + _FEWEST and spent > _SECONDS * len(networks):
                break
        for each, own in zip(found, times, strict=True):
            each[str(batch)] = round(statistics.median(own[2:]) * 1e3, 4)
    return found


def parameter_counts(network: nn.Module) -> tuple[int, int]:
    """Parameters, and those that are not zero."""
    parameters = list(network.parameters())
    return sum(p.numel() for p in parameters), sum(int(p.count_nonzero()) for p in parameters)


def sizes_of(config: TrialConfig, network: nn.Module) -> dict[str, int]:
    """`trials.measure.sizes.COUNTS` of a network that is there already."""
    copied = copy.deepcopy(network).to("meta")
    return {name: count(config, copied) for name, count in COUNTS.items()}


def _samples(split: Split) -> Tensor:
    """The first of a split, as many as the largest batch, again and again where there are fewer."""
    places = torch.arange(max(BATCHES), device=split.device) % len(split)
    images, _ = next(iter(split.batches([places])))
    return images


def _seconds(network: nn.Module, images: Tensor) -> float:
    start = time.perf_counter()
    network(images)
    return time.perf_counter() - start
