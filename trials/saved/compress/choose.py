"""Which layers another way of computing makes faster here: each is timed on the inputs that it has in the network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from trials.kan.basis import Basis
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv
from trials.saved.compress.fast import TabulatedKAN, can_be_integer, can_be_tabulated, table
from trials.saved.compress.integers import integers_available
from trials.saved.compress.stored import Fast, build_fast
from trials.training.edges import edged_layers

__all__ = ["BATCHES", "LayerTiming", "choose_fast", "table_error"]

Kind = Literal["exact", "table", "int8"]

BATCHES = (1, 128)
"""Samples at once that are timed."""
_RUNS, _SECONDS = 15, 0.3
"""Most runs, and most seconds, of each way with each batch."""
_SMALLEST_REACH = 12.0
"""Smallest reach of a table: SiLU goes straight on from there, and domain maps have come to their ends."""
_MARGIN = 1.25
"""A table reaches beyond the inputs seen by this factor."""
_SHOWN = 0.9995
"""Share of the inputs seen that integers tell apart; the others are taken for the nearest that they do."""
_TOLERANCE = 1e-3
"""Largest error of a table that is kept, over the largest value of its plane."""


@dataclass(frozen=True)
class LayerTiming:
    """A layer, and the ways to compute it that were tried."""

    name: str
    microseconds: dict[Kind, list[float]]
    """By way, of each of `BATCHES`; the shortest of the runs."""
    table_error: float | None
    """Largest error of a plane out of the table, over the largest value of that plane; None where none was tried."""
    chosen: Kind
    reason: str
    """Why it stays exact, in a few words, where it does."""


@torch.no_grad()
def choose_fast(network: nn.Module, images: Tensor, kinds: Sequence[Kind]) -> tuple[dict[str, Fast], list[LayerTiming]]:
    """For each layer that has another way of `kinds`, the fastest, where it beats the exact one with each batch.

    images: normalised, (N, C, *size), N >= 128; fewer are timed as they are. The times are this machine's.
    """
    ways, timings = {}, []
    for name, (layer, inputs) in _inputs(network.eval(), images).items():
        tried = {kind: _way(kind, layer, inputs) for kind in kinds if _possible(kind, layer)}
        if not tried:
            continue
        fast: dict[Kind, nn.Module] = {kind: build_fast(layer, way).eval() for kind, way in tried.items()}
        tabulated = fast.get("table")
        error = table_error(tabulated) if isinstance(tabulated, TabulatedKAN) else None
        rough = error is not None and error > _TOLERANCE
        if rough:
            del fast["table"]
        everything: dict[Kind, nn.Module] = {"exact": layer, **fast}
        times = _race(everything, inputs)
        best = min(fast, key=lambda kind: times[kind][-1], default=None)
        wins = best is not None and all(new < old for new, old in zip(times[best], times["exact"], strict=True))
        reason = "" if wins else f"the table errs by {error:.0e}" if rough and not fast else "exact is faster"
        chosen: Kind = best if wins and best is not None else "exact"
        if chosen != "exact":
            ways[name] = tried[chosen]
        timings.append(LayerTiming(name, times, error, chosen, reason))
    return ways, timings


@torch.no_grad()
def table_error(fast: TabulatedKAN) -> float:
    """Largest error of a plane between the rows of its table and beyond its ends, over the largest value of the plane.

    Seven points between two rows are compared with the exact planes, and as many beyond each end, as far again.
    """
    assert isinstance(fast.exact, KANLayer)
    points = 8 * len(fast.values)
    width, worst = fast.high - fast.low, 0.0
    top = table(fast.exact, fast.low, fast.high).abs().amax(0).clamp(min=1e-12)
    for start in (fast.low - width, fast.low, fast.high):
        exact = table(fast.exact, start, start + width, points)
        z = torch.linspace(start, start + width, points, dtype=torch.float64)
        worst = max(worst, float(((fast.planes(z.float()).double() - exact).abs() / top).max()))
    return worst


def _possible(kind: Kind, layer: nn.Module) -> bool:
    if kind == "table":
        return can_be_tabulated(layer)
    return kind == "int8" and can_be_integer(layer) and integers_available()


def _way(kind: Kind, layer: nn.Module, inputs: Tensor) -> Fast:
    values = inputs.flatten()[:: max(inputs.numel() // 2**20, 1)]
    assert kind != "exact"
    if kind == "table":
        assert isinstance(layer, KANLayer)
        reach = max(_MARGIN * float(inputs.abs().max()), _grid_end(layer.basis))
        return Fast("table", -reach, reach)
    edge = (1 - _SHOWN) / 2
    low, high = torch.quantile(values.double(), torch.tensor([edge, 1 - edge], dtype=torch.float64)).tolist()
    return Fast("int8", low, high if high > low else math.nextafter(low, math.inf) + 1.0)


def _grid_end(basis: Basis) -> float:
    """How far from zero the functions of a basis may still bend: where its domain map has come to an end, or well
    beyond its grid."""
    return max(_SMALLEST_REACH, abs(basis.grid_centre) + 2 * getattr(basis, "grid_range", 0.0))


def _inputs(network: nn.Module, images: Tensor) -> dict[str, tuple[nn.Module, Tensor]]:
    """Each layer that has edges, and what it is given; experts of a mixture are not computed one by one."""
    mixtures = tuple(f"{name}." for name, each in network.named_modules() if isinstance(each, MixtureKANConv))
    layers = {name: each for name, each in edged_layers(network).items() if not name.startswith(mixtures)}
    found: dict[str, tuple[nn.Module, Tensor]] = {}

    def note(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, inputs: found.update({name: (module, inputs[0].detach())})

    handles = [layer.register_forward_pre_hook(note(name)) for name, layer in layers.items()]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _race(ways: Mapping[Kind, nn.Module], inputs: Tensor) -> dict[Kind, list[float]]:
    """Microseconds of each way with each of `BATCHES`: the shortest of runs that take turns, after one to warm up."""
    times: dict[Kind, list[float]] = {name: [] for name in ways}
    for batch in BATCHES:
        samples = inputs[:batch].contiguous()
        best = dict.fromkeys(ways, math.inf)
        for way in ways.values():
            way(samples)
        spent, runs = 0.0, 0
        while runs < 3 or (runs < _RUNS and spent < _SECONDS * len(ways)):
            for name, way in ways.items():
                start = time.perf_counter()
                way(samples)
                seconds = time.perf_counter() - start
                best[name], spent = min(best[name], seconds), spent + seconds
            runs += 1
        for name in ways:
            times[name].append(round(best[name] * 1e6, 1))
    return times
