"""The weights that a network starts from, out of a safetensors file with a known hash.

start.weights       a trained network of the same model: all of it, but for a head that is for other classes
model.pretrained    of AlexNet's family: the features alone, whatever the head is
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from trials.config import AlexNetConfig, TrialConfig
from trials.models import build_network
from trials.models.network import Network
from trials.saved.weights import WeightsError, check_shapes, parse_weights

__all__ = ["check_start", "load_pretrained"]

PREFIX = "features."
_log = logging.getLogger(__name__)


def load_pretrained(config: TrialConfig, network: nn.Module) -> None:
    """Give the network the weights that `start.weights` or `model.pretrained` names, where one of them does.

    A head that stays random is logged; `check_start` tells it beforehand. Raises WeightsError where the file cannot be
    read, has another hash, or is of another network.
    """
    state = network.state_dict()
    if config.start.weights is not None:
        assert isinstance(network, Network)
        own = _fitting(config.start.weights, network)
        if len(own) < len(state):
            _log.info("%s", _random_head(config.start.weights))
    elif isinstance(config.model, AlexNetConfig) and config.model.pretrained is not None:
        path, tensors = _read(config.model.pretrained, "pretrained")
        own = {name: each for name, each in tensors.items() if name.startswith(PREFIX)}
        features = {name: each for name, each in state.items() if name.startswith(PREFIX)}
        check_shapes(own, features, f"pretrained: {path}: features of another network; same `width`?")
    else:
        return
    network.load_state_dict({**state, **own})


def check_start(config: TrialConfig) -> str | None:
    """Look at what `start.weights` names before anything is trained: a line for the user where the head stays random,
    None where all fits. Raises WeightsError as `load_pretrained` does."""
    if config.start.weights is None:
        return None
    with torch.device("meta"):
        network = build_network(config)
    fitting = _fitting(config.start.weights, network)
    return None if len(fitting) == len(network.state_dict()) else _random_head(config.start.weights)


def _fitting(pinned: str, network: Network) -> dict[str, Tensor]:
    """The tensors in a file that the network can start from: all of them, or the features alone."""
    path, tensors = _read(pinned, "start.weights")
    state = network.state_dict()
    if {name: each.shape for name, each in tensors.items()} == {name: each.shape for name, each in state.items()}:
        return tensors
    own, features = (
        {name: each for name, each in some.items() if not network.in_head(name)} for some in (tensors, state)
    )
    check_shapes(own, features, f"start.weights: {path}: weights of another network than the configuration's")
    return own


def _random_head(pinned: str) -> str:
    return f"the head of {pinned.rpartition('@')[0]} does not fit this network: the head starts from random weights"


def _read(pinned: str, key: str) -> tuple[str, dict[str, Tensor]]:
    """The path, and the tensors in the file."""
    path, _, digest = pinned.rpartition("@sha256:")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{key}: {path}: {error.strerror}; every machine must see that file") from error
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise WeightsError(f"{key}: {path} has changed: its SHA-256 is {found[:12]}..., not {digest[:12]}...")
    return path, parse_weights(data, f"{key}: {path}")
