"""Networks by family: `MODELS`, `build_model`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from trials.config import ModelConfig
from trials.models.plain import Plain

__all__ = ["MODELS", "build_model"]

MODELS: dict[str, Callable[[ModelConfig, int, int, int], nn.Module]] = {"plain": Plain}


def build_model(config: ModelConfig, in_channels: int, image_size: int, classes: int) -> nn.Module:
    """The network that a configuration describes: (N, in_channels, image_size, image_size) -> (N, classes) logits."""
    return MODELS[config.family](config, in_channels, image_size, classes)
