"""Mixtures of KAN convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.conv import Convolution, KANConv, KANConv1d, KANConv2d, KANConv3d, Size
from trials.kan.layer import LayerOptions
from trials.kan.recompute import Expansion

__all__ = ["MixtureKANConv", "MixtureKANConv1d", "MixtureKANConv2d", "MixtureKANConv3d"]


class MixtureKANConv(nn.Module):
    """y_n = Σ_e g_{n,e} KANConv_e(z_n): each sample is given the `top_k` of `experts` that its gate prefers.

    g = softmax over the k largest logits, 0 elsewhere; the logits are a linear map of the average of z over space. The
    experts share their basis, so that z is expanded once. A convolution is linear in its weights, so each sample is
    convolved once, by the mixture of its experts' weights: the same sum, at the cost of one expert.
    Sources: arXiv 1701.06538 (gates), arXiv 2006.16668 (`load_balance`).
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
        experts: int = 4,
        top_k: int = 2,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__()
        if not 1 <= top_k <= experts:
            raise ValueError(f"1 <= top_k <= experts must hold, got top_k={top_k} and experts={experts}")
        sizes: Sequence[Any] = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        first = self.conv_type(*sizes, **options)
        shared: LayerOptions = {**options, "basis": first.basis}
        self.top_k = top_k
        self.experts = nn.ModuleList([first, *(self.conv_type(*sizes, **shared) for _ in range(experts - 1))])
        self.gate = nn.Linear(in_channels, experts)

    def forward(self, z: Tensor) -> Tensor:
        experts = cast(list[KANConv], list(self.experts))
        first = experts[0]
        gates = self._gates(self._logits(z))
        if torch.compiler.is_exporting():
            return self._one_by_one(gates, z)
        weight = self._mixed(gates, [expert.effective_weight() for expert in experts])  # (N, O, P*C/g, *kernel)
        bias = self._mixed(gates, [e.bias for e in experts if e.bias is not None]) if first.bias is not None else None
        z, inner, outer = first._perturb(z)
        expansion = Expansion(first.basis, first.base, first.groups)
        planes = expansion.planes(z, inner, outer, weight.dtype)  # (N, C, *S) -> (N, P*C, *S)
        product = Convolution(first.stride, first.padding, first.dilation, first.groups * len(z))
        weight = weight.flatten(0, 1)
        y = product.forward(
            planes.flatten(0, 1)[None], weight, None if bias is None else bias.flatten()
        )  # (1, N*P*C, *S) -> (1, N*O, *S')
        return y.view(len(z), first.out_channels, *y.shape[2:])

    def _one_by_one(self, gates: Tensor, z: Tensor) -> Tensor:
        """The same sum, each expert for all samples: a convolution's groups cannot depend on N in an exported graph."""
        outputs = torch.stack([expert(z) for expert in self.experts], 1)  # (N, experts, O, *S')
        return torch.einsum("ne,ne...->n...", gates.to(outputs.dtype), outputs)

    def load_balance(self, z: Tensor) -> Tensor:
        """experts · Σ_e (share of choices that fall on e) · (mean probability of e): 1 when balanced, more when not."""
        logits = self._logits(z)
        chosen = F.one_hot(logits.topk(self.top_k, dim=1).indices, logits.shape[1]).sum(1).float()
        return logits.shape[1] * (chosen.mean(0) / self.top_k * logits.softmax(1).mean(0)).sum()

    def _logits(self, z: Tensor) -> Tensor:
        logits: Tensor = self.gate(z.flatten(2).mean(2).to(self.gate.weight.dtype))  # (N, C, *S) -> (N, experts)
        return logits.float()

    def _gates(self, logits: Tensor) -> Tensor:
        best = logits.topk(self.top_k, dim=1)
        return torch.zeros_like(logits).scatter(1, best.indices, best.values.softmax(1))

    @staticmethod
    def _mixed(gates: Tensor, tensors: list[Tensor]) -> Tensor:
        """Σ_e g_{n,e} t_e -> (N, *shape)."""
        stacked = torch.stack(tensors)
        return (gates.to(stacked.dtype) @ stacked.flatten(1)).view(len(gates), *stacked.shape[1:])


class MixtureKANConv1d(MixtureKANConv):
    """(N, C, L) -> (N, O, L'). See `MixtureKANConv`."""

    conv_type = KANConv1d


class MixtureKANConv2d(MixtureKANConv):
    """(N, C, H, W) -> (N, O, H', W'). See `MixtureKANConv`."""

    conv_type = KANConv2d


class MixtureKANConv3d(MixtureKANConv):
    """(N, C, D, H, W) -> (N, O, D', H', W'). See `MixtureKANConv`."""

    conv_type = KANConv3d
