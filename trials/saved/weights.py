"""A network's weights in a safetensors file: numbers alone, which cannot run code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

__all__ = ["WeightsError", "check_shapes", "load_weights", "parse_weights", "save_weights"]


class WeightsError(ValueError):
    """A file of weights cannot be read, or is of another network; the message names the file."""


def save_weights(network: nn.Module, path: Path) -> None:
    """Write the weights and buffers of the network to `path`."""
    save_file({name: each.detach().cpu().contiguous().clone() for name, each in network.state_dict().items()}, path)


def load_weights(path: Path, network: nn.Module) -> None:
    """Load the weights and buffers in a file into the network. Raises WeightsError."""
    try:
        tensors = parse_weights(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(f"{path}: not a readable file of weights: {error.strerror}") from error
    check_shapes(tensors, network.state_dict(), f"{path}: weights of another network than the configuration's")
    network.load_state_dict(tensors)


def parse_weights(data: bytes, name: str) -> dict[str, Tensor]:
    """The tensors in the bytes of a file that is called `name`. Raises WeightsError."""
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise WeightsError(f"{name}: not a readable file of weights: {error}") from error
    return tensors


def check_shapes(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], problem: str) -> None:
    """Raises WeightsError, `problem` and the first name at fault, unless both have the same names and shapes."""
    for name in sorted(tensors.keys() | wanted.keys()):
        there, here = (str([*each[name].shape]) if name in each else "nothing" for each in (tensors, wanted))
        if there != here:
            raise WeightsError(f"{problem}: {name} is {there} there, {here} in this network")
