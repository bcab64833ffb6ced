"""The eighteen networks that Convolutional-KANs measured on Fashion-MNIST, and its CKAN-BN."""

from __future__ import annotations

from typing import Any

from trials.presets.preset import Preset

__all__ = ["PRESETS"]

SOURCE = "arXiv 2406.13155; github.com/AntonioTepsich/Convolutional-KANs"
LINEAR_HEAD = "the published head has no activation between its two linear layers, and neither has this one"
SHAPE, PIXELS = (1, 28, 28, 10), "symmetric"
"""All were published with pixels in [-1, 1], which the splines of the first convolution cover."""
SIZES = {"small": 1, "medium": 2, "big": 2}
"""Channels of the second convolution over the first's 5."""


def _splines(grid_size: int, grid_range: float = 1.0, grid_centre: float = 0.0) -> dict[str, Any]:
    return {
        "name": "bspline", "grid_size": grid_size, "spline_order": 3, "grid_range": grid_range,
        "grid_centre": grid_centre,
    }  # fmt: skip


def _kan(grid_size: int, **more: Any) -> dict[str, Any]:
    """Efficient-KAN's layers and first weights: cubic splines on [-1, 1] in the convolutions, on [0, 1] in the
    classifier, a scaler for each edge, no bias."""
    classifier = {"classifier_basis": _splines(grid_size, 0.5, 0.5)} if "classifier" in more else {}
    return {
        "basis": _splines(grid_size),
        "spline_scaler": True,
        "init": "efficient_kan",
        "bias": False,
        **more,
        **classifier,
    }


def _preset(name: str, accuracy: float, parameters: int, explanation: str = "", **model: Any) -> Preset:
    published = {"accuracy": accuracy, "parameters": parameters}
    return Preset(name, {"family": "kanc", **model}, "fashion_mnist", SHAPE, SOURCE, published, explanation, PIXELS)


def _mlp(size: str, grid_size: int, accuracy: float, parameters: int) -> Preset:
    head = {"hidden": 100, "hidden_activation": "identity"} if size == "big" else {}
    model = _kan(grid_size, growth=SIZES[size], **head)
    name = f"kanc-mlp-{size}-gs{grid_size}"
    return _preset(name, accuracy, parameters, LINEAR_HEAD if head else "", **model)


def _kkan(size: str, grid_size: int, accuracy: float, parameters: int) -> Preset:
    model = _kan(grid_size, growth=SIZES[size], classifier="kan")
    return _preset(f"kkan-{size}-gs{grid_size}", accuracy, parameters, **model)


def _conv_kan(size: str, grid_size: int, accuracy: float, parameters: int) -> Preset:
    model = _kan(grid_size, growth=SIZES[size], classifier="kan", convolution="plain")
    return _preset(f"conv-kan-{size}-gs{grid_size}", accuracy, parameters, **model)


def _cnn(name: str, accuracy: float, parameters: int, **sizes: Any) -> Preset:
    return _preset(name, accuracy, parameters, basis={"name": "none"}, base_activation="relu", **sizes)


CKAN_BN = Preset(
    "ckan-bn-gs10",
    {"family": "kanc", **_kan(10, growth=5, hidden=256, hidden_activation="identity"), "normalization": "batch",
     "affine": True},
    "fashion_mnist",
    SHAPE,
    SOURCE,
    pixels=PIXELS,
    explanation="no figure is published; the published second convolution applies the same five kernels to each of its "
    "input channels by itself, this one sums over them with kernels for each",
)  # fmt: skip

PRESETS = (
    _cnn("cnn-small", 0.8710, 1_540, growth=1),
    _cnn("cnn-medium", 0.8834, 3_020),
    _cnn("cnn-medium-more-convs", 0.8956, 6_930, width=10),
    _cnn("cnn-big", 0.8944, 26_620, hidden=100),
    _mlp("small", 10, 0.8743, 5_310),
    _mlp("small", 20, 0.8815, 8_010),
    _mlp("medium", 10, 0.8899, 9_935),
    _mlp("medium", 20, 0.8890, 14_885),
    _mlp("big", 10, 0.8915, 33_535),
    _mlp("big", 20, 0.8911, 38_485),
    _kkan("small", 10, 0.8801, 22_800),
    _kkan("small", 20, 0.8794, 38_000),
    _kkan("medium", 10, 0.8791, 44_925),
    _kkan("medium", 20, 0.8856, 74_875),
    _conv_kan("small", 10, 0.8755, 19_030),
    _conv_kan("small", 20, 0.8767, 31_530),
    _conv_kan("medium", 10, 0.8792, 38_010),
    _conv_kan("medium", 20, 0.8790, 63_010),
    CKAN_BN,
)
