"""Sizes of a network of the family `plain`, by formula: `trials.run.measure` without torch, in no time.

What a simulated search proposes is counted by this, thousands of times; a test holds it to what is built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from kansearch.errors import InputError

__all__ = ["Sizes", "features", "plain_sizes"]

_FEATURES: dict[str, Callable[[Mapping[str, Any]], int]] = {
    "bspline": lambda basis: basis["grid_size"] + basis["spline_order"],
    "relu": lambda basis: basis["grid_size"] + basis["spline_order"],
    "rbf": lambda basis: basis["grid_size"],
    "fourier": lambda basis: 2 * basis["grid_size"],
    "bernstein": lambda basis: basis["degree"] + basis.get("constant", True),  # recorded before it could be left out
    "wavelet": lambda basis: basis["count"],
    "none": lambda basis: 0,
}
_LEARNABLE = ("wavelet", "relu")
"""Bases with two parameters for each feature, which all channels of a layer share."""


class Sizes(NamedTuple):
    """Trainable parameters; multiply-adds times two of one image's forward pass; channels of the last convolution and
    inputs of the classifier."""

    parameters: int
    flops: int
    channels: int = 0
    inputs: int = 0

    def plus(self, weights: int, pixels: int, more: int = 0) -> Sizes:
        """With a map of so many weights, used once for each pixel, and so many other parameters."""
        return self._replace(parameters=self.parameters + weights + more, flops=self.flops + 2 * weights * pixels)


def features(basis: Mapping[str, Any]) -> int:
    """Functions of a basis; 0 of a plain network."""
    known = _FEATURES.get(basis["name"])
    return known(basis) if known else int(basis["degree"]) + bool(basis.get("constant"))


def plain_sizes(model: Mapping[str, Any], channels: int, side: int, classes: int) -> Sizes:
    """Sizes for square images. Raises InputError where `model`, a document of `TrialConfig.model`, is of another family
    or has what is not counted here."""
    if model["family"] != "plain" or model.get("experts") or model.get("spline_scaler"):
        raise InputError("only networks of the family plain, without experts and spline_scaler, are counted by formula")
    return _Counter(model).network(channels, side, classes)


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
        return 2 * features(basis) if basis["name"] in _LEARNABLE else 0

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
            sizes = self._layer(sizes, channels, out, before**2, side**2 if strided else before**2, layer == 0)
            channels, out = out, out * model["growth"] ** halved.count(layer)
        inputs = channels * side**2 if model["head"] == "flatten" else channels
        sizes = sizes._replace(channels=channels, inputs=inputs)
        return self._classifier(sizes, inputs, classes, self._norm(channels if self.plain else inputs))

    def _layer(self, sizes: Sizes, channels: int, out: int, before: int, after: int, first: bool) -> Sizes:
        """`before`, `after`: pixels of its input and output."""
        narrow = None if first else self.model["bottleneck"]
        area, bias = self.model["kernel_size"] ** 2, self.plain or bool(self.model["bias"])
        norm = 0 if first and self.plain else self._norm(channels)
        if not narrow:
            return sizes.plus(self.planes * channels * out * area, after, norm + bias * out + self.learnable)
        width = min(max(max(channels, out) // narrow, self.model["bottleneck_minimum"]), channels, out)
        sizes = sizes.plus(channels * width, before, norm + self._norm(width)).plus(width * out, after, bias * out)
        if self.plain:
            return sizes.plus(width**2 * area, after, self._norm(width))
        base = bool(self.model["base_branch"])
        sizes = sizes.plus((self.planes - base) * width**2 * area, after, bias * width + self.learnable)
        return sizes.plus(base * channels * out * area, after)

    def _norm(self, channels: int) -> int:
        affine = self.plain if self.model["affine"] is None else self.model["affine"]
        return 2 * channels if affine and self.model["normalization"] != "none" else 0

    def _classifier(self, sizes: Sizes, inputs: int, classes: int, norm: int) -> Sizes:
        if self.model["classifier"] == "kan" and not self.plain:
            own = bool(self.model["bias"]) * classes + self.learnable
            return sizes.plus(self.planes * inputs * classes, 1, norm + own)
        return sizes.plus(inputs * classes, 1, norm + classes)


def _halving_layers(depth: int, halvings: int, side: int) -> list[int]:
    """As `trials.models.plain.halving_layers`."""
    sides = [side // 2**j for j in range(1, halvings + 1)]
    return [-(-j * depth // (halvings + 1)) - 1 for j, left in enumerate(sides, 1) if left >= 2]
