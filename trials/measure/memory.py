"""The most memory that a trial's tensors take at once, estimated on the meta device: nothing is allocated or trained.

    weights, gradients, optimizer state, the data set               all the time, unless it is streamed
    what autograd keeps of one batch                                until the backward pass has been there
    gradients and features of the layer at work                     for a moment

The peak is the largest sum over the layers in a backward pass, in an evaluation, and in an optimizer's step. What is
no tensor is not in it: the interpreter, a CUDA context, the workspaces of libraries. Only cuBLAS' are, as torch counts
them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trials.config import BasisConfig, OptimizerConfig, RegularizationConfig, TrialConfig
from trials.data.datasets import data_shape, training_images
from trials.data.held import augmentation_bytes, held_bytes
from trials.data.shape import DataShape
from trials.kan import Basis, GroupRational, SplineActivation, build_basis
from trials.kan.activation import ChannelActivation
from trials.kan.basis.basis import MOMENT_POINTS
from trials.kan.kernels.program import base_number, program_of
from trials.kan.kernels.rational import SUMS
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv
from trials.kan.recompute import Expansion, Recomputed, piece_bytes, piece_rows
from trials.measure.live import LiveBytes
from trials.measure.pixels import count_batch, evaluation_batch
from trials.models import build_network
from trials.models.normalization import is_wide
from trials.training.losses import losses
from trials.training.optim import optimizer_record
from trials.training.step import EVALUATION_BATCH, activation_penalties, working_precision

__all__ = ["CONTEXT_MIB", "estimate_memory"]

CONTEXT_MIB = 900
"""GPU memory that a process takes beside its tensors: a CUDA context, with the kernels it loads. On an H200 621 MiB
before the first kernel, 837 to 845 after a trial."""

_CUBLAS_BYTES = 32 * 2**20  # that torch gives cuBLASLt, and cuBLAS for each stream, on a Hopper GPU; less on others
_ELEMENTS = 4096  # that a basis is tried on; its constants vanish beside them


def estimate_memory(
    config: TrialConfig,
    device: str | None = None,
    threads: int = 1,
    network: nn.Module | None = None,
    data_dir: Path | None = None,
) -> float:
    """Peak memory of training `config`, MiB, as `torch.cuda.max_memory_allocated` counts it.

    device: "cpu" or "cuda"; None: the GPU where there is one. threads: the trial's CPU threads, on which the pieces of
    a KAN layer depend. network: the trial's, where it is on the meta device already; it is used up. data_dir: where a
    data set's files are looked for, if their number is not known. Raises what the network raises where it cannot be
    built or run.
    """
    kind = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    images = training_images(config.data, data_dir)
    held_out = round(images * config.data.validation)
    if network is None:
        with torch.device("meta"):
            network = build_network(config)
    parameters = [p.nbytes for p in network.parameters() if p.requires_grad]
    frozen = sum(p.nbytes for p in network.parameters() if not p.requires_grad)
    shape = data_shape(config.data)
    evaluated = evaluation_batch(EVALUATION_BATCH, shape.size) if shape.dense else EVALUATION_BATCH
    walk = _Walk(piece_bytes(kind, threads), min(evaluated, held_out), kind.type == "cuda")
    mixed = working_precision(config.numbers, kind) == torch.bfloat16
    if mixed:
        _compute_in_bfloat16(network)
    batch = torch.empty(min(config.data.batch_size, images - held_out), shape.channels, *shape.size, device="meta")
    labels = _labels(shape, len(batch))
    walk.through(network, batch, labels, config.regularization)
    if shape.dense:
        count = min(evaluated, held_out)
        walk.evaluating(network, *(each.new_empty(count, *each.shape[1:]) for each in (batch, labels)))
    weights = sum(parameters)
    state, step = _optimizer_bytes(config.optimizer, weights, max(parameters) if kind.type == "cpu" else weights)
    cast = weights // 2 if mixed else 0
    step = min(config.images_per_step, images - held_out)
    together = config.data.model_copy(update={"batch_size": config.images_per_step})
    waiting = (step - len(batch)) * batch[:1].numel() * 4  # images of a step's other batches, normalised
    data = held_bytes(together, images, kind, data_dir) + waiting
    bases = {_basis_of(each) for each in network.modules() if isinstance(each, KANLayer)}
    moments = max(map(_moment_bytes, bases), default=0) if config.model.init == "variance" else 0
    training = weights + state + max(walk.backward + cast, walk.evaluation + cast, step)
    augmenting = weights + state + augmentation_bytes(config.data, step, data_dir)
    library = 2 * _CUBLAS_BYTES if kind.type == "cuda" else 0
    return (weights + frozen + data + max(training, moments, augmenting) + library) / 2**20


def _labels(shape: DataShape, count: int) -> Tensor:
    """Classes of samples, or of their pixels, or the targets of a regression, on the meta device."""
    if shape.regression:
        return torch.empty(count, shape.classes, dtype=torch.float64, device="meta")
    return torch.empty(count, *(shape.size if shape.dense else ()), dtype=torch.int64, device="meta")


def _optimizer_bytes(config: OptimizerConfig, weights: int, at_once: int) -> tuple[int, int]:
    """Bytes that an optimizer holds all the time, and those it takes for its own step.

    at_once: weights that it updates together: all on a GPU, one tensor after the other on a CPU.
    """
    record = optimizer_record(config)
    return (
        record.state_copies(config) * weights,
        record.step_copies(config) * weights + record.update_copies * at_once,
    )


def _moment_bytes(basis: BasisConfig) -> float:
    """Bytes of the basis' moments, from which a KAN layer's first weights are drawn."""
    features = _feature_bytes(basis, None, "full", torch.float64)[0]
    return MOMENT_POINTS * (features + 3 * 8 * build_basis(basis).n_features)


class _Walk:
    """One batch's way through a network on the meta device: the most bytes of its backward pass, and of an evaluation.

    piece: bytes of features that a KAN layer makes at a time. evaluated: images of an evaluation's batch. kernels:
    whether Triton programs make the features, where there are any.
    """

    def __init__(self, piece: int, evaluated: int, kernels: bool) -> None:
        self.backward = 0.0
        self.evaluation = 0.0
        self._piece, self._evaluated, self._kernels = piece, evaluated, kernels
        self._kept: dict[int, torch.UntypedStorage] = {}  # held, so that no other takes its place
        self._parameters: set[int] = set()

    def through(self, network: nn.Module, batch: Tensor, labels: Tensor, regularization: RegularizationConfig) -> None:
        """Run the network forwards, in training."""
        self._parameters = {p.untyped_storage()._cdata for p in network.parameters()}
        self._keep(batch)
        handles = [each.register_forward_hook(self._layer) for each in network.modules() if _is_layer(each)]
        try:
            with (
                torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept),
                activation_penalties(network.train(), regularization) as penalties,
            ):
                terms = [losses(network(batch), labels, regularization)[1], *penalties]
        finally:
            for handle in handles:
                handle.remove()
        self.backward = max(self.backward, self._sum() + sum(term.nbytes for term in terms))

    def evaluating(self, network: nn.Module, batch: Tensor, labels: Tensor) -> None:
        """Run the network forwards, in evaluation, where a class is given to each pixel: what its skip connections hold
        is counted, and what counting pixels takes."""
        with LiveBytes(*network.parameters(), *network.buffers(), batch, labels) as live, torch.no_grad():

            def layer(module: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
                moment = self._moment(module, inputs[0], y, len(y))[0]
                self.evaluation = max(self.evaluation, live.now + moment)

            handles = [each.register_forward_hook(layer) for each in network.modules() if _is_layer(each)]
            try:
                logits = network.eval()(batch)
            finally:
                for handle in handles:
                    handle.remove()
            live.peak = live.now
            count_batch(logits, labels)
        self.evaluation = max(self.evaluation, live.peak)

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._parameters:
            self._kept[storage._cdata] = storage
        return tensor

    def _sum(self) -> int:
        return sum(storage.nbytes() for storage in self._kept.values())

    def _layer(self, layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        z = inputs[0]
        flow = z.nbytes + (0 if y.untyped_storage()._cdata == z.untyped_storage()._cdata else y.nbytes)
        backward = self._moment(layer, z, y, len(z))[1]
        forward = self._moment(layer, z, y, self._evaluated)[0]
        self.backward = max(self.backward, self._sum() + flow + backward)
        self.evaluation = max(self.evaluation, flow / len(z) * self._evaluated + forward)

    def _moment(self, layer: nn.Module, z: Tensor, y: Tensor, samples: int) -> tuple[float, float]:
        """Bytes that a layer takes by itself while `samples` pass it: forwards, and backwards."""
        if isinstance(layer, nn.Conv2d):
            copies = (_blocked(z) + _blocked(y)) / len(z) * samples
            return copies, copies
        if isinstance(layer, MixtureKANConv):
            expert, rows = layer.experts[0], samples
            assert isinstance(expert, KANLayer)
            weights = 2 * samples * expert.weight.nbytes  # each sample has its own, and the convolution a copy
        elif isinstance(layer, GroupRational):
            forward, backward = (0.0, 4 * SUMS / 32) if self._kernels else _rational_bytes(z.dtype)
            return forward * samples * z[0].numel(), backward * samples * z[0].numel()
        elif isinstance(layer, (KANLayer, SplineActivation)):
            expert, rows = layer, min(piece_rows(z, layer.planes, self._piece), samples)
            weights = 0
        else:
            return 0.0, 0.0
        planes = expert.planes * expert.weight.itemsize
        if self._kernels and layer is expert and _has_kernel(_basis_of(expert), expert):
            forward, backward = float(planes), float(2 * planes + z.itemsize)
            copies = planes if isinstance(layer, SplineActivation) else 0  # products, which are summed next
        else:
            perturbation = expert.perturbation if isinstance(expert, KANLayer) else None
            placement = perturbation.placement if perturbation else "full"
            base: Callable[[], nn.Module] | None = type(expert.base) if isinstance(expert.base, nn.Module) else None
            forward, backward = _feature_bytes(_basis_of(expert), base, placement, z.dtype)
            copies = planes if z.dim() > 2 else 0
        elements = rows * z[0].numel()
        joined = samples / len(z) if rows < samples else 0.0  # what the pieces yield is put together in the end
        return (
            (forward + copies) * elements + weights + joined * y.nbytes,
            (backward + copies) * elements + weights + joined * z.nbytes,
        )


def _has_kernel(basis: BasisConfig, layer: KANLayer | SplineActivation) -> bool:
    built = build_basis(basis)
    return program_of(built, [*built.parameters()]) is not None and base_number(layer.base) is not None


def _blocked(x: Tensor) -> float:
    """Bytes of a copy (N, C, H, W) -> C in blocks of 8, as convolutions make for themselves."""
    return x.nbytes / x.shape[1] * (-(-x.shape[1] // 8) * 8)


def _is_layer(module: nn.Module) -> bool:
    native = next(module.children(), None) is None and not isinstance(module, Basis)
    return native or isinstance(module, (KANLayer, MixtureKANConv, ChannelActivation))


def _basis_of(layer: KANLayer | SplineActivation) -> BasisConfig:
    """The layer's basis with its ranges and exponents as they are by default: they change no size."""
    basis = layer.basis.config
    assert basis is not None
    return type(basis)(**{key: value for key, value in basis if not isinstance(value, float)})


@cache
def _feature_bytes(
    basis: BasisConfig, base: Callable[[], nn.Module] | None, placement: str, dtype: torch.dtype
) -> tuple[float, float]:
    """Bytes for each element of z that a KAN layer takes for a moment, forwards and backwards: tried out."""
    with torch.device("meta"):
        expansion = Expansion(build_basis(basis), None if base is None else base())
        z = torch.empty(1, 1, _ELEMENTS, dtype=dtype, requires_grad=True)
        weight = torch.empty(1, dtype=dtype)
        inner = torch.empty(1, 1) if placement == "poly" else None
        outer = torch.empty(1, expansion.basis.n_features) if placement == "degree" else None
        with LiveBytes(z) as forward, torch.no_grad():
            expansion.planes(z, inner, outer, dtype)
        parameters = expansion.basis.parameters()
        y = Recomputed.apply(expansion, _NoProduct(), z, weight, None, inner, outer, False, *parameters)
        with LiveBytes(z, y) as backward:
            y.backward(y.detach())
    return forward.peak / _ELEMENTS, backward.peak / _ELEMENTS


@cache
def _rational_bytes(dtype: torch.dtype) -> tuple[float, float]:
    """The same of a rational activation."""
    with torch.device("meta"):
        layer = GroupRational(8)
        x = torch.empty(_ELEMENTS, 8, dtype=dtype, requires_grad=True)
        with LiveBytes(x) as forward:
            y = layer(x)
        with LiveBytes(x, y) as backward:
            y.backward(y.detach())
    return (forward.peak - y.nbytes) / x.numel(), (backward.peak - x.nbytes) / x.numel()


class _NoProduct:
    """A `Product` that takes no memory but for the gradient of its planes."""

    def forward(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return planes.new_empty(1)

    def backward(self, grad: Tensor, planes: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        return torch.empty_like(planes), None


def _compute_in_bfloat16(network: nn.Module) -> None:
    """Do what autocast does on a GPU, for the meta device, which knows no autocast: layers in bfloat16, norms not."""
    network.to(torch.bfloat16)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_pre_hook(lambda module, inputs: inputs[0].to(module.weight.dtype))
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)):
            module.float()
        if isinstance(module, nn.GroupNorm) or is_wide(module):
            module.register_forward_pre_hook(lambda module, inputs: inputs[0].float())
