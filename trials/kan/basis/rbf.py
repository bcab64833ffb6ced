"""Radial basis functions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trials.kan.basis.basis import Basis, Pullback

__all__ = ["RADIAL", "RBF"]


class RBF(Basis):
    """φ_j(z) = r((z - c_j)/h_j), r a `RADIAL` kernel, with G centres evenly spaced by h on [-R, R].

    exp(-t²) is FastKAN's (arXiv 2405.06721), 1 - tanh² t FasterKAN's (AthanasiosDelis/faster-kan). With `learnable`,
    c_j and ln h_j are parameters that every channel of a layer shares (Free-RBF-KAN, arXiv 2601.07760); they start on
    the grid. Raises ValueError for fewer than 2 centres, no range, or an unknown kernel.
    """

    centres: Tensor

    def __init__(
        self, grid_size: int = 8, grid_range: float = 2.0, kernel: str = "gauss", learnable: bool = False
    ) -> None:
        super().__init__()
        if grid_size < 2 or grid_range <= 0 or kernel not in RADIAL:
            raise ValueError(
                f"grid_size >= 2, grid_range > 0 and kernel in {', '.join(RADIAL)} must hold, "
                f"got {grid_size}, {grid_range} and {kernel!r}"
            )
        self.grid_size, self.grid_range, self.n_features = grid_size, grid_range, grid_size
        self.kernel, self.learnable = kernel, learnable
        self.per_unit = (grid_size - 1) / (2 * grid_range)  # 1/h of the grid
        centres = torch.arange(grid_size)[:, None] - (grid_size - 1) / 2  # in spacings
        if learnable:
            self.centre = nn.Parameter(centres.flatten())
            self.log_width = nn.Parameter(torch.zeros(grid_size))  # ln of h_j in spacings
        else:
            self.register_buffer("centres", centres)

    def features(self, u: Tensor) -> Tensor:
        return RADIAL[self.kernel][0](self._position(u)[0])

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        return RADIAL[self.kernel][1](self._position(u)[0], features).mul_(self.per_unit)

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        if not self.learnable:
            return super().vjp(u)
        position, narrowing = self._position(u)
        features = RADIAL[self.kernel][0](position.clone())

        def pull(grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            outer = RADIAL[self.kernel][1](position, features).mul_(grad)
            along = (outer * position).sum((0, 2))
            outer.mul_(narrowing)
            return outer.sum(1, keepdim=True).mul_(self.per_unit), -outer.sum((0, 2)), -along

        return features, pull

    def _position(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """(z - c_j)/h_j, shape (A, F, B), and the grid's spacing over h_j, shape (F, 1)."""
        if not self.learnable:
            return u * self.per_unit - self.centres.to(u.dtype), u.new_ones(1, 1)
        narrowing = self.log_width.to(u.dtype).neg().exp()[:, None]
        return (u * self.per_unit - self.centre.to(u.dtype)[:, None]) * narrowing, narrowing

    def on_range(self, grid_range: float) -> RBF:
        return RBF(self.grid_size, grid_range, self.kernel, self.learnable)


def _gauss(t: Tensor) -> Tensor:
    return t.square_().neg_().exp_()


def _gauss_slope(t: Tensor, value: Tensor) -> Tensor:
    return (-2 * t).mul_(value)


def _tanh2(t: Tensor) -> Tensor:
    return _sech(t).square_()


def _tanh2_slope(t: Tensor, value: Tensor) -> Tensor:
    return t.tanh().mul_(value).mul_(-2)


def _sech(t: Tensor) -> Tensor:
    """2 e^-|t| / (1 + e^-2|t|): nothing overflows."""
    falling = t.abs_().neg_().exp_()
    return (2 * falling).div_(falling.square().add_(1))


def _sech_slope(t: Tensor, value: Tensor) -> Tensor:
    return t.tanh().mul_(value).neg_()


RADIAL: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "gauss": (_gauss, _gauss_slope),
    "tanh2": (_tanh2, _tanh2_slope),
    "sech": (_sech, _sech_slope),
}
"""r(t), which may overwrite t, and r'(t) from t and r(t): exp(-t²), 1 - tanh² t = sech² t, sech t = 1/cosh t."""
