"""The functions that a trained network has learned, layer by layer, and what its layers have seen.

layers = inspect_weights(config, Path("model.safetensors"))
layers[0].functions([0], [0], [4])  # φ of output 0, input 0, kernel entry 4, at layers[0].z
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trials.config import TrialConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import load_training
from trials.kan import BASES, Basis, ChannelActivation, GroupRational, SplineActivation
from trials.kan.layer import KANLayer
from trials.models import build_network
from trials.saved.pretrained import load_pretrained
from trials.saved.weights import load_weights
from trials.training.edges import edge_spreads, planes_at, seen_inputs, weights_by_edge
from trials.training.grids import staged

__all__ = ["LearnedLayer", "inspect_network", "inspect_weights"]

POINTS = 121
"""Number of points at which each function is shown."""
_SHOWN = 0.995
"""Share of the inputs seen that the points cover at least."""
IMAGES = 512
"""Images of the training split, unaugmented, that the network is shown."""
_NEGLIGIBLE = 0.01
"""Share of a layer's variance that its prunable edges hold together, at most."""

Array = NDArray[np.float64]
Learned = KANLayer | GroupRational | SplineActivation
_LEARNED = (KANLayer, GroupRational, SplineActivation)
"""Layers that have learned functions."""


@dataclass(frozen=True)
class LearnedLayer:
    """A KAN layer of O outputs, I inputs and K kernel entries (1 of a linear layer): an edge is (output, input, entry).

    φ_{o,i,k} = Σ_p weights[o, i, p, k] · planes[:, p], over the basis functions and the base branch. A learnable
    activation is one of O channels, with I = K = 1: each channel's function.
    """

    name: str
    """Name of the module, as in the state dict."""
    basis: str
    kernel: tuple[int, ...]
    """Sizes of the kernel; empty of a linear layer."""
    z: Array
    """Points at which the functions are shown: (Z,), over the grid and over nearly all inputs seen."""
    planes: Array
    """Planes of the learned basis: (Z, P)."""
    weights: Array
    """(O, I, P, K)."""
    initial_planes: Array
    """Planes before training."""
    initial_weights: Array
    """Weights before training."""
    ends: Array
    """Planes at -1 and at 1: (2, P)."""
    seen: Array
    """Inputs of the layer, up to 2,048 of each channel: (S, I)."""
    grid: tuple[float, float] | None
    """Where the basis' grid begins and ends; None where it has none."""
    importance: Array
    """Standard deviation of each edge's function over the inputs that it has seen: (O, I, K)."""

    def functions(self, edges: tuple[Sequence[int], ...], initial: bool = False) -> Array:
        """φ at `z` of the edges (outputs, inputs, entries): (E, Z)."""
        planes, weights = (self.initial_planes, self.initial_weights) if initial else (self.planes, self.weights)
        outputs, inputs, entries = (np.asarray(each) for each in edges)
        chosen: Array = weights[outputs, inputs, :, entries] @ planes.T
        return chosen

    @property
    def signs(self) -> Array:
        """The binarised kernels, sign of φ(1) - φ(-1): (O, I, K), each -1, 0 or 1."""
        signs: Array = np.sign(np.einsum("oipk,p->oik", self.weights, self.ends[1] - self.ends[0]))
        return signs

    @property
    def outside(self) -> float | None:
        """Share of the inputs seen that lie outside the grid; None where the basis has none."""
        if self.grid is None:
            return None
        return float(((self.seen < self.grid[0]) | (self.seen > self.grid[1])).mean())

    @property
    def norm(self) -> float:
        """Root of the mean squared importance of the layer's edges."""
        return float(np.sqrt(np.square(self.importance).mean()))

    @property
    def prunable(self) -> NDArray[np.bool_]:
        """The least important edges, which together hold at most 1 % of the summed variance of all: (O, I, K)."""
        variance = np.square(self.importance).ravel()
        order = np.argsort(variance, kind="stable")
        least = np.cumsum(variance[order]) <= _NEGLIGIBLE * variance.sum()
        marks = np.zeros(variance.size, dtype=np.bool_)
        marks[order[least]] = True
        return marks.reshape(self.importance.shape)


def inspect_weights(config: TrialConfig, weights: Path, data_dir: Path | None = None) -> list[LearnedLayer]:
    """The KAN layers and learnable activations of the network in a safetensors file, in its order, on the CPU.

    Its first weights, on its first grids, are drawn again from `config.seed`, as they were when it was trained. Raises
    DataError, WeightsError where the file does not fit the configuration.
    """
    torch.manual_seed(config.seed)
    initial = build_network(staged(config, 0))
    load_pretrained(config, initial)
    network = build_network(config)
    load_weights(weights, network)
    split, _ = load_training(config.data, torch.device("cpu"), data_dir)
    images, _ = next(iter(evaluation_batches(split, IMAGES)))
    return inspect_network(network, initial, images)


@torch.no_grad()
def inspect_network(network: nn.Module, initial: nn.Module, images: Tensor) -> list[LearnedLayer]:
    """The same of a network, what it was before training, and normalised images (N, C, *size)."""
    before = {name: layer for name, layer in initial.named_modules() if isinstance(layer, _LEARNED)}
    seen = seen_inputs(network.eval(), images, _LEARNED)
    return [
        _layer(name, layer, before[name], seen[name])
        for name, layer in network.named_modules()
        if isinstance(layer, _LEARNED)
    ]


def _layer(name: str, layer: Learned, before: Learned, seen: Tensor) -> LearnedLayer:
    basis = None if isinstance(layer, GroupRational) else layer.basis
    radius: float | None = getattr(basis, "grid_range", None)
    middle = 0.0 if basis is None else basis.grid_centre
    grid = None if radius is None else (middle - radius, middle + radius)
    reach = max(*map(abs, grid or (0.0, 0.0)), float(np.quantile(seen.abs().numpy(), _SHOWN)), 1.0)
    z = torch.linspace(-reach, reach, POINTS)
    weights = weights_by_edge(layer)
    return LearnedLayer(
        name=name,
        basis=layer.name if isinstance(layer, ChannelActivation) else _name_of(layer.basis),
        kernel=() if isinstance(layer, ChannelActivation) else tuple(layer.weight.shape[2:]),
        z=_array(z),
        planes=_array(planes_at(layer, z)),
        weights=_array(weights),
        initial_planes=_array(planes_at(before, z)),
        initial_weights=_array(weights_by_edge(before)),
        ends=_array(planes_at(layer, torch.tensor([-1.0, 1.0]))),
        seen=_array(seen),
        grid=grid,
        importance=_array(edge_spreads(planes_at(layer, seen), weights)),
    )


def _name_of(basis: Basis) -> str:
    return next(name for name, known in BASES.items() if type(basis) is known)


def _array(tensor: Tensor) -> Array:
    return tensor.double().numpy()
