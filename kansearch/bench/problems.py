"""Analytic learning curves over a real search space, with known fronts: what samplers and schedulers are measured on.

A configuration has a size, `parameters`, and a distance q >= 0 from the best hyperparameters:

    parameters   10 · width + 9 · depth · width² · features,  features = 1 without a basis, else grid_size (+ order) + 1
    q            (log10(lr / lr*))² + penalties of normalization, weight decay, basis
    best error   e(size): one of three shapes of front
    last error   e(size) + 0.15 · q
    error(t)     last + (0.9 - last) · decay(t / τ),  τ = τ0 · (size / 1e4)^α · (lr* / lr)^β
    an epoch     1 + 0.02 · √parameters device-seconds

decay is exp(-x) or (1 + x)^-γ. With β > 0 a high learning rate learns fast and ends worse, so that early figures
mislead; with α > 0 large networks learn late. Noise is normal, drawn anew each epoch from the seed and the trial's
number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np

from kansearch.engine.feasibility import Feasibility
from kansearch.space import Direction, SearchSpace, parse_space
from trials.config import TrialConfig

__all__ = ["OBJECTIVES", "PROBLEMS", "Problem", "Searchable", "simulated_space"]

OBJECTIVES: dict[str, Direction] = {"accuracy": "maximize", "parameters": "minimize"}
_BEST_LR = {"adamw": 3e-3, "lion": 5e-4}
_NORMALIZATION = {"batch": 0.0, "layer": 0.1, "none": 0.4}

_CONDITIONAL = """
study: simulated
data: {dataset: digits}
model:
  depth: {int: [1, 4]}
  width: {int: [2, 48], log: true}
  basis:
    choice:
      - none
      - {name: rbf, grid_size: {int: [3, 12]}}
      - {name: bspline, grid_size: {int: [3, 12]}, spline_order: {choice: [2, 3]}}
  normalization: {choice: [batch, layer, none]}
optimizer:
  choice:
    - {name: adamw, lr: {float: [1.0e-4, 1.0e-1], log: true}, weight_decay: {float: [1.0e-6, 1.0e-1], log: true}}
    - {name: lion, lr: {float: [1.0e-5, 1.0e-2], log: true}}
epochs: 27
"""
_STATIC = """
study: simulated
data: {dataset: digits}
model:
  depth: {int: [1, 4]}
  width: {int: [2, 48], log: true}
  basis: {name: rbf, grid_size: {int: [3, 12]}}
  normalization: {choice: [batch, layer, none]}
optimizer: {name: adamw, lr: {float: [1.0e-4, 1.0e-1], log: true}, weight_decay: {float: [1.0e-6, 1.0e-1], log: true}}
epochs: 27
"""


@cache
def simulated_space(conditional: bool) -> SearchSpace:
    """The space that is searched: with branches, or with the same hyperparameters for every trial."""
    return parse_space(_CONDITIONAL if conditional else _STATIC, "simulated.yaml")


def _power(size: float) -> float:
    return 0.02 + 1.2 * math.pow(size, -0.32)


def _knee(size: float) -> float:
    return 0.05 + 0.55 / (1.0 + math.pow(size / 3000.0, 1.2))


def _straight(size: float) -> float:
    return 0.6 - 0.09 * math.log10(size)


class Searchable(Protocol):
    """A problem for a simulated search: one of this module, or `kansearch.bench.recorded.RecordedProblem`."""

    @property
    def name(self) -> str:
        """The name by which it is chosen."""

    def about(self) -> str:
        """Describe the problem in one line; may be empty."""

    def space(self, conditional: bool) -> SearchSpace:
        """Return the space that is searched, with branches or without."""

    def feasibility(self, conditional: bool) -> Feasibility:
        """Checks its constraints."""

    def device_seconds(self, usual: float) -> float:
        """Device-seconds of a search, unless said otherwise."""

    def curve(self, config: TrialConfig, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        """Every epoch's result of a trial with `config`; without `rng` there is no noise."""

    def front(self, conditional: bool) -> list[dict[str, float]]:
        """Objectives of the best configurations, without noise."""


@dataclass(frozen=True)
class Problem:
    """One analytic problem; the fields are named in the module's docstring."""

    name: str
    best_error: Callable[[float], float]
    epochs_to_learn: float
    power: float | None = None
    """γ; None: exponential decay."""
    size_slows: float = 0.0
    """α"""
    rate_speeds: float = 0.0
    """β"""
    noise: float = 0.0

    def about(self) -> str:
        """The module's docstring says it."""
        return ""

    def space(self, conditional: bool) -> SearchSpace:
        """The space that is searched."""
        return simulated_space(conditional)

    def feasibility(self, conditional: bool) -> Feasibility:
        """There are no constraints."""
        return Feasibility({})

    def device_seconds(self, usual: float) -> float:
        """Device-seconds of a search, unless said otherwise: the usual ones."""
        return usual

    def curve(self, config: TrialConfig, rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        """Every epoch's result of a trial with `config`; without `rng` there is no noise."""
        return self._curve(config.model_dump(mode="json"), rng)

    def _curve(self, config: Mapping[str, Any], rng: np.random.Generator | None = None) -> list[dict[str, Any]]:
        size, epochs = parameters(config), int(config["epochs"])
        accuracy = 1.0 - self._errors(config, np.arange(1, epochs + 1, dtype=np.float64))
        if rng is not None:
            accuracy = accuracy + self.noise * rng.standard_normal(epochs)
        seconds = 1.0 + 0.02 * math.sqrt(size)
        return [_result(epoch, float(value), size, seconds) for epoch, value in enumerate(np.clip(accuracy, 0, 1), 1)]

    def _errors(self, config: Mapping[str, Any], epochs: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
        size, away = parameters(config), _away(config)
        last = min(self.best_error(size) + 0.15 * sum(each**2 for each in away), 0.9)
        tau = self.epochs_to_learn * (size / 1e4) ** self.size_slows * 10.0 ** (-self.rate_speeds * away[0])
        decay = np.exp(-epochs / tau) if self.power is None else (1.0 + epochs / tau) ** -self.power
        return last + (0.9 - last) * decay

    def front(self, conditional: bool) -> list[dict[str, float]]:
        """Objectives of the best configurations of the space after their last epoch, without noise."""
        best: dict[int, float] = {}
        for config in _best_configs(simulated_space(conditional)):
            last = self._curve(config)[-1]
            best[last["parameters"]] = max(best.get(last["parameters"], 0.0), last["accuracy"])
        return [{"accuracy": accuracy, "parameters": size} for size, accuracy in best.items()]


PROBLEMS = (
    Problem("quick", _power, 2.0),
    Problem("slow", _power, 0.5, power=0.7, size_slows=0.2),
    Problem("crossing", _straight, 3.0, rate_speeds=0.5),
    Problem("late", _knee, 4.0, size_slows=0.3),
    Problem("noisy", _straight, 2.0, noise=0.02),
)
"""quick: ranks are settled early. slow: they are not. crossing and late: early figures mislead. noisy: as it says."""


def parameters(config: Mapping[str, Any]) -> int:
    """Size of the imagined network."""
    model = config["model"]
    basis, width = model["basis"], int(model["width"])
    features = 1 + (int(basis.get("grid_size", 0)) + int(basis.get("spline_order", 0)))
    return 10 * width + 9 * int(model["depth"]) * width**2 * features


def _away(config: Mapping[str, Any]) -> list[float]:
    """Distances from the best hyperparameters, that of the learning rate first, in decades."""
    optimizer = config["optimizer"]
    rate = math.log10(optimizer["lr"] / _BEST_LR[optimizer["name"]])
    decay = 0.3 * math.log10(optimizer["weight_decay"] / 1e-3) if optimizer["name"] == "adamw" else 0.4
    normalization = math.sqrt(_NORMALIZATION[config["model"]["normalization"]])
    return [rate, decay, normalization, {"none": 0.8, "rbf": 0.3, "bspline": 0.0}[config["model"]["basis"]["name"]]]


def _best_configs(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """Every architecture with the best of everything else; of learning rates some, as the best depends on the curve."""
    bases = [{"name": "rbf", "grid_size": size} for size in range(3, 13)]
    if any(name.startswith("model.basis.bspline") for name in space.hyperparameters()):
        bases += [{"name": "bspline", "grid_size": size, "spline_order": k} for size in range(3, 13) for k in (2, 3)]
        bases += [{"name": "none"}]
    for rate in (3e-3, 5e-3, 1e-2):
        for depth in range(1, 5):
            for width in range(2, 49):
                for basis in bases:
                    model = {"depth": depth, "width": width, "basis": basis, "normalization": "batch"}
                    yield {
                        "model": model,
                        "optimizer": {"name": "adamw", "lr": rate, "weight_decay": 1e-3},
                        "epochs": 27,
                    }


def _result(epoch: int, accuracy: float, size: int, seconds: float) -> dict[str, Any]:
    loss = -math.log(max(accuracy, 1e-3))
    return {
        "epoch": epoch,
        "train_loss": loss,
        "validation_loss": loss,
        "accuracy": accuracy,
        "images_per_second": 1000.0 / seconds,
        "seconds": seconds,
        "learning_rate": 0.0,
        "parameters": size,
        "flops": 2 * size,
        "peak_memory_mib": 1.0,
    }
