"""Weights that a part of a network starts from, out of a safetensors file."""

from __future__ import annotations

import hashlib
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from trials.config import AlexNetConfig, TrialConfig

__all__ = ["WeightsError", "load_pretrained"]

PREFIX = "features."


class WeightsError(ValueError):
    """A file of weights cannot be read, is another one, or is of another network; the message names it."""


def load_pretrained(config: TrialConfig, network: nn.Module) -> None:
    """Give the network's features the weights that `model.pretrained` names, where it does.

    The file is safetensors, which cannot run code; of it those under `features.` are taken. Raises WeightsError.
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
    try:
        tensors = {name: tensor for name, tensor in load(data).items() if name.startswith(PREFIX)}
    except SafetensorError as error:
        raise WeightsError(f"pretrained: {path}: not a safetensors file: {error}") from error
    wanted = {PREFIX + name: value.shape for name, value in network.get_submodule("features").state_dict().items()}
    for name in sorted(wanted.keys() | tensors.keys()):
        there, here = (str([*part]) if part is not None else "nothing" for part in (
            tensors[name].shape if name in tensors else None, wanted.get(name)
        ))  # fmt: skip
        if there != here:
            raise WeightsError(f"pretrained: {path}: {name} is {there} there, {here} in this network; same `width`?")
    network.load_state_dict({**network.state_dict(), **tensors})
