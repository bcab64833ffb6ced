"""KAN convolutions in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Unpack

import torch
from torch import Tensor
from torch.nn import functional as F

from trials.kan.layer import KANLayer, LayerOptions

__all__ = ["KANConv", "KANConv1d", "KANConv2d", "KANConv3d"]

Size = int | Sequence[int]
MANY_OUTPUTS = 32


class KANConv(KANLayer):
    """A KAN convolution of `dims` dimensions: (N, C, *spatial) -> (N, O, *spatial'), torch.nn's argument names.

    The input is expanded into P·C channels and ONE native convolution follows. `pad` says what is padded with zeros:
    the "features" after expansion, or the "input" before it, as Convolutional-KANs does. Parameters: O · C/groups · P ·
    kernel elements + O. `KANLayer` has the formula and the initial weights. Raises ValueError where `groups` does not
    divide C and O.
    """

    dims: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        *,
        pad: Literal["features", "input"] = "features",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(f"groups={groups} must divide in_channels={in_channels} and out_channels={out_channels}")
        if pad not in ("features", "input"):
            raise ValueError(f"pad must be 'features' or 'input', got {pad!r}")
        self.in_channels, self.out_channels, self.groups, self.pad = in_channels, out_channels, groups, pad
        self.kernel_size, self.stride = self._sizes(kernel_size), self._sizes(stride)
        self.padding, self.dilation = self._sizes(padding), self._sizes(dilation)
        self._create((out_channels, in_channels // groups, *self.kernel_size), bias, device, dtype)

    def forward(self, z: Tensor) -> Tensor:
        if z.dim() not in (self.dims + 1, self.dims + 2) or z.shape[-self.dims - 1] != self.in_channels:
            raise ValueError(f"expected (N, {self.in_channels}, {self.dims} sizes), got shape {tuple(z.shape)}")
        padding = self.padding
        if self.pad == "input":
            z = F.pad(z, [side for size in reversed(padding) for side in (size, size)])
            padding = (0,) * self.dims
        batch = z if z.dim() == self.dims + 2 else z[None]
        y = self._map(batch, Convolution(self.stride, padding, self.dilation, self.groups))
        return y if z.dim() == self.dims + 2 else y[0]

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"padding={self.padding}, dilation={self.dilation}, groups={self.groups}, pad={self.pad!r}"
        )

    def _sizes(self, value: Size) -> tuple[int, ...]:
        sizes = (value,) * self.dims if isinstance(value, int) else tuple(value)
        if len(sizes) != self.dims:
            raise ValueError(f"expected one size or {self.dims}, got {value}")
        return sizes


class KANConv1d(KANConv):
    """(N, C, L) -> (N, O, L'). See `KANConv`."""

    dims = 1


class KANConv2d(KANConv):
    """(N, C, H, W) -> (N, O, H', W'). See `KANConv`."""

    dims = 2


class KANConv3d(KANConv):
    """(N, C, D, H, W) -> (N, O, D', H', W'). See `KANConv`."""

    dims = 3


@dataclass(frozen=True)
class Convolution:
    """The `Product` of a convolution of any dimension."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def forward(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.groups == 1 and few_outputs(planes, weight):
            return self._filled_up(planes, weight, bias)
        return torch.convolution(
            planes, weight, bias, self.stride, self.padding, self.dilation, False, (0,) * len(self.stride), self.groups
        )

    def _filled_up(self, planes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`forward` with more outputs than there are, which are dropped again."""
        filled = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, MANY_OUTPUTS - len(weight)))
        y = torch.conv2d(planes, filled, None, self.stride, self.padding, self.dilation)[:, : len(weight)]
        y = y.contiguous(memory_format=torch.channels_last)  # a slice plus a bias has its channels first
        return y if bias is None else y + bias.view(-1, 1, 1)

    def backward(self, grad: Tensor, planes: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        of_planes, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, planes, weight, None, self.stride, self.padding, self.dilation, False, (0,) * len(self.stride),
            self.groups, (*wanted, False),
        )  # fmt: skip
        return of_planes, of_weight


def few_outputs(planes: Tensor, weight: Tensor) -> bool:
    """Whether cuDNN may take several times longer for this convolution than for one with `MANY_OUTPUTS`.

    So it is in half precision where more than 128 planes go to fewer than 32 channels. 144 -> 16 took 425 us and 144 ->
    32 took 49 us, with 128 images of 28x28 on an H200.
    """
    half = planes.dtype in (torch.bfloat16, torch.float16)
    return planes.is_cuda and half and planes.dim() == 4 and planes.shape[1] > 128 and len(weight) < MANY_OUTPUTS
