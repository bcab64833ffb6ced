"""The parts that every KAN layer shares: the basis, the base branch, one weight, and how it starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypedDict, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trials.kan.basis import BASES, Basis
from trials.kan.basis.basis import Integrals, autocast_enabled, gaussian_integrals, widened
from trials.kan.perturbation import Perturbation
from trials.kan.recompute import Expansion, Product, Recomputed, learns

__all__ = ["Activation", "KANLayer", "LayerOptions", "balanced_share", "base_integrals"]

Activation = Callable[[Tensor], Tensor]

Init = Literal["variance", "power_law", "efficient_kan"]
NOISE = 0.1
"""Efficient-KAN's `scale_noise`: a new spline takes values up to half of this, over the grid's size."""
POWERS = (0.25, 1.75)
"""Exponents of the power-law initial weights: of the base branch and of the basis branch (arXiv 2509.03417)."""
GAIN = 1.3
"""The most that the variance of gradients grows by in a new layer; SiLU alone gives 1.21."""
OVER_BASE = 1.075
"""The same in units of the base branch's own gain, where that is the more."""


class LayerOptions(TypedDict, total=False):
    """Keyword arguments that every KAN layer takes."""

    basis: Basis | str
    """Default "bspline". A name means the basis with its default hyperparameters."""
    base: Activation | None
    """b of the base branch, default SiLU; None: no base branch."""
    basis_share: float | None
    """α: the share of the output's first variance that comes from the basis branch. Default None: `balanced_share`."""
    init: Init
    """How the weights start, default "variance"."""
    spline_scaler: bool
    """One more weight for each edge, times its basis branch, as Efficient-KAN has. Default False."""
    recompute: bool
    """Keep z alone for the backward pass and compute the features again there. Default True."""
    perturbation: Perturbation | None
    """Dropout and noise. Default None."""


class KANLayer(nn.Module):
    """y_o = Σ_i [Σ_k w_{o,i,k} φ_k(z_i) + w_{o,i,b} b(z_i)] + bias_o: a native linear map of the expanded input.

    `weight` has shape (out, P · in/groups, *kernel): P = F basis functions and, where there is a base branch, b last.
    Function k of the c-th channel of a group is at k · in/groups + c. Native `groups=` splits the planes rightly. The
    planes of one function lie beside each other in memory, as a GPU writes and reads them best.

    init="variance": z ~ N(0, 1) gives outputs of mean 0 and variance 1 whatever the basis is. With fan = in/groups ·
    kernel elements, std(w_k) = √(α / (fan · Σ_k Var φ_k)), std(w_b) = √((1-α) / (fan · Var b)), and bias = -Σ w E[φ];
    α = `basis_share`, 1 without base branch; None: `balanced_share`. Without a bias E[φ²] stands for Var φ.
    init="power_law": std(w_b) = (fan · P)^-0.25, std(w_k) = (fan · P)^-1.75, bias = 0 (arXiv 2509.03417).
    init="efficient_kan": w_b and the scaler are uniform within ±fan^-0.5, w_k within ±0.05 / grid size, bias = 0. Here
    a convolution's fan is that of its kernel alone, since Convolutional-KANs (arXiv 2406.13155) makes one layer of
    Efficient-KAN for each pair of channels. The published w_k interpolate uniform noise of that size at the knots.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    spline_scaler: nn.Parameter | None
    groups: int = 1

    def __init__(
        self,
        basis: Basis | str = "bspline",
        base: Activation | None = F.silu,
        basis_share: float | None = None,
        init: Init = "variance",
        spline_scaler: bool = False,
        recompute: bool = True,
        perturbation: Perturbation | None = None,
    ) -> None:
        super().__init__()
        if isinstance(basis, str) and basis not in BASES:
            raise ValueError(f"no basis is named {basis!r}; there are {', '.join(sorted(BASES))}")
        if basis_share is not None and not 0 < basis_share < 1:
            raise ValueError(f"0 < basis_share < 1 must hold, got {basis_share}")
        if init not in get_args(Init):
            raise ValueError(f"init must be one of {', '.join(get_args(Init))}, got {init!r}")
        self.basis = BASES[basis]() if isinstance(basis, str) else basis
        self.base, self.init, self.perturbation = base, init, perturbation
        self.basis_share = basis_share if base is not None else 1.0  # None: balanced
        self.scaled, self.recompute = spline_scaler, recompute
        self.planes = self.basis.n_features + (base is not None)

    def basis_weight(self) -> Tensor:
        """The weights of the basis branch, shape (out, in/groups, F, *kernel): a view of `weight`."""
        return self._by_plane()[:, : self.basis.n_features].transpose(1, 2)

    def effective_weight(self) -> Tensor:
        """`weight` with the scaler, where there is one, multiplied into the basis branch."""
        if self.spline_scaler is None:
            return self.weight
        planes = self._by_plane()
        features = self.basis.n_features
        scaled = planes[:, :features] * self.spline_scaler[:, None]
        return torch.cat([scaled, planes[:, features:]], dim=1).flatten(1, 2)

    def edge_weights(self) -> Tensor:
        """The effective weights by edge, shape (out, in/groups, P, *kernel): a view."""
        return torch.unflatten(self.effective_weight(), 1, (self.planes, -1)).transpose(1, 2)

    def reset_parameters(self) -> None:
        """Draw the weights anew, as the class says. On the meta device nothing is done."""
        if self.weight.is_meta:
            return
        with torch.no_grad():
            if self.init == "efficient_kan":
                self._like_efficient_kan()
                return
            mean, scale = self._power_law() if self.init == "power_law" else self._variance_preserving()
            weight = self._by_plane()
            shape = (-1,) + (1,) * (weight.dim() - 2)
            drawn = torch.randn_like(weight.transpose(1, 2), memory_format=torch.contiguous_format)
            weight.copy_(drawn.transpose(1, 2).mul_(scale.to(weight).view(shape)))
            if self.bias is not None:
                self.bias.copy_(-(weight * mean.to(weight).view(shape)).flatten(1).sum(1))
            if self.spline_scaler is not None:
                self.spline_scaler.fill_(1.0)

    def refine(self, factor: int = 2) -> Tensor:
        """Put the basis on a grid of `factor` intervals for each one; inside the grid the layer computes what it did.

        `weight` is a new, larger parameter: `trials.training.grids` carries an optimizer over. Returns the matrix of
        `change_basis`. Raises ValueError where the basis cannot.
        """
        basis, matrix = self.basis.refine(factor)
        self.change_basis(basis, matrix)
        return matrix

    def update_grid(self, z: Tensor, share: float = 0.99) -> Tensor:
        """Move the grid to where `share` of the elements of z lie, and refit the weights.

        The refit is by least squares on a fixed probe grid of evenly spaced points over the old and the new range.
        `weight` is a new parameter: `trials.training.grids` carries an optimizer over. Returns the matrix of
        `change_basis`. Raises ValueError where the basis has no grid to move, and where all of z lies at the grid's
        middle.
        """
        basis, matrix = self.refitted(float(self.reach(z, share)))
        self.change_basis(basis, matrix)
        return matrix

    def reach(self, z: Tensor, share: float) -> Tensor:
        """How far from the grid's middle `share` of the elements of z lie: a tensor of no dimension."""
        sample = widened(z.detach().flatten()[:: max(z.numel() // 2**20, 1)])
        return (sample - self.basis.grid_centre).abs().quantile(share)

    def refitted(self, grid_range: float) -> tuple[Basis, Tensor]:
        """The basis on another range, and the matrix of `change_basis`. Raises ValueError where there is no grid."""
        middle, basis = self.basis.grid_centre, self.basis.on_range(grid_range)
        edge = max(basis.grid_range, self.basis.grid_range)
        probe = middle + torch.linspace(-edge, edge, 20 * basis.n_features, dtype=torch.float64)
        with torch.no_grad():
            old, new = self.basis.cpu().expand(probe), basis.expand(probe)
        return basis, torch.linalg.lstsq(new, old, driver="gelsd").solution

    def change_basis(self, basis: Basis, matrix: Tensor) -> None:
        """Take another basis, of which the old functions are φ_k = Σ_j matrix_jk φ'_j, and the weights that go with
        it. The scaler, which belongs to edges, stays."""
        with torch.no_grad():
            weight = self.mapped(self.weight, matrix)
        self.basis, self.planes = basis.to(weight.device), basis.n_features + (self.base is not None)
        self.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)

    def mapped(self, values: Tensor, matrix: Tensor) -> Tensor:
        """`matrix` (F', F) times the basis planes of `values`, which are shaped and laid out as `weight` is.

        The result is laid out in memory as `weight` is. The plane of the base branch stays.
        """
        planes = torch.unflatten(values, 1, (self.planes, -1))
        features = self.basis.n_features
        basis = torch.einsum("jk,okc...->ojc...", matrix.to(planes), planes[:, :features])
        joined = torch.cat([basis, planes[:, features:]], dim=1).flatten(1, 2)
        layout = torch.contiguous_format
        if self.weight.dim() == 4:
            last = torch.empty_like(self.weight, device="meta", memory_format=torch.channels_last)
            layout = torch.channels_last if self.weight.stride() == last.stride() else layout
        return torch.empty_like(joined, memory_format=layout).copy_(joined)

    def _create(
        self, shape: tuple[int, ...], bias: bool, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        """Make the parameters of a layer with weights of `shape` = (out, in/groups, *kernel)."""
        out, channels, *kernel = shape

        def empty(*sizes: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(sizes, device=device, dtype=dtype))

        self.weight = empty(out, self.planes * channels, *kernel)
        self.bias = empty(out) if bias else None
        self.spline_scaler = empty(*shape) if self.scaled else None
        self.basis.to(device=device)
        self.reset_parameters()

    def _map(self, z: Tensor, product: Product) -> Tensor:
        """The product of the planes of z, (N, C, *spatial), and the weights."""
        weight: Tensor = self.effective_weight()
        bias: Tensor | None = self.bias
        if autocast_enabled(z.device):
            dtype = torch.get_autocast_dtype(z.device.type)
            weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        z, inner, outer = self._perturb(z)
        expansion = Expansion(self.basis, self.base, self.groups)
        if self.recompute and not torch.compiler.is_compiling() and not learns(self.base):
            keep, parameters = torch.is_grad_enabled(), self.basis.parameters()
            y: Tensor = Recomputed.apply(expansion, product, z, weight, bias, inner, outer, keep, *parameters)
            return y
        return product.forward(expansion.planes(z, inner, outer, weight.dtype), weight, bias)

    def _perturb(self, z: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """z, the factors of the basis' input, and those of its features."""
        if self.perturbation is None:
            return z, None, None
        samples, channels = z.shape[:2]
        if self.perturbation.placement == "full":
            return self.perturbation(z), None, None
        if self.perturbation.placement == "poly":
            return z, self.perturbation.factors(samples, channels, z), None
        return z, None, self.perturbation.factors(samples, channels * self.basis.n_features, z)

    def _by_plane(self) -> Tensor:
        """`weight` as (out, P, in/groups, *kernel)."""
        return torch.unflatten(self.weight, 1, (self.planes, -1))

    def _like_efficient_kan(self) -> None:
        """Draw the weights and the scaler as Efficient-KAN does; leave the bias 0."""
        features, kernel = self.basis.n_features, self.weight.shape[2:]
        fan = kernel.numel() if kernel else self.weight.shape[1] // self.planes
        weight = self._by_plane()
        reach = torch.full((self.planes,), NOISE / 2 / getattr(self.basis, "grid_size", features))
        reach[features:] = fan**-0.5
        drawn = 2 * torch.rand_like(weight, memory_format=torch.contiguous_format) - 1
        weight.copy_(drawn * reach.to(weight).view(-1, *(1,) * (weight.dim() - 2)))
        if self.spline_scaler is not None:
            self.spline_scaler.uniform_(-(fan**-0.5), fan**-0.5)
        if self.bias is not None:
            self.bias.zero_()

    def _power_law(self) -> tuple[Tensor, Tensor]:
        """Means to take out with the bias: none; and the standard deviation of each plane's weights; each (P,)."""
        terms = self.weight[0].numel()
        scale = torch.full((self.planes,), terms ** -POWERS[1])
        scale[self.basis.n_features :] = terms ** -POWERS[0]
        return torch.zeros_like(scale), scale

    def _variance_preserving(self) -> tuple[Tensor, Tensor]:
        """Mean of each plane, and the standard deviation of its weights; each of shape (P,)."""
        fan = self.weight[0].numel() / self.planes
        basis = self.basis.integrals()
        spread = _spread(basis, self.bias is not None)
        if self.base is None:
            return basis.mean, (1 / spread.sum() / fan).sqrt().expand_as(basis.mean)
        base = base_integrals(self.base, basis.mean.device)
        base_spread = _spread(base, self.bias is not None)
        share = balanced_share(basis, base, self.bias is not None) if self.basis_share is None else self.basis_share
        scale = (share / spread.sum() / fan).sqrt().expand_as(basis.mean)
        base_scale = ((1 - share) / base_spread / fan).sqrt()
        return torch.cat([basis.mean, base.mean[None]]), torch.cat([scale, base_scale[None]])


def balanced_share(basis: Integrals, base: Integrals, bias: bool = True) -> Tensor | float:
    """The share α of the basis branch with which a new layer's gradients grow by `GAIN` at most; 1/2 where it may be.

    With one scale of weights for each branch, and normalised inputs, the variance of a gradient grows backward by

        G = v Σ E[φ_k'²] / Σ Var φ_k + (1 - v) E[b'²] / Var b

    where v is the basis branch's share of the output's variance: α with a bias, which takes the means out. Where the
    base branch alone has a greater gain than `GAIN`, as a ReLU, G is at most `OVER_BASE` times that.
    """
    steep, flat = basis.slope.sum() / basis.variance.sum(), base.slope / base.variance
    most = (OVER_BASE * flat).clamp(min=GAIN)
    share = torch.where((steep + flat) / 2 <= most, 0.5, (most - flat) / (steep - flat))
    if bias:
        return share
    ours = share * _spread(basis, False).sum() / basis.variance.sum()
    others = (1 - share) * _spread(base, False) / base.variance
    return ours / (ours + others)


def base_integrals(base: Activation, device: torch.device) -> Integrals:
    """The integrals of a base branch."""
    return gaussian_integrals(lambda z: base(z.float()), device)


def _spread(integrals: Integrals, bias: bool) -> Tensor:
    """Variances, or second moments where no bias takes the means out."""
    return integrals.variance if bias else integrals.variance + integrals.mean.square()
