"""Networks by family: `MODELS`, `build_model`; of a whole trial: `build_network`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trials.config import ModelConfig, TrialConfig
from trials.data.datasets import data_shape
from trials.data.shape import DataShape
from trials.models.alexnet import AlexNet
from trials.models.densenet import DenseNet
from trials.models.kanc import Kanc
from trials.models.mlp import MLP
from trials.models.network import Network
from trials.models.plain import Plain
from trials.models.resnet import ResNet
from trials.models.simple import Simple
from trials.models.u2net import U2Net
from trials.models.unet import UNet
from trials.models.vgg import VGG
from trials.task import task_problem
from trials.training.grids import follow_grids

__all__ = ["MODELS", "build_model", "build_network"]

MODELS: dict[str, Callable[[Any, DataShape], Network]] = {
    "alexnet": AlexNet,
    "densenet": DenseNet,
    "kanc": Kanc,
    "mlp": MLP,
    "plain": Plain,
    "resnet": ResNet,
    "simple": Simple,
    "u2net": U2Net,
    "unet": UNet,
    "vgg": VGG,
}
"""A family's network, from its own configuration."""

_SIGNALS = ("plain", "mlp")
"""The families that take samples of one dimension."""


def build_model(config: ModelConfig, shape: DataShape) -> Network:
    """The network that a configuration describes. (N, channels, *size) -> (N, classes) logits, or (N, classes, *size)
    where there is a class for each pixel, and in training a tuple of those where there is deep supervision.
    In a regression (N, classes) are numbers, standardised as the targets are.

    Raises ValueError where the family cannot take samples of that shape, or is made for another task.
    """
    if problem := task_problem(config.family, shape.dense, rows=not shape.size):
        raise ValueError(problem)
    if len(shape.size) != 2 and config.family not in _SIGNALS:
        raise ValueError(f"model.family={config.family} takes images, not signals; use {' or '.join(_SIGNALS)}")
    return MODELS[config.family](config, shape)


def build_network(config: TrialConfig) -> Network:
    """`build_model` for the data set of the trial, its features frozen where `start.freeze` says so.

    Where grids move while training, their ranges are part of its state. Its weights have the configuration's precision.
    """
    network = build_model(config.model, data_shape(config.data))
    if config.precision == "float64":
        network.double()
    if config.adapt_grid.times:
        follow_grids(network)
    if config.start.freeze == "features":
        network.freeze()
    return network
