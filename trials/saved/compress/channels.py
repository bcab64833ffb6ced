"""Channels taken out of networks that are a chain of layers: everything that follows a channel goes with it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import singledispatch

import torch
from torch import Tensor, nn

from trials.kan.activation import ChannelActivation
from trials.kan.bottleneck import BottleneckKANConv
from trials.kan.layer import KANLayer
from trials.kan.mixture import MixtureKANConv
from trials.kan.power import PowerLayer
from trials.models.alexnet import AlexNet
from trials.models.kanc import Kanc
from trials.models.layers import GlobalAverage
from trials.models.plain import Plain
from trials.models.simple import Simple
from trials.models.vgg import VGG
from trials.saved.compress.prune import LayerEdges, remove_edges
from trials.training.edges import LINEAR

__all__ = ["cut_channels", "narrow_network", "prune_channels"]

_LAYERS = (KANLayer, *LINEAR, BottleneckKANConv, MixtureKANConv, PowerLayer)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.GroupNorm)
_CHAINS: dict[type[nn.Module], tuple[str, ...]] = {
    AlexNet: ("features", "", "classifier"), Kanc: ("blocks", "", "head"), Plain: ("blocks", "head"),
    Simple: ("blocks", "head"), VGG: ("blocks", "head"),
}  # fmt: skip
"""The parts of the networks that are chains; "" stands for flattening."""

Links = list[tuple[str, nn.Module]]


def prune_channels(network: nn.Module, edges: Sequence[LayerEdges], share: float) -> dict[str, int]:
    """Take the least important `share` of its channels out of each layer but the last; how many are left of each.

    The importance of a channel is the norm of the functions that read it, the square root of their summed variances:
    a normalisation between hides the scale that the channel itself has. The means of those functions go into the bias
    that follows, so that with a normalisation of each channel by itself, or none, the network computes what it did with
    these functions at zero. Raises ValueError for a network that is no chain, or has grouped convolutions.
    """
    if not 0 <= share < 1:
        raise ValueError(f"0 <= share < 1 must hold, got {share}")
    keep = {}
    for (name, layer), (reader, _) in itertools.pairwise(_layers(network).items()):
        width = _width(layer)
        readers = [each for each in edges if _reads(each.name, reader)]
        scores = torch.stack([_read_share(each, width) for each in readers]).sum(0)
        keep[name] = scores.argsort(descending=True, stable=True)[: width - math.floor(share * width)].sort().values
        for each in readers:
            remove_edges(each, _edges_of(each, width, keep[name]))
    cut_channels(network, keep)
    return {name: len(kept) for name, kept in keep.items()}


def narrow_network(network: nn.Module, widths: Mapping[str, int]) -> None:
    """Give layers so many channels; whichever, for weights that are loaded next. Raises ValueError where they do not
    fit the network."""
    layers = _layers(network)
    for name, width in widths.items():
        if name not in [*layers][:-1] or not isinstance(width, int) or not 0 < width <= _width(layers[name]):
            raise ValueError(f"no layer {name!r} of {width!r} channels fits the network")
    cut_channels(network, {name: torch.arange(width) for name, width in widths.items()})


def cut_channels(network: nn.Module, keep: Mapping[str, Tensor]) -> None:
    """Leave these output channels, ascending, of each layer named, and what belongs to them in all that follows."""
    _layers(network)
    kept, width, spatial = torch.arange(0), 0, True  # of the layer before; `kept` is empty before the first

    def followed(features: int) -> Tensor:
        """The features, pixel by pixel of each channel where flattened, of the channels that are kept."""
        pixels = features // width
        return (kept[:, None] * pixels + torch.arange(pixels)).flatten()

    for name, module in _chain(network):
        if isinstance(module, _LAYERS):
            if width:
                _take_inputs(module, followed(_inputs(module)))
            width = _width(module)
            kept = keep.get(name, torch.arange(width))
            _take_outputs(module, kept)
        elif isinstance(module, _NORMS) and width:
            _take_norm(module, followed(_features(module)), spatial)
        elif isinstance(module, ChannelActivation) and width:
            module.keep(followed(module.channels))
        elif isinstance(module, (nn.Flatten, GlobalAverage)):
            spatial = False


def _chain(network: nn.Module) -> Links:
    parts = _CHAINS.get(type(network))
    if parts is None:
        families = ", ".join(sorted(kind.__name__.lower() for kind in _CHAINS))
        raise ValueError(
            f"channels can be taken out of chains alone, families {families}; this is {type(network).__name__}"
        )
    links: Links = []
    for part in parts:
        links += _leaves(part, network.get_submodule(part)) if part else [("", nn.Flatten())]
    return links


def _layers(network: nn.Module) -> dict[str, nn.Module]:
    """The layers of the chain, each bottleneck or mixture being one. Raises ValueError where one is grouped."""
    layers: dict[str, nn.Module] = {name: each for name, each in _chain(network) if isinstance(each, _LAYERS)}
    for layer in layers.values():
        groups = max(getattr(each, "groups", 1) for each in layer.modules())
        if groups > 1:
            raise ValueError(f"channels cannot be taken out of grouped convolutions, groups={groups}")
    return layers


def _leaves(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    for child, each in module.named_children():
        yield from _leaves(f"{name}.{child}", each)


def _reads(edges: str, reader: str) -> bool:
    """Whether these are edges of a layer, or of a part of it, that read its inputs."""
    if edges == reader:
        return True
    inner = edges.removeprefix(f"{reader}.")
    return inner != edges and (inner in ("down", "base_conv", "rectified", "base") or inner.startswith("experts."))


def _read_share(edges: LayerEdges, width: int) -> Tensor:
    """Share of each channel's functions in the variance of all: (width,)."""
    variance = edges.spread.square().sum((0, 2)).view(width, -1).sum(1)
    return variance / variance.sum().clamp(min=torch.finfo(variance.dtype).tiny)


def _edges_of(edges: LayerEdges, width: int, kept: Tensor) -> Tensor:
    """The edges that read a channel that is not kept: (O, I, K), bool."""
    gone = torch.ones(width, dtype=torch.bool)
    gone[kept] = False
    inputs = gone.repeat_interleave(edges.spread.shape[1] // width)
    return inputs[None, :, None].expand_as(edges.spread)


def _inputs(layer: nn.Module) -> int:
    if isinstance(layer, BottleneckKANConv):
        return layer.down.in_channels
    if isinstance(layer, MixtureKANConv):
        return _inputs(layer.experts[0])
    if isinstance(layer, PowerLayer):
        return _inputs(layer.base)
    size = getattr(layer, "in_channels", None)
    return int(layer.in_features if size is None else size)  # type: ignore[arg-type]


def _width(layer: nn.Module) -> int:
    """Output channels of a layer."""
    if isinstance(layer, BottleneckKANConv):
        return layer.up.out_channels
    if isinstance(layer, MixtureKANConv):
        return _width(layer.experts[0])
    if isinstance(layer, PowerLayer):
        return _width(layer.base)
    return len(layer.get_parameter("weight"))


def _features(norm: nn.Module) -> int:
    return int(norm.num_channels if isinstance(norm, nn.GroupNorm) else norm.num_features)  # type: ignore[arg-type]


@singledispatch
def _take_inputs(layer: nn.Module, chosen: Tensor) -> None:
    """Leave these inputs of a layer."""
    planes = layer.planes if isinstance(layer, KANLayer) else 1
    offsets = torch.arange(planes)[:, None] * _inputs(layer)  # function k of channel c is at k·C + c
    _replace(layer, "weight", lambda weight: weight[:, (offsets + chosen).flatten()])
    _replace(layer, "spline_scaler", lambda scaler: scaler[:, chosen])
    name = "in_channels" if hasattr(layer, "in_channels") else "in_features"
    setattr(layer, name, len(chosen))


@_take_inputs.register
def _(layer: BottleneckKANConv, chosen: Tensor) -> None:
    _take_inputs(layer.down, chosen)
    if layer.base_conv is not None:
        _take_inputs(layer.base_conv, chosen)


@_take_inputs.register
def _(layer: MixtureKANConv, chosen: Tensor) -> None:
    for part in (*layer.experts, layer.gate):
        _take_inputs(part, chosen)


@_take_inputs.register
def _(layer: PowerLayer, chosen: Tensor) -> None:
    for part in (layer.rectified, layer.base):
        _take_inputs(part, chosen)


@singledispatch
def _take_outputs(layer: nn.Module, chosen: Tensor) -> None:
    """Leave these outputs of a layer."""
    for name in ("weight", "bias", "spline_scaler"):
        _replace(layer, name, lambda each: each[chosen])
    name = "out_channels" if hasattr(layer, "out_channels") else "out_features"
    setattr(layer, name, len(chosen))


@_take_outputs.register
def _(layer: BottleneckKANConv, chosen: Tensor) -> None:
    _take_outputs(layer.up, chosen)
    if layer.base_conv is not None:
        _take_outputs(layer.base_conv, chosen)


@_take_outputs.register
def _(layer: MixtureKANConv, chosen: Tensor) -> None:
    for expert in layer.experts:
        _take_outputs(expert, chosen)


@_take_outputs.register
def _(layer: PowerLayer, chosen: Tensor) -> None:
    for part in (layer.rectified, layer.base):
        _take_outputs(part, chosen)


def _take_norm(norm: nn.Module, chosen: Tensor, spatial: bool) -> None:
    for name in ("weight", "bias", "running_mean", "running_var"):
        _replace(norm, name, lambda each: each[chosen])
    if isinstance(norm, nn.GroupNorm):
        groups = math.gcd(norm.num_groups, len(chosen))
        norm.num_groups = groups if spatial or len(chosen) > groups else 1  # no group of one number
        norm.num_channels = len(chosen)
    else:
        norm.num_features = len(chosen)  # type: ignore[assignment]


def _replace(module: nn.Module, name: str, change: Callable[[Tensor], Tensor]) -> None:
    """Put the changed tensor in place of a parameter or buffer, where there is one."""
    old: Tensor | None = getattr(module, name, None)
    if old is None:
        return
    new = change(old.detach()).contiguous()
    setattr(module, name, nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new)
