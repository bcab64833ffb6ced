"""The weights that a network's features start from, out of a safetensors file with a known hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor, nn

from trials.config import AlexNetConfig, TrialConfig
from trials.weights import WeightsError, check_shapes, parse_weights

__all__ = ["load_pretrained"]

PREFIX = "features."


def load_pretrained(config: TrialConfig, network: nn.Module) -> None:
    """Give the network's features the weights that `model.pretrained` names, where it does.

    Of the file, what stands under `features.` is taken. Raises WeightsError where it cannot be read, has another hash,
    or is of another network.
    """
    if not isinstance(config.model, AlexNetConfig) or config.model.pretrained is None:
        return
    path, _, digest = config.model.pretrained.rpartition("@sha256:")
    state, own = network.state_dict(), _read(Path(path), digest)
    features = {name: each for name, each in state.items() if name.startswith(PREFIX)}
    check_shapes(own, features, f"pretrained: {path}: features of another network; same `width`?")
    network.load_state_dict({**state, **own})


def _read(path: Path, digest: str) -> dict[str, Tensor]:
    """The features in a file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"pretrained: {path}: {error.strerror}; every machine must see that file") from error
    if (found := hashlib.sha256(data).hexdigest()) != digest:
        raise WeightsError(f"pretrained: {path} has changed: its SHA-256 is {found[:12]}..., not {digest[:12]}...")
    tensors = parse_weights(data, f"pretrained: {path}")
    return {name: each for name, each in tensors.items() if name.startswith(PREFIX)}
