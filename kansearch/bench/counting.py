"""Sizes of a network of the family `plain`, by formula: `trials.training.measure` without torch, in no time.

This counts what a simulated search proposes, thousands of times. A test holds it to what is built, and, for
recordings from before KANs and plain networks had the same blocks, to the sizes that were recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kansearch.errors import InputError
from trials.config.basis import expands

__all__ = ["BLOCKS", "Sizes", "features", "plain_sizes"]

BLOCKS = 2
"""Version of the blocks that networks are built of: 2, the same for KANs and plain networks. Before that, 1."""
_FEATURES: dict[str, Callable[[Mapping[str, Any]], int]] = {
    "bspline": lambda basis: basis["grid_size"] + basis["spline_order"],
    "relu": lambda basis: basis["grid_size"] + basis["spline_order"],
    "rbf": lambda basis: basis["grid_size"],
    "fourier": lambda basis: 2 * basis["grid_size"],
    "bernstein": lambda basis: basis["degree"] + basis.get("constant", True),  # recorded before it could be left out
    "wavelet": lambda basis: basis["count"],
    "sine": lambda basis: basis["grid_size"],
    "none": lambda basis: 0,
}
_LEARNABLE = {"wavelet": 2, "relu": 2, "sine": 1}
"""Parameters for each feature of a basis, which all channels of a layer share; 2 of a learnable `rbf` as well."""


class Sizes(NamedTuple):
    """Trainable parameters; multiply-adds times two of one image's forward pass; channels of the last convolution and
    inputs of the classifier."""

    parameters: int
    flops: int
    channels: int = 0
    inputs: int = 0

    def plus(self, weights: int, pixels: int, more: int = 0) -> Sizes:
        """The sizes with another map of `weights` weights, used once for each pixel, and `more` other parameters."""
        return self._replace(parameters=self.parameters + weights + more, flops=self.flops + 2 * weights * pixels)


def features(basis: Mapping[str, Any]) -> int:
    """Functions of a basis; 0 of a plain network."""
    known = _FEATURES.get(basis["name"])
    return known(basis) if known else int(basis["degree"]) + bool(basis.get("constant"))


def plain_sizes(model: Mapping[str, Any], channels: int, side: int, classes: int, blocks: int = BLOCKS) -> Sizes:
    """Sizes for square images, of the network that a version with those `blocks` builds. Raises InputError where
    `model`, a document of `TrialConfig.model`, is of another family or has what is not counted here."""
    unknown = model.get("experts") or model.get("spline_scaler") or model.get("bottleneck_base", "narrow") != "narrow"
    basis = model["basis"]["name"]
    if model["family"] != "plain" or unknown or not (basis == "none" or expands(basis)):
        raise InputError(
            "only networks of the family plain, without experts, spline_scaler and bottleneck_base, of a basis that "
            "expands or none, are counted by formula"
        )
    counter = _Counter if blocks == BLOCKS else _EarlierCounter
    return counter(model).network(channels, side, classes)


@dataclass(frozen=True)
class _Counter:
    model: Mapping[str, Any]

    @property
    def plain(self) -> bool:
        return bool(self.model["basis"]["name"] == "none")

    @property
    def learnable(self) -> int:
        """Parameters of a layer's basis."""
        basis = self.model["basis"]
        return features(basis) * (2 if basis.get("learnable") else _LEARNABLE.get(basis["name"], 0))

    @property
    def planes(self) -> int:
        """Maps of a layer: of each function, and of the base branch."""
        return 1 if self.plain else features(self.model["basis"]) + self.model["base_branch"]

    def network(self, channels: int, side: int, classes: int) -> Sizes:
        model, sizes, out = self.model, Sizes(0, 0), int(self.model["width"])
        halved = _halving_layers(model["depth"], model["halvings"], side)
        strided = model["downsampling"] == "stride"
        for layer in range(model["depth"]):
            before, factor = side, 2 ** halved.count(layer)
            side = -(-side // factor) if strided else side // factor
            sizes = self.layer(sizes, channels, out, before**2, side**2 if strided else before**2, layer == 0)
            channels, out = out, out * model["growth"] ** halved.count(layer)
        inputs = channels * side**2 if model["head"] == "flatten" else channels
        return self.classifier(sizes._replace(channels=channels, inputs=inputs), classes)

    def layer(self, sizes: Sizes, channels: int, out: int, before: int, after: int, first: bool) -> Sizes:
        """`before`, `after`: pixels of its input and output."""
        area, bias = self.model["kernel_size"] ** 2, bool(self.model["bias"])
        norm = 0 if first and not self.model["normalize_input"] else self.norm(channels)
        if first or not self.model["bottleneck"]:
            return sizes.plus(self.planes * channels * out * area, after, norm + bias * out + self.learnable)
        width = self.width(channels, out)
        sizes = sizes.plus(channels * width, before, norm + self.norm(width)).plus(width * out, after, bias * out)
        return sizes.plus(self.planes * width**2 * area, after, self.norm(width) + self.learnable)

    def width(self, channels: int, out: int) -> int:
        """Channels of a bottleneck."""
        narrow, least = self.model["bottleneck"], self.model["bottleneck_minimum"]
        return int(min(max(max(channels, out) // narrow, least), channels, out))

    def norm(self, channels: int) -> int:
        return 2 * channels if self.model["affine"] and self.model["normalization"] != "none" else 0

    def classifier(self, sizes: Sizes, classes: int) -> Sizes:
        kan = self.model["classifier"] == "kan"
        norm = self.norm(sizes.channels) + (self.norm(sizes.inputs) if kan and self.model["head"] == "pool" else 0)
        planes = self.planes if kan else 1
        own = (classes if self.model["bias"] or not kan else 0) + (self.learnable if kan else 0)
        return sizes.plus(planes * sizes.inputs * classes, 1, norm + own)


class _EarlierCounter(_Counter):
    """The blocks 1, whose KANs had norms without parameters, a base branch of full width and another head."""

    def layer(self, sizes: Sizes, channels: int, out: int, before: int, after: int, first: bool) -> Sizes:
        area, bias = self.model["kernel_size"] ** 2, self.plain or bool(self.model["bias"])
        norm = 0 if first else self.norm(channels)
        if first or not self.model["bottleneck"]:
            return sizes.plus(self.planes * channels * out * area, after, norm + bias * out + self.learnable)
        width = self.width(channels, out)
        sizes = sizes.plus(channels * width, before, norm + self.norm(width)).plus(width * out, after, bias * out)
        if self.plain:
            return sizes.plus(width**2 * area, after, self.norm(width))
        base = bool(self.model["base_branch"])
        sizes = sizes.plus((self.planes - base) * width**2 * area, after, bias * width + self.learnable)
        return sizes.plus(base * channels * out * area, after)

    def norm(self, channels: int) -> int:
        """The recorded spaces say nothing of `affine`, which a plain network alone had."""
        return 2 * channels if self.plain and self.model["normalization"] != "none" else 0

    def classifier(self, sizes: Sizes, classes: int) -> Sizes:
        if self.model["classifier"] == "kan" and not self.plain:
            own = bool(self.model["bias"]) * classes + self.learnable
            return sizes.plus(self.planes * sizes.inputs * classes, 1, own)
        return sizes.plus(sizes.inputs * classes, 1, self.norm(sizes.channels) + classes)


def _halving_layers(depth: int, halvings: int, side: int) -> list[int]:
    """The same as `trials.models.plain.halving_layers`."""
    sides = [side // 2**j for j in range(1, halvings + 1)]
    return [-(-j * depth // (halvings + 1)) - 1 for j, left in enumerate(sides, 1) if left >= 2]
