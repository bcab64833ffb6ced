"""KAN convolutions whose basis works on few channels, beside a base branch that works on all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.conv import KANConv, KANConv1d, KANConv2d, KANConv3d, Size
from trials.kan.layer import KANLayer, LayerOptions, balanced_share, base_integrals

__all__ = ["BottleneckKANConv1d", "BottleneckKANConv2d", "BottleneckKANConv3d", "bottleneck_width"]


def bottleneck_width(in_channels: int, out_channels: int, reduction: int, groups: int = 1, minimum: int = 16) -> int:
    """r = max(C, O) / (reduction · groups), at least `minimum`, at most min(C, O), rounded to a multiple of
    `groups`."""
    width = max(max(in_channels, out_channels) // (reduction * groups), minimum)
    width = min(width, in_channels, out_channels)
    return max(width // groups, 1) * groups


class BottleneckKANConv(nn.Module):
    """y = up(KANConv(norm(down(z)))) + conv(b(z)): the basis works on r channels, the base branch on all of them.

    down: 1x1, C -> r; the KAN convolution: r -> r, stride, padding, dilation and groups; up: 1x1, r -> O; the base
    branch is a native convolution C -> O. `bias` is the KAN convolution's and that of up. `norm` builds the
    normalisation of the r channels; None: none. `inner` makes the KAN convolution; default: the KANConv of this
    dimension. The weights start so that z ~ N(0, 1) gives outputs of variance 1 (without norm: as far as down's outputs
    are normal). r: `bottleneck_width`. The published form, Bottleneck KAGN of arXiv 2407.01092, which no plain layer is
    like; `bottleneck_base: narrow` means another one, whose base branch is narrow too.
    """

    conv_type: ClassVar[type[KANConv]]

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
        reduction: int = 4,
        minimum: int = 16,
        norm: Callable[[int], nn.Module] | None = None,
        inner: Callable[..., nn.Module] | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        width = bottleneck_width(in_channels, out_channels, reduction, groups, minimum)
        convolution = _NATIVE[self.conv_type.dims]
        where: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.base = options.get("base", F.silu)
        self.basis_share = options.get("basis_share") if self.base is not None else 1.0
        narrow: Any = {**options, "base": None}
        self.down = convolution(in_channels, width, 1, groups=groups, bias=False)
        self.norm = norm(width) if norm else nn.Identity()
        self.conv = (inner or self.conv_type)(width, width, kernel_size, **where, bias=bias, **narrow)
        self.up = convolution(width, out_channels, 1, groups=groups, bias=bias)
        self.base_conv = convolution(in_channels, out_channels, kernel_size, bias=False, **where) if self.base else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights anew, as the class says. On the meta device nothing is done."""
        if isinstance(self.conv, KANConv):
            self.conv.reset_parameters()
        if self.down.weight.is_meta:
            return
        _normal(self.down.weight, 1.0)
        _normal(self.up.weight, share := self._share())
        if self.up.bias is not None:
            nn.init.zeros_(self.up.bias)
        if self.base is None or self.base_conv is None:
            return
        mean, variance, _ = map(float, base_integrals(self.base, self.down.weight.device))
        spread = variance if self.up.bias is not None else variance + mean**2
        _normal(self.base_conv.weight, (1 - share) / spread)
        if self.up.bias is not None:
            with torch.no_grad():
                self.up.bias.sub_(mean * self.base_conv.weight.flatten(1).sum(1))

    def _share(self) -> float:
        """α, of `balanced_share` where it is not given."""
        if self.base is None or self.basis_share is not None:
            return self.basis_share or 1.0
        layer = next(each for each in self.conv.modules() if isinstance(each, KANLayer))
        base = base_integrals(self.base, self.down.weight.device)
        return float(balanced_share(layer.basis.integrals(), base, self.up.bias is not None))

    def forward(self, z: Tensor) -> Tensor:
        y: Tensor = self.up(self.conv(self.norm(self.down(z))))
        if self.base is None or self.base_conv is None:
            return y
        branch: Tensor = self.base_conv(self.base(z))
        return y + branch


class BottleneckKANConv1d(BottleneckKANConv):
    """(N, C, L) -> (N, O, L'). See `BottleneckKANConv`."""

    conv_type = KANConv1d


class BottleneckKANConv2d(BottleneckKANConv):
    """(N, C, H, W) -> (N, O, H', W'). See `BottleneckKANConv`."""

    conv_type = KANConv2d


class BottleneckKANConv3d(BottleneckKANConv):
    """(N, C, D, H, W) -> (N, O, D', H', W'). See `BottleneckKANConv`."""

    conv_type = KANConv3d


_NATIVE: dict[int, Callable[..., nn.Conv1d | nn.Conv2d | nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


def _normal(weight: Tensor, variance: float) -> None:
    """Draw `weight` so that inputs of variance 1 give outputs of `variance`."""
    nn.init.normal_(weight, std=(variance / weight[0].numel()) ** 0.5)
