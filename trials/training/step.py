"""One optimizer step, and one pass of evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trials.config import LossConfig, RegularizationConfig
from trials.data.loader import evaluation_batches
from trials.data.splits import Split
from trials.kan.mixture import MixtureKANConv
from trials.measure.pixels import count_pixels
from trials.measure.regression import predict_numbers, regression_scores
from trials.measure.scores import pixel_scores, sample_scores
from trials.training.distributed import ALONE, Processes
from trials.training.edges import edged_layers, weights_by_edge
from trials.training.losses import MSE, losses

__all__ = [
    "EVALUATION_BATCH",
    "activation_penalties",
    "autocast",
    "backward",
    "entropy_penalty",
    "l1_penalty",
    "measure",
    "measure_pixels",
    "predict",
    "train_step",
    "working_precision",
]

EVALUATION_BATCH = 512
"""Images at once where nothing is learned."""


def train_step(
    model: nn.Module,
    optimizer: Optimizer,
    regularization: RegularizationConfig,
    images: Tensor,
    labels: Tensor,
    precision: torch.dtype = torch.float32,
    processes: Processes = ALONE,
    share: float = 1.0,
    parts: int = 1,
    summed: bool = False,
    regression: LossConfig = MSE,
) -> Tensor:
    """One step of the optimizer; the loss without penalties before it, on the device and without waiting for it.

    With several processes the model is `Processes.wrap`'s, and these images and their loss are `share` of the batch's.
    The losses of all processes, each times its share, are to be summed. A closure, because L-BFGS evaluates the loss
    several times a step. parts, regression: `backward`'s. summed: the optimizer compares losses, and needs those of
    all processes.
    """
    losses = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        weight = share * processes.size
        loss, penalised = backward(model, regularization, images, labels, precision, weight, parts, regression)
        losses.append(loss)
        return processes.sum(penalised * share) if summed else penalised

    optimizer.step(closure)  # type: ignore[arg-type]
    return losses[0]


def backward(
    model: nn.Module,
    regularization: RegularizationConfig,
    images: Tensor,
    labels: Tensor,
    precision: torch.dtype,
    weight: float = 1.0,
    parts: int = 1,
    regression: LossConfig = MSE,
) -> tuple[Tensor, Tensor]:
    """Add the gradients of the loss with its penalties, times `weight`, to the parameters'; the output's own loss, and
    all of it.

    parts: as many parts of the batch, of sizes that differ by one at most, pass one after the other. Their losses,
    each times its share of the images, are summed: for a mean over images it is the whole batch's. regression: the loss
    where labels are numbers.
    """
    if parts > 1:
        terms: list[tuple[Tensor, Tensor]] = []
        for some, theirs in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
            share = len(some) / len(images)
            of_part = backward(model, regularization, some, theirs, precision, weight * share, 1, regression)
            terms.append((of_part[0] * share, of_part[1] * share))
        plain, penalised = (torch.stack(each).sum() for each in zip(*terms, strict=True))
        return plain, penalised
    with autocast(images.device, precision), activation_penalties(model, regularization) as penalties:
        outputs = model(images)
    loss, penalised = losses(outputs, labels, regularization, regression)
    if regularization.l1_weight:
        penalised = penalised + regularization.l1_weight * l1_penalty(model)
    if regularization.edge_entropy:
        penalised = penalised + regularization.edge_entropy * entropy_penalty(model)
    for penalty in penalties:
        penalised = penalised + penalty
    weighted = penalised if weight == 1 else penalised * weight
    weighted.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), penalised.detach()


def l1_penalty(model: nn.Module) -> Tensor:
    """Σ|w| over the weights of every KAN, convolution and linear layer, both branches; 0 where there is none."""
    weights = [layer.get_parameter("weight") for layer in edged_layers(model).values()]
    return torch.stack([weight.abs().sum() for weight in weights]).sum() if weights else torch.zeros(())


def entropy_penalty(model: nn.Module) -> Tensor:
    """-Σ q log q of each KAN, convolution and linear layer, in nats, summed over them; 0 where there is none.

    q is an edge's Σ|w| over its layer's. A layer of E edges that are alike has log E, one of a single edge 0. The KAN
    paper (arXiv 2404.19756) takes mean activations for norms; weights stand for them here as in Efficient-KAN.
    """
    norms = [weights_by_edge(layer).abs().sum(2) for layer in edged_layers(model).values()]
    tiny = 1e-12  # an edge at zero has no gradient, where that of -q log q has no end
    entropies = [torch.special.entr((norm / norm.sum().clamp(min=tiny)).clamp(min=tiny)).sum() for norm in norms]
    return torch.stack(entropies).sum() if entropies else torch.zeros(())


@contextmanager
def activation_penalties(model: nn.Module, regularization: RegularizationConfig) -> Iterator[list[Tensor]]:
    """A list that the forward passes inside fill with the penalties on activations, each times its coefficient.

    Of each KAN, convolution and linear layer the mean |y| and the mean y² of its outputs, of each mixture of experts
    its load-balance loss.
    """
    penalties: list[Tensor] = []
    l1, l2, balance = regularization.l1_activation, regularization.l2_activation, regularization.load_balance

    def of_layer(layer: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        penalties.extend([l1 * y.float().abs().mean()] if l1 else [])
        penalties.extend([l2 * y.float().square().mean()] if l2 else [])

    def of_mixture(mixture: nn.Module, inputs: tuple[Tensor, ...], y: Tensor) -> None:
        assert isinstance(mixture, MixtureKANConv)
        penalties.append(balance * mixture.load_balance(inputs[0]))
        of_layer(mixture, inputs, y)

    layers = edged_layers(model).values() if l1 or l2 else []
    mixtures = [module for module in model.modules() if isinstance(module, MixtureKANConv)]
    handles = [layer.register_forward_hook(of_layer) for layer in layers]
    handles += [mixture.register_forward_hook(of_mixture) for mixture in mixtures]
    try:
        yield penalties
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def measure(
    model: nn.Module, split: Split, precision: torch.dtype = torch.float32, regression: LossConfig = MSE
) -> Tensor:
    """`sample_scores` of the model in eval mode, on the device; `pixel_scores` where each pixel has a class,
    `regression_scores` of numbers."""
    if split.targets is not None:
        return regression_scores(predict_numbers(model, split, EVALUATION_BATCH), split, regression)
    if split.dense:
        return pixel_scores(*measure_pixels(model, split, precision))
    return sample_scores(predict(model, split, precision), split.labels)


def measure_pixels(model: nn.Module, split: Split, precision: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """`count_pixels` of the model in eval mode."""
    model.eval()
    with autocast(split.device, precision):
        return count_pixels(model, split, EVALUATION_BATCH)


@torch.no_grad()
def predict(model: nn.Module, split: Split, precision: torch.dtype = torch.float32) -> Tensor:
    """Logits (N, classes), float32, of every image of the split, the model in eval mode."""
    model.eval()
    with autocast(split.device, precision):
        return torch.cat([model(images).float() for images, _ in evaluation_batches(split, EVALUATION_BATCH)])


def working_precision(name: str, device: torch.device) -> torch.dtype:
    """The type of numbers that a configuration's `precision` means on a device."""
    if name == "auto":
        name = "bfloat16" if device.type == "cuda" else "float32"
    return {"bfloat16": torch.bfloat16, "float64": torch.float64}.get(name, torch.float32)


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Mixed precision where `precision` is bfloat16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == torch.bfloat16)
