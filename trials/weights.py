"""A network's weights in a safetensors file: numbers alone, which cannot run code."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

__all__ = ["WeightsError", "load_weights"]


class WeightsError(ValueError):
    """A file of weights cannot be read, or is of another network; the message names the file."""


def load_weights(path: Path, network: nn.Module) -> None:
    """Load the weights and buffers in a safetensors file into the network. Raises WeightsError."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: not a readable file of weights: {error}") from error
    expected = network.state_dict()
    if state.keys() != expected.keys():
        missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
        found = f"without {missing[0]}" if missing else f"with {unknown[0]}"
        raise WeightsError(f"{path}: weights of another network than the configuration's: {found}")
    for name, value in state.items():
        if value.shape != expected[name].shape:
            shapes = f"{name} is {tuple(value.shape)}, not {tuple(expected[name].shape)}"
            raise WeightsError(f"{path}: weights of another network than the configuration's: {shapes}")
    network.load_state_dict(state)
