"""Wavelets with learnable scales and translations."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["WAVELETS", "Wavelet"]


class Wavelet(Basis):
    """ψ((z - t_j)/s_j) for j = 1..count, with learnable t_j and ln s_j shared by every channel; ψ is a `WAVELETS` kind.

    They start evenly spaced on [-2, 2] with s_j = min(1, 4/count). Learning ln s keeps the scales positive.
    Source: zavareh1/Wav-KAN, which has a scale and translation for every edge, and so cannot share its features.
    """

    def __init__(self, kind: str = "mexican_hat", count: int = 4) -> None:
        super().__init__()
        if kind not in WAVELETS or count < 1:
            raise ValueError(f"kind in {', '.join(WAVELETS)} and count >= 1 must hold, got {kind!r} and {count}")
        self.kind, self.count, self.n_features = kind, count, count
        self.translation = nn.Parameter((torch.arange(count) + 0.5) * 4 / count - 2)
        self.log_scale = nn.Parameter(torch.full((count,), min(0.0, math.log(4 / count))))

    def features(self, u: Tensor) -> Tensor:
        return WAVELETS[self.kind][0](self._position(u)[0])

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        position, scale = self._position(u)

        def pull(grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            slope = WAVELETS[self.kind][1](position) * grad / scale
            along = (slope * position * scale).sum((0, 2))
            return slope.sum(1, keepdim=True), -slope.sum((0, 2)), -along

        return WAVELETS[self.kind][0](position), pull

    def _position(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(z - t)/s, shape (A, F, B), and s, shape (F, 1)."""
        scale = self.log_scale.to(u.dtype).exp()[:, None]
        return (u - self.translation.to(u.dtype)[:, None]) / scale, scale


def _mexican_hat(v: Tensor) -> Tensor:
    """2/(√3 π^¼) (1 - v²) exp(-v²/2)."""
    return (1 - v.square()).mul_(_bell(v)).mul_(_HAT)


def _mexican_hat_slope(v: Tensor) -> Tensor:
    return v.square().sub_(3).mul_(v).mul_(_bell(v)).mul_(_HAT)


def _morlet(v: Tensor) -> Tensor:
    """cos(5v) exp(-v²/2)."""
    return (5 * v).cos_().mul_(_bell(v))


def _morlet_slope(v: Tensor) -> Tensor:
    angle = 5 * v
    return angle.cos().mul_(v).add_(angle.sin_(), alpha=5).mul_(_bell(v)).neg_()


def _dog(v: Tensor) -> Tensor:
    """-v exp(-v²/2): the derivative of a Gaussian."""
    return _bell(v).mul_(v).neg_()


def _dog_slope(v: Tensor) -> Tensor:
    return v.square().sub_(1).mul_(_bell(v))


def _shannon(v: Tensor) -> Tensor:
    """2 sinc(2v) - sinc(v), sinc(x) = sin(πx)/(πx): the spectrum is the octave from 1/2 to 1 turns a unit."""
    return 2 * torch.sinc(2 * v) - torch.sinc(v)


def _shannon_slope(v: Tensor) -> Tensor:
    return 4 * _sinc_slope(2 * v) - _sinc_slope(v)


def _meyer(v: Tensor) -> Tensor:
    """(1/π) ∫ |Ψ(ω)| cos(ωv) dω, |Ψ| = sin(3ω/4 - π/2) on [2π/3, 4π/3], cos(3ω/8 - π/2) on [4π/3, 8π/3].

    Meyer's wavelet with ν(x) = x, about its centre of symmetry, integrated in closed form into functions that are
    smooth everywhere: ∫cos(cω) over the first band and ∫sin(cω) over the second.
    """
    low = sum((1 / 3) * torch.sinc(c / 3) * torch.cos(math.pi * c) for c in (v + 0.75, v - 0.75))
    high = sum((2 / 3) * torch.sinc(2 / 3 * c) * torch.sin(2 * math.pi * c) for c in (0.375 + v, 0.375 - v))
    return high - low  # type: ignore[return-value]


def _meyer_slope(v: Tensor) -> Tensor:
    def low(c: Tensor) -> Tensor:
        edge = _sinc_slope(c / 3) / 3 * torch.cos(math.pi * c)
        return (1 / 3) * (edge - math.pi * torch.sinc(c / 3) * torch.sin(math.pi * c))

    def high(c: Tensor) -> Tensor:
        edge = 2 / 3 * _sinc_slope(2 / 3 * c) * torch.sin(2 * math.pi * c)
        return (2 / 3) * (edge + 2 * math.pi * torch.sinc(2 / 3 * c) * torch.cos(2 * math.pi * c))

    return high(0.375 + v) - high(0.375 - v) - low(v + 0.75) - low(v - 0.75)


def _bell(v: Tensor) -> Tensor:
    """exp(-v²/2)."""
    return v.square().mul_(-0.5).exp_()


def _sinc_slope(x: Tensor) -> Tensor:
    """d/dx sin(πx)/(πx); its series near 0, where the quotient loses everything."""
    square = (math.pi * x).square()
    series = -(math.pi**2) * x / 3 * (1 - square / 10 * (1 - square / 28 * (1 - square / 54 * (1 - square / 88))))
    quotient = (torch.cos(math.pi * x) - torch.sinc(x)) / torch.where(x == 0, 1, x)
    return torch.where(x.abs() < 0.15, series, quotient)


_HAT: float = 2 / (math.sqrt(3) * math.pi**0.25)

WAVELETS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mexican_hat": (_mexican_hat, _mexican_hat_slope),
    "morlet": (_morlet, _morlet_slope),
    "dog": (_dog, _dog_slope),
    "meyer": (_meyer, _meyer_slope),
    "shannon": (_shannon, _shannon_slope),
}
"""ψ and ψ' by kind."""
