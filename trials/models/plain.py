"""The model family `plain`: convolution blocks one after the other, then a head."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from trials.config import PlainModelConfig
from trials.data.shape import DataShape
from trials.models.layers import build_block, build_head
from trials.models.network import Network

__all__ = ["Plain", "halving_layers"]

_POOLS: dict[tuple[str, int], type[nn.Module]] = {
    ("max_pool", 1): nn.MaxPool1d, ("max_pool", 2): nn.MaxPool2d,
    ("avg_pool", 1): nn.AvgPool1d, ("avg_pool", 2): nn.AvgPool2d,
}  # fmt: skip


def halving_layers(depth: int, halvings: int, side: int) -> list[int]:
    """The layers, from 0, after which the image is halved: ceil(j · depth / (halvings + 1)) - 1 for j = 1..halvings.

    A layer that occurs twice quarters the image. A halving that would leave a side of less than 2 pixels is left out.
    """
    layers = []
    for j in range(1, halvings + 1):
        side //= 2
        if side >= 2:
            layers.append(-(-j * depth // (halvings + 1)) - 1)
    return layers


class Plain(Network):
    """`depth` convolutions of `width` channels, times `growth` after each halving, then a pooled or flattened head.

    Each block is `build_block`, and pooling after it where the image is halved; the head is `build_head`. Without a
    basis it is the control: the pre-activation form of the usual network, with exactly its layers. `halving_layers`
    says where the image is halved: by the layer's own stride, or by pooling after it. With `bottleneck`, every layer
    but the first works on `bottleneck_width` channels.
    """

    def __init__(self, config: PlainModelConfig, shape: DataShape) -> None:
        super().__init__()
        size, dims = shape.size, len(shape.size)
        halvings = halving_layers(config.depth, config.halvings, min(size))
        strided = config.downsampling == "stride"
        blocks: list[nn.Module] = []
        channels, out = shape.channels, config.width
        for layer in range(config.depth):
            factor = 2 ** halvings.count(layer)
            where: dict[str, Any] = {
                "kernel_size": config.kernel_size,
                "stride": factor if strided else 1,
                "dims": dims,
            }
            block = build_block(config, channels, out, first=layer == 0, **where)
            if factor > 1 and not strided:
                block.append(_POOLS[config.downsampling, dims](factor))
            blocks.append(block)
            size = tuple(-(-side // factor) if strided else side // factor for side in size)
            channels, out = out, out * config.growth ** halvings.count(layer)
        self.blocks = nn.Sequential(*blocks)
        flatten, kan = config.head == "flatten", config.classifier == "kan"
        self.head = build_head(config, channels, size, shape.classes, flatten=flatten, kan=kan)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))  # (N, C, *size) -> (N, classes)
        return logits
