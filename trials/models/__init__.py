"""Networks by family: `MODELS`, `build_model`; of a whole trial: `build_network`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from trials.config import ModelConfig, TrialConfig
from trials.data.datasets import DATASETS
from trials.models.plain import Plain

__all__ = ["MODELS", "build_model", "build_network"]

MODELS: dict[str, Callable[[ModelConfig, int, int, int], nn.Module]] = {"plain": Plain}


def build_model(config: ModelConfig, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """The network that a configuration describes: (N, in_channels, image_size, image_size) -> (N, classes) logits."""
    return MODELS[config.family](config, in_channels, image_size, classes)


def build_network(config: TrialConfig) -> nn.Module:
    """`build_model` for the images and classes of the trial's data set."""
    dataset = DATASETS[config.data.dataset]
    return build_model(config.model, dataset.channels, dataset.image_size, dataset.classes)
