"""The entry `compressed` of a compressed model's `model.json`, and the network that it and the weights stand for.

{"widths": {"blocks.0.0": 12}, "fast": {"blocks.1.1": {"kind": "table", "low": -4.0, "high": 4.0}}}

widths: channels of the layers that channels were taken out of. fast: the layers that are computed another way on a CPU,
"table" or "int8", and between which inputs. Weights of 8 bits are seen from the weights' file itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from torch import nn

from trials.kan.layer import KANLayer
from trials.saved.compress.channels import narrow_network
from trials.saved.compress.fast import (
    FastLayer,
    IntegerKAN,
    IntegerLayer,
    TabulatedKAN,
    can_be_integer,
    can_be_tabulated,
)
from trials.saved.compress.integers import integers_available

__all__ = ["COMPRESSED", "Fast", "accelerate", "build_fast", "describe", "restore_widths"]

COMPRESSED = "compressed"
"""The manifest's key."""


@dataclass(frozen=True)
class Fast:
    """How a layer is computed on a CPU where nothing is learned."""

    kind: Literal["table", "int8"]
    low: float
    high: float
    """Inputs from low to high are expected."""


def describe(widths: Mapping[str, int], fast: Mapping[str, Fast]) -> dict[str, Any]:
    """JSON-able, for the manifest."""
    return {"widths": dict(widths), "fast": {name: asdict(each) for name, each in fast.items()}}


def restore_widths(network: nn.Module, compressed: Any) -> dict[str, int]:
    """Give the network's layers the channels that the manifest tells; these. Raises ValueError or TypeError where it
    does not fit the network."""
    widths = dict(compressed.get("widths", {})) if isinstance(compressed, Mapping) else {}
    if widths:
        narrow_network(network, widths)
    return widths


def accelerate(network: nn.Module, compressed: Mapping[str, Any]) -> None:
    """Put the fast layers that the manifest tells in place of the exact ones, once the weights are loaded.

    Where this torch has no product of integers their layers stay exact. Raises KeyError, TypeError or ValueError where
    the manifest does not fit the network.
    """
    for name, fields in compressed.get("fast", {}).items():
        fast = Fast(**fields)
        layer = dict(network.named_modules())[name]
        if fast.kind != "int8" or integers_available():
            replace_layer(network, name, build_fast(layer, fast))


def build_fast(layer: nn.Module, fast: Fast) -> FastLayer:
    """The fast layer that stands for an exact one. Raises ValueError where there is none."""
    if fast.kind == "table" and isinstance(layer, KANLayer) and can_be_tabulated(layer):
        return TabulatedKAN(layer, fast.low, fast.high)
    if fast.kind == "int8" and can_be_integer(layer):
        kind = IntegerKAN if isinstance(layer, KANLayer) else IntegerLayer
        return kind(layer, fast.low, fast.high)  # type: ignore[arg-type]
    raise ValueError(f"no way {fast.kind!r} to compute a {type(layer).__name__}")


def replace_layer(network: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of that name."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)
