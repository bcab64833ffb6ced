"""The machine that every basis runs on: domain map, precision, layout, moments and gradients live here, once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from trials.config import BasisConfig
from trials.kan.basis.domain import Domain

__all__ = ["Basis", "Integrals", "Pullback", "autocast_enabled", "full_precision", "gaussian_integrals", "widened"]

Pullback = Callable[[Tensor], tuple[Tensor, ...]]
"""Gradient of the features -> gradients of the input and of each parameter."""
MOMENT_POINTS = 8001
"""Points at which a function and its slope are integrated."""


class Integrals(NamedTuple):
    """Integrals of f(z), z ~ N(0, 1), float64: to be read, not to be changed."""

    mean: Tensor
    """E[f]."""
    variance: Tensor
    """Var f."""
    slope: Tensor
    """E[f'²], by central differences."""


class Basis(nn.Module):
    """A family of F univariate functions φ_k, applied to every element of a tensor.

    A member sets `n_features` and writes `features`; where its functions live on an interval it names the map onto it
    in `domain`. `slopes` makes its gradient faster than the generic one, and nothing else is a member's business.
    """

    n_features: int
    """F, the number of functions."""
    grid_range: float
    """R of the grid [m-R, m+R], where the basis has one."""
    grid_centre: float = 0.0
    """m, the middle of the grid."""
    config: BasisConfig | None = None
    """Configuration that it was built from, where that is known."""
    domain: Domain | None = None
    """Maps the real line onto the interval where φ_k is defined; None: the functions take any real number."""

    def features(self, u: Tensor) -> Tensor:
        """φ_k(u) for u of shape (A, 1, B) inside the domain -> (A, F, B).

        Runs without autograd where `slopes` or `vjp` is written, and so may work in place.
        """
        raise NotImplementedError

    def slopes(self, u: Tensor, features: Tensor) -> Tensor:
        """φ_k'(u) -> (A, F, B); `features` are φ_k(u), for members whose derivatives are made of them."""
        raise NotImplementedError

    def vjp(self, u: Tensor) -> tuple[Tensor, Pullback]:
        """φ_k(u), and the map from a gradient of it to the gradients of u and of each parameter, to be called once.

        Written by hand: from `slopes`, or by a member with parameters of its own. A member without either is
        differentiated by autograd.
        """
        if type(self).slopes is Basis.slopes:
            return self._vjp_by_autograd(u)
        features = self.features(u)
        return features, lambda grad: (self.slopes(u, features).mul_(grad).sum(1, keepdim=True),)

    def expand(self, x: Tensor) -> Tensor:
        """φ_k(x), domain map included: (...) -> (..., F). Differentiable, once."""
        return self.columns(x.reshape(-1, 1, 1)).reshape(*x.shape, self.n_features)

    def columns(self, z: Tensor) -> Tensor:
        """`expand` in the layout of the layers: (A, 1, B) -> (A, F, B).

        Computed in float32 at least, under autocast too: evaluated in bfloat16 a basis errs by 0.03 to 0.24.
        """
        leaves = (z, *self.parameters())
        with full_precision(z.device):
            if (
                torch.is_grad_enabled()
                and any(leaf.requires_grad for leaf in leaves)
                and not torch.compiler.is_compiling()
            ):
                features: Tensor = _Differentiable.apply(self, *leaves)
                return features
            quiet = torch.no_grad() if torch.is_grad_enabled() else nullcontext()  # torch.export pays for each no_grad
            with quiet:
                wide = widened(z)
                return self.features(wide if self.domain is None else self.domain.map(wide))

    def forward(self, z: Tensor) -> tuple[Tensor, Pullback]:
        """`columns`, and its pullback: `vjp` with the domain map. z must be float32 or float64."""
        domain = self.domain
        if domain is None:
            return self.vjp(z)
        u = domain.map(z)
        features, pull = self.vjp(u)

        def pull_through_domain(grad: Tensor) -> tuple[Tensor, ...]:
            grad_u, *rest = pull(grad)
            return grad_u * domain.slope(z, u), *rest

        return features, pull_through_domain

    def refine(self, factor: int = 2) -> tuple[Basis, Tensor]:
        """A basis on a grid of `factor` intervals for each one, and T, float64: φ_k = Σ_j T_jk φ'_j on the grid.

        T has shape (F', F). Raises ValueError where there is no grid that can be refined exactly.
        """
        raise ValueError(f"{type(self).__name__} has no grid that can be refined exactly")

    def on_range(self, grid_range: float) -> Basis:
        """The same basis with its grid this far to both sides of its middle. Raises ValueError where it has none."""
        raise ValueError(f"{type(self).__name__} has no grid to move")

    def integrals(self) -> Integrals:
        """Mean, variance and mean squared slope of each φ_k(z) for z ~ N(0, 1), each of shape (F,).

        Integrated once for each configuration: a basis without parameters is what its configuration says.
        """
        device = next(iter(self.state_dict().values()), torch.empty(0)).device
        if self.config is None or device.type != "cpu" or any(True for _ in self.parameters()):
            return gaussian_integrals(self.expand, device)
        if self.config not in _INTEGRALS:
            _INTEGRALS[self.config] = gaussian_integrals(self.expand, device)
        return _INTEGRALS[self.config]

    def moments(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of φ_k(z) for z ~ N(0, 1), each of shape (F,), float64."""
        return self.integrals()[:2]

    def _vjp_by_autograd(self, u: Tensor) -> tuple[Tensor, Pullback]:
        with torch.enable_grad():
            leaves = (u.detach().requires_grad_(), *self.parameters())
            features = self.features(leaves[0])
        return features.detach(), lambda grad: torch.autograd.grad(features, leaves, grad)


class _Differentiable(torch.autograd.Function):
    """A basis' features, with the gradient that it writes by hand. Saves z, and computes the features anew."""

    @staticmethod
    def forward(ctx: Any, basis: Basis, z: Tensor, *parameters: Tensor) -> Tensor:
        ctx.basis = basis
        ctx.save_for_backward(z, *parameters)
        features: Tensor = basis(widened(z))[0]
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        z, *parameters = ctx.saved_tensors
        _, pull = vjp_at(ctx.basis, widened(z), parameters)
        grad_z, *rest = pull(grad)
        return None, grad_z.to(z.dtype), *rest


def vjp_at(basis: Basis, z: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, Pullback]:
    """`basis(z)` at other values of its parameters: those that were saved for a backward pass."""
    if not parameters:
        features, pull = basis(z)
    else:
        names = [name for name, _ in basis.named_parameters()]
        features, pull = functional_call(basis, dict(zip(names, parameters, strict=True)), (z,))
    return features, pull


def widened(z: Tensor) -> Tensor:
    """z in float32 where it is narrower."""
    return z.float() if z.dtype in (torch.bfloat16, torch.float16) else z


def autocast_enabled(device: torch.device) -> bool:
    """Whether autocast is on for the device; never on one that knows none, as the meta device."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """A context without autocast."""
    return torch.autocast(device.type, enabled=False) if autocast_enabled(device) else nullcontext()


_INTEGRALS: dict[BasisConfig, Integrals] = {}


@torch.no_grad()
def gaussian_integrals(function: Callable[[Tensor], Tensor], device: torch.device) -> Integrals:
    """The integrals of f: (n,) -> (n, ...), by the trapezoidal rule on [-8, 8]."""
    z, density = _normal_density(device)
    values = function(z.clone()).double()
    mean = torch.tensordot(density, values, 1)
    variance = torch.tensordot(density, (values - mean).square(), 1)
    rises = torch.diff(values, dim=0).mul_((MOMENT_POINTS - 1) / 16).square_()
    between = (density[1:] + density[:-1]) / 2
    return Integrals(mean, variance, torch.tensordot(between, rises, 1))


@cache
def _normal_density(device: torch.device) -> tuple[Tensor, Tensor]:
    """The points at which `gaussian_integrals` integrates, and the weight of each."""
    z = torch.linspace(-8, 8, MOMENT_POINTS, dtype=torch.float64, device=device)
    return z, torch.exp(-z.square() / 2) * (16 / (MOMENT_POINTS - 1) / math.sqrt(2 * math.pi))
