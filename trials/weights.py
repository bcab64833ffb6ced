"""Weights in safetensors files, which cannot run code: of a network, or what a part of it starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from trials.config import AlexNetConfig, TrialConfig

__all__ = ["WeightsError", "load_pretrained", "load_weights"]

PREFIX = "features."


class WeightsError(ValueError):
    """A file of weights cannot be read, is another one, or is of another network; the message names it."""


def load_weights(path: Path, network: nn.Module) -> None:
    """Load the weights and buffers in a file into the network. Raises WeightsError."""
    try:
        tensors = _read(path.read_bytes(), str(path))
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror}") from error
    _check(tensors, network.state_dict(), f"{path}: weights of another network than the configuration's")
    network.load_state_dict(tensors)


def load_pretrained(config: TrialConfig, network: nn.Module) -> None:
    """Give the network's features the weights that `model.pretrained` names, where it does.

    Of the file those under `features.` are taken. Raises WeightsError.
    """
    if not isinstance(config.model, AlexNetConfig) or config.model.pretrained is None:
        return
    path, _, digest = config.model.pretrained.rpartition("@sha256:")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"pretrained: {path}: {error.strerror}; every machine must see that file") from error
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise WeightsError(f"pretrained: {path} has changed: its SHA-256 is {found[:12]}..., not {digest[:12]}...")
    tensors = {name: each for name, each in _read(data, f"pretrained: {path}").items() if name.startswith(PREFIX)}
    state = network.state_dict()
    wanted = {name: value for name, value in state.items() if name.startswith(PREFIX)}
    _check(tensors, wanted, f"pretrained: {path}: features of another network; same `width`?")
    network.load_state_dict({**state, **tensors})


def _read(data: bytes, name: str) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load(data)
    except SafetensorError as error:
        raise WeightsError(f"{name}: not a readable file of weights: {error}") from error
    return tensors


def _check(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], problem: str) -> None:
    for name in sorted(wanted.keys() | tensors.keys()):
        there, here = (str([*each[name].shape]) if name in each else "nothing" for each in (tensors, wanted))
        if there != here:
            raise WeightsError(f"{problem} ({name} is {there} there, {here} here)")
