"""Every basis: exact against scipy, well conditioned, finite everywhere. A new one adds its line to MEMBERS."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from scipy import integrate, interpolate, special, stats
from torch import nn
from torch.func import functional_call

from trials.config import BasisConfig, BSplineConfig
from trials.config.basis import expands
from trials.kan import BASES, Basis, KANConv2d, build_basis
from trials.kan.basis.rbf import RADIAL
from trials.kan.basis.wavelet import WAVELETS

Array = NDArray[np.float64]


def bspline(
    z: Array, grid_size: int = 5, spline_order: int = 3, grid_range: float = 2.0, grid_centre: float = 0.0
) -> Array:
    h = 2 * grid_range / grid_size
    knots = grid_centre - grid_range + h * np.arange(-spline_order, grid_size + spline_order + 1)
    columns = []
    for k in range(grid_size + spline_order):
        support = knots[k : k + spline_order + 2]
        inside = (z >= support[0]) & (z < support[-1])
        element = interpolate.BSpline.basis_element(support, extrapolate=False)
        columns.append(np.where(inside, np.nan_to_num(element(z)), 0.0))
    return np.stack(columns, -1)


def rbf(z: Array, grid_size: int = 8, grid_range: float = 2.0, kernel: str = "gauss", learnable: bool = False) -> Array:
    centres = np.linspace(-grid_range, grid_range, grid_size)
    t = (z[:, None] - centres) / (centres[1] - centres[0])
    return {"gauss": lambda: np.exp(-(t**2)), "tanh2": lambda: 1 - np.tanh(t) ** 2, "sech": lambda: 1 / np.cosh(t)}[
        kernel
    ]()


def sine(z: Array, grid_size: int = 8) -> Array:
    k = np.arange(1, grid_size + 1) / (grid_size + 1)
    return np.sin(z[:, None] * k + (k - 0.5) * np.pi / 2)


def gram(z: Array, degree: int = 3, constant: bool = False) -> Array:
    m = degree + 1
    nodes = (2 * np.arange(m) + 1) / m - 1
    vandermonde = np.linalg.qr(np.vander(nodes, degree + 1, increasing=True))
    coefficients = np.linalg.inv(vandermonde.R)  # column n: an orthogonal polynomial, up to its leading coefficient
    polynomials = np.vander(np.tanh(z), degree + 1, increasing=True) @ (coefficients / np.diag(coefficients))
    return polynomials[:, 0 if constant else 1 :]


def chebyshev(z: Array, degree: int = 3, constant: bool = False) -> Array:
    return np.polynomial.chebyshev.chebvander(np.tanh(z), degree)[:, 0 if constant else 1 :]


def legendre(z: Array, degree: int = 3, constant: bool = False) -> Array:
    return np.stack([special.eval_legendre(n, np.tanh(z)) for n in range(0 if constant else 1, degree + 1)], -1)


def jacobi(z: Array, degree: int = 3, a: float = 1.0, b: float = 1.0, constant: bool = False) -> Array:
    return np.stack([special.eval_jacobi(n, a, b, np.tanh(z)) for n in range(0 if constant else 1, degree + 1)], -1)


def fourier(z: Array, grid_size: int = 4, raw: bool = False) -> Array:
    angle = (z if raw else np.pi * special.erf(z / np.sqrt(2)))[:, None] * np.arange(1, grid_size + 1)
    return np.concatenate([np.cos(angle), np.sin(angle)], -1)


def bernstein(z: Array, degree: int = 3, constant: bool = False) -> Array:
    return stats.binom.pmf(np.arange(0 if constant else 1, degree + 1), degree, ((np.tanh(z) + 1) / 2)[:, None])


def wavelet(z: Array, kind: str = "mexican_hat", count: int = 4) -> Array:
    centres, scale = (np.arange(count) + 0.5) * 4 / count - 2, min(1.0, 4 / count)
    v = (z[:, None] - centres) / scale
    if kind == "meyer":
        return meyer(v)
    return {
        "mexican_hat": lambda: 2 / (np.sqrt(3) * np.pi**0.25) * (1 - v**2) * np.exp(-(v**2) / 2),
        "morlet": lambda: np.cos(5 * v) * np.exp(-(v**2) / 2),
        "dog": lambda: -v * np.exp(-(v**2) / 2),
        "shannon": lambda: np.sinc(v / 2) * np.cos(1.5 * np.pi * v),
    }[kind]()


def meyer(v: Array) -> Array:
    """The inverse Fourier integral of Meyer's spectrum, band by band, by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    total = np.zeros_like(v)
    for low, high, spectrum in (
        (2 / 3, 4 / 3, lambda w: np.sin(np.pi / 2 * (3 * w / (2 * np.pi) - 1))),
        (4 / 3, 8 / 3, lambda w: np.cos(np.pi / 2 * (3 * w / (4 * np.pi) - 1))),
    ):
        middle, half = np.pi * (low + high) / 2, np.pi * (high - low) / 2
        for node, weight in zip(middle + half * nodes, half * weights, strict=True):
            total += weight * spectrum(node) * np.cos(node * v) / np.pi
    return total


def relu(z: Array, grid_size: int = 5, spline_order: int = 3, grid_range: float = 2.0) -> Array:
    h = 2 * grid_range / grid_size
    low = -grid_range + h * (np.arange(grid_size + spline_order) - spline_order)
    high = low + (spline_order + 1) * h
    inside = np.clip(z[:, None] - low, 0, None) * np.clip(high - z[:, None], 0, None)
    return (inside * 4 / (high - low)[None] ** 2) ** 2


MEMBERS: dict[str, tuple[Callable[..., Array], list[dict[str, Any]]]] = {
    "bspline": (
        bspline,
        [{"spline_order": s} for s in range(6)]
        + [{"grid_size": 1}, {"grid_size": 50}, {"grid_range": 1.3}, {"grid_centre": 0.6}],
    ),
    "rbf": (
        rbf,
        [{}, {"grid_size": 2}, {"grid_size": 20, "grid_range": 3.0}]
        + [{"kernel": kernel, "learnable": free} for kernel in RADIAL for free in (False, True)],
    ),
    "sine": (sine, [{}, {"grid_size": 1}, {"grid_size": 20}]),
    "chebyshev": (chebyshev, [{}, {"degree": 1}, {"degree": 10}, {"constant": True}]),
    "legendre": (legendre, [{}, {"degree": 1}, {"degree": 10}, {"constant": True}]),
    "jacobi": (jacobi, [{}, {"degree": 6, "a": 0.0, "b": 0.0}, {"a": -0.5, "b": 2.0}, {"degree": 1, "constant": True}]),
    "fourier": (fourier, [{}, {"grid_size": 1}, {"grid_size": 16}, {"raw": True}]),
    "bernstein": (bernstein, [{}, {"degree": 1}, {"degree": 10}, {"constant": True}]),
    "wavelet": (wavelet, [*({"kind": kind} for kind in WAVELETS), {"count": 1}, {"kind": "meyer", "count": 8}]),
    "relu": (relu, [{}, {"grid_size": 1, "spline_order": 0}, {"grid_size": 20, "grid_range": 1.5}]),
    "gram": (
        gram,
        [{}, {"degree": 1}, {"degree": 6}, {"degree": 4, "constant": True}, {"degree": 0, "constant": True}],
    ),
}
CASES = [
    pytest.param(name, reference, options, id=f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items()) or 'default'}")
    for name, (reference, cases) in MEMBERS.items()
    for options in cases
]
UNIT_VARIANCE = ("bernstein", "chebyshev", "gram", "jacobi", "legendre")
"""Those of one scale of weights for functions of very different variance."""
EVERY_BASIS = pytest.mark.parametrize("name", sorted(BASES))


def test_every_basis_is_tested_here_and_can_be_named_in_a_configuration() -> None:
    names = {get_args(model.model_fields["name"].annotation)[0] for model in get_args(get_args(BasisConfig)[0])}
    assert set(BASES) == set(MEMBERS) == {name for name in names if expands(name)}


def scaled(reference: Callable[..., Array]) -> Callable[..., Array]:
    """The reference over its standard deviations under N(0, 1), by adaptive quadrature; a constant as it is."""

    def function(z: Array, **options: Any) -> Array:
        def expectation(values: Callable[[Array], Array]) -> Array:
            def weighted(x: float) -> Array:
                return values(reference(np.array([x]), **options)[0]) * stats.norm.pdf(x)

            return np.asarray(integrate.quad_vec(weighted, -9, 9, epsabs=1e-14, epsrel=1e-14)[0])

        mean = expectation(lambda values: values)
        variance = expectation(lambda values: (values - mean) ** 2)
        return reference(z, **options) / np.where(variance > 1e-12, np.sqrt(variance), 1)

    return function


@pytest.mark.parametrize(("name", "reference", "options"), CASES)
def test_features_equal_the_reference(name: str, reference: Callable[..., Array], options: dict[str, Any]) -> None:
    if name in UNIT_VARIANCE:
        check_features(name, reference, {**options, "unit_variance": False}, options)
        check_features(name, scaled(reference), options, options)
    else:
        check_features(name, reference, options, options)


def check_features(name: str, reference: Callable[..., Array], options: dict[str, Any], given: dict[str, Any]) -> None:
    """The basis with `options` is the reference that is `given` these: to 1e-12 in float64, 1e-5 in float32."""
    z = np.random.default_rng(0).normal(size=2000) * 1.5
    expected = reference(z, **given)
    torch.set_default_dtype(torch.float64)
    try:
        exact = BASES[name](**options).expand(torch.from_numpy(z)).detach().numpy()
    finally:
        torch.set_default_dtype(torch.float32)
    basis = BASES[name](**options)
    assert expected.shape == exact.shape == (2000, basis.n_features)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(exact - expected).max() <= 1e-12 * scale
    z32 = z.astype(np.float32)
    near = basis.expand(torch.from_numpy(z32)).detach().numpy()
    assert near.dtype == np.float32
    away = np.ones_like(expected, dtype=bool)
    if options.get("spline_order") == 0:  # a step: exact but where rounding crosses it
        away = np.abs(np.mod(z * 1.25 + 2.5, 1)[:, None] - 0.5) < 0.5 - 1e-4
    assert (np.abs(near - reference(z32.astype(np.float64), **given)) * away).max() <= 1e-5 * scale


@EVERY_BASIS
def test_features_have_full_rank(name: str) -> None:
    basis = BASES[name]()
    features = basis.expand(torch.linspace(-2, 2, 400, dtype=torch.float64))
    assert torch.linalg.matrix_rank(features) == basis.n_features


@EVERY_BASIS
def test_expand_appends_one_dimension_and_commutes_with_shape(name: str) -> None:
    basis = BASES[name]()
    x = torch.randn(3, 4, 5)
    features = basis.expand(x)
    assert features.shape == (3, 4, 5, basis.n_features)
    assert torch.equal(features[1, 2], basis.expand(x[1, 2]))
    assert basis.expand(torch.randn(())).shape == (basis.n_features,)
    assert basis.expand(torch.randn(0, 2)).shape == (0, 2, basis.n_features)


@pytest.mark.parametrize("name", UNIT_VARIANCE)
@pytest.mark.parametrize("degree", [1, 3, 6, 16])
def test_polynomials_have_one_variance_and_their_published_span(name: str, degree: int) -> None:
    """Monic Gram polynomials had standard deviations from .63 to .037, and high degrees learned as much slower."""
    unit, published = (BASES[name](degree=degree, unit_variance=each) for each in (True, False))
    _, variance = unit.moments()
    torch.testing.assert_close(variance, torch.ones_like(variance), atol=1e-9, rtol=0)
    z = torch.linspace(-2, 2, 200, dtype=torch.float64)
    ours, theirs = unit.expand(z), published.expand(z)
    ratio = ours.abs().amax(0) / theirs.abs().amax(0)
    torch.testing.assert_close(ours, theirs * ratio, atol=1e-10, rtol=1e-10)
    with_constant = BASES[name](degree=degree, constant=True).expand(z)
    assert (torch.equal(with_constant[:, 0], torch.ones_like(z))) == (name != "bernstein")
    torch.testing.assert_close(with_constant[:, 1:], ours, atol=0, rtol=0)


@pytest.mark.parametrize("name", sorted(BASES))
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_feature_repeats_the_bias_or_another_one(name: str, size: int) -> None:
    """All Bernstein polynomials of a degree sum to 1: with the bias they were one plane too many."""
    (field,) = {"grid_size", "degree", "count"} & set(inspect.signature(BASES[name]).parameters)
    basis = BASES[name](**{field: max(size, 2) if name == "rbf" else size})
    features = basis.expand(torch.linspace(-3, 3, 400, dtype=torch.float64)).detach()
    with_bias = torch.cat([features, torch.ones(400, 1, dtype=torch.float64)], 1)
    assert torch.linalg.matrix_rank(with_bias) == basis.n_features + 1


@EVERY_BASIS
def test_mean_squared_slopes_are_those_of_a_large_normal_sample(name: str) -> None:
    basis = BASES[name]()
    z = torch.randn(100_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    features = basis.expand(z)
    for k, expected in enumerate(basis.integrals().slope):
        (slope,) = torch.autograd.grad(features[:, k].sum(), z, retain_graph=True)
        assert slope.square().mean().item() == pytest.approx(expected.item(), rel=0.03, abs=0.002)


def test_steps_have_no_slope_that_a_gradient_could_see() -> None:
    assert not BASES["bspline"](spline_order=0).integrals().slope.any()


@EVERY_BASIS
def test_moments_are_those_of_a_large_normal_sample(name: str) -> None:
    basis = BASES[name]()
    sample = basis.expand(torch.randn(400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    mean, variance = basis.moments()
    assert mean.shape == variance.shape == (basis.n_features,)
    torch.testing.assert_close(mean, sample.mean(0), atol=0.01, rtol=0)
    torch.testing.assert_close(variance, sample.var(0), atol=0.01, rtol=0.02)


@EVERY_BASIS
def test_moments_are_integrated_once_for_a_configuration_and_anew_for_other_parameters(name: str) -> None:
    config: Any = TypeAdapter(BasisConfig).validate_python({"name": name})
    first, second = build_basis(config), build_basis(config)
    for ours, theirs in zip(first.integrals() + second.integrals(), 2 * BASES[name]().integrals(), strict=True):
        assert torch.equal(ours, theirs)
    with torch.no_grad():
        for parameter in second.parameters():
            parameter.mul_(1.5)
    learns = next(second.parameters(), None) is not None
    assert torch.equal(second.moments()[0], first.moments()[0]) != learns


@EVERY_BASIS
def test_values_and_gradients_are_finite_far_out(name: str) -> None:
    x = torch.cat([torch.linspace(-1e3, 1e3, 4001), torch.tensor([0.0, 9.5, -9.5, 1e-30])]).requires_grad_()
    features = BASES[name]().expand(x)
    features.sum().backward()
    assert x.grad is not None
    assert features.isfinite().all() and x.grad.isfinite().all()


@EVERY_BASIS
def test_autocast_evaluates_in_float32(name: str) -> None:
    basis, x = BASES[name](), torch.randn(1000)
    with torch.autocast("cpu", torch.bfloat16):
        features = basis.expand(x)
    assert torch.equal(features, basis.expand(x))


@EVERY_BASIS
def test_grids_are_buffers_that_move_with_dtype_and_state(name: str) -> None:
    basis = BASES[name]()
    x = torch.randn(100, dtype=torch.float64)
    before = basis.expand(x)
    assert torch.equal(basis.double().expand(x), before)
    other = BASES[name]()
    for tensor in other.state_dict().values():
        tensor.fill_(torch.nan)
    other.load_state_dict(basis.state_dict())
    assert torch.equal(other.expand(x), before)
    floating = [tensor for tensor in [*vars(basis).values()] if isinstance(tensor, torch.Tensor)]
    assert not floating, "a tensor that is neither a buffer nor a parameter"


@pytest.mark.parametrize("degree", [1, 2, 3, 6, 10])
def test_gram_polynomials_are_orthogonal_on_their_nodes(degree: int) -> None:
    m = degree + 1
    nodes = (2 * torch.arange(m, dtype=torch.float64) + 1) / m - 1
    values = BASES["gram"](degree=degree, constant=True).expand(torch.atanh(nodes))
    products = values.T @ values
    norms = products.diagonal().sqrt()
    assert norms.min() > 0
    torch.testing.assert_close(products / norms / norms[:, None], torch.eye(m, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("order", range(6))
def test_bsplines_sum_to_one_inside_and_vanish_outside(order: int) -> None:
    basis = BASES["bspline"](grid_size=4, spline_order=order)
    inside = basis.expand(torch.linspace(-1.999, 1.999, 500, dtype=torch.float64)).sum(-1)
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-12, rtol=0)
    edge = 2 + order + 1e-3
    assert not basis.expand(torch.tensor([-edge, edge, 1e6])).any()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bspline", {"grid_size": 0}),
        ("bspline", {"spline_order": -1}),
        ("bspline", {"grid_range": 0.0}),
        ("rbf", {"grid_size": 1}),
        ("rbf", {"grid_range": -1.0}),
        ("rbf", {"kernel": "cauchy"}),
        ("sine", {"grid_size": 0}),
        ("gram", {"degree": 0}),
        ("chebyshev", {"degree": 0}),
        ("legendre", {"degree": 0}),
        ("jacobi", {"degree": 0}),
        ("jacobi", {"a": -1.0}),
        ("fourier", {"grid_size": 0}),
        ("bernstein", {"degree": 0}),
        ("wavelet", {"count": 0}),
        ("wavelet", {"kind": "haar"}),
        ("relu", {"grid_size": 0}),
        ("relu", {"grid_range": 0.0}),
        ("gram", {"degree": -1, "constant": True}),
    ],
)
def test_an_empty_basis_is_refused_with_the_values_given(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must hold.*got.*" + str(next(iter(options.values())))):
        BASES[name](**options)


class Expanded(nn.Module):
    def __init__(self, basis: Basis) -> None:
        super().__init__()
        self.basis = basis

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.basis.expand(z)


@pytest.mark.parametrize(("name", "reference", "options"), CASES)
def test_gradients_are_exact(name: str, reference: Any, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    expanded = Expanded(BASES[name](**options).double())
    z = torch.cat([1.5 * torch.randn(20), torch.tensor([1e-3, 5.0, -20.0])]).double().requires_grad_()
    names, values = tuple(dict(expanded.named_parameters())), tuple(expanded.parameters())
    assert torch.autograd.gradcheck(
        lambda z, *values: functional_call(expanded, dict(zip(names, values, strict=True)), (z,)), (z, *values)
    )


def test_every_basis_writes_its_gradient_by_hand() -> None:
    for basis in BASES.values():
        assert basis.slopes is not Basis.slopes or basis.vjp is not Basis.vjp


@pytest.mark.parametrize("grid_centre", [0.5, -3.7])
def test_a_grid_off_the_middle_is_exact_in_float64_and_in_older_files(grid_centre: float) -> None:
    """Its centres were made in float32: 1.5e-8 off. Files of then hold them, in intervals from 0."""
    basis = BASES["bspline"](grid_size=7, grid_range=0.3, grid_centre=grid_centre)
    z = np.random.default_rng(0).normal(size=2000) * 0.4
    expected = bspline(z, grid_size=7, grid_range=0.3)
    there = torch.from_numpy(z) + grid_centre
    assert np.abs(basis.expand(there).numpy() - expected).max() <= 1e-12
    older = torch.arange(10.0)[:, None] - (4.5 - grid_centre * 7 / 0.6)
    basis.load_state_dict({"centres": older})
    assert np.abs(basis.expand(there).numpy() - expected).max() <= 1e-12


def test_the_bumps_of_two_relus_cannot_die() -> None:
    """Their ends were learned one by one: once they had crossed, nothing brought them back."""
    torch.manual_seed(0)
    basis = BASES["relu"]().double()
    with torch.no_grad():
        for parameter in basis.parameters():
            parameter.normal_(0, 2)  # wherever training may have put them
    parts = dict(basis.named_parameters())
    middle, half = parts["centre"].detach(), parts["log_half_width"].detach().exp()
    torch.testing.assert_close(basis.expand(middle).diagonal(), torch.ones_like(middle))
    beside = basis.expand(middle + half / 2).diagonal()
    torch.testing.assert_close(beside, torch.full_like(middle, 0.75**2))
    by_width = torch.autograd.grad(beside.sum(), parts["log_half_width"])[0]
    torch.testing.assert_close(by_width, torch.full_like(middle, 0.75))


def test_build_basis_passes_every_hyperparameter() -> None:
    basis: Any = build_basis(BSplineConfig(name="bspline", grid_size=7, spline_order=2, grid_range=1.5))
    assert (basis.grid_size, basis.spline_order, basis.grid_range) == (7, 2, 1.5)


def test_an_eleventh_basis_needs_one_class() -> None:
    class Ripple(Basis):
        n_features = 4

        def __init__(self) -> None:
            super().__init__()
            self.frequency = nn.Parameter(torch.tensor(1.0))

        def features(self, u: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.cos(k * self.frequency * u) for k in range(1, 5)], dim=1)

    mean, _ = Ripple().moments()
    torch.testing.assert_close(mean, torch.tensor([math.exp(-k * k / 2) for k in range(1, 5)]).double())
    layer = KANConv2d(2, 3, 2, basis=Ripple()).double()
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)
    assert "basis.frequency" in names
    assert torch.autograd.gradcheck(
        lambda x, *values: functional_call(layer, dict(zip(names, values, strict=True)), (x,)), (x, *values)
    )
