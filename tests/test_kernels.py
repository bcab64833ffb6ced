"""The Triton kernels compute what the float64 twin computes: on a GPU, or else in Triton's interpreter."""

from __future__ import annotations

from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="Triton is not installed: the kernels cannot be run")

from torch import nn
from torch.nn import functional as F

from trials.kan import (
    BASES,
    Basis,
    KANConv1d,
    KANConv2d,
    KANConv3d,
    KANLinear,
    MixtureKANConv1d,
    Perturbation,
    conv,
    kernels,
)
from trials.kan.kernels import find

pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # the interpreter's; 1/inf is meant
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
MEMBERS: list[tuple[str, dict[str, Any]]] = [
    *(("bspline", {"grid_size": g, "spline_order": s, "grid_range": 1.5}) for g, s in [(1, 0), (4, 1), (10, 3)]),
    *(("bspline", {"grid_size": g, "spline_order": s}) for g, s in [(5, 2), (50, 3), (3, 4), (6, 5)]),
    *(("bspline", {"grid_size": g, "grid_centre": m, "grid_range": 1.5}) for g, m in [(20, 0.6), (5, -3.0)]),
    *(("rbf", {"grid_size": g, "grid_range": 2.5}) for g in (2, 9)),
    *(("rbf", {"grid_size": 6, "kernel": kernel}) for kernel in ("tanh2", "sech")),
    *(("rbf", {"grid_size": 7, "kernel": kernel, "learnable": True}) for kernel in ("gauss", "tanh2", "sech")),
    *(("sine", {"grid_size": g}) for g in (1, 8)),
    *(("fourier", {"grid_size": g}) for g in (1, 5, 64)),
    *((name, {"degree": 1}) for name in ("chebyshev", "legendre", "gram")),
    *((name, {"degree": 5, "constant": True}) for name in ("chebyshev", "legendre", "gram")),
    *(("jacobi", {"degree": d, "a": -0.4, "b": 1.7}) for d in (1, 6)),
    *((name, {"degree": 4, "unit_variance": False}) for name in ("gram", "bernstein")),
    *(("bernstein", {"degree": d}) for d in (1, 4, 32)),
    *(("bernstein", {"degree": d, "constant": True}) for d in (1, 5)),
    *(("wavelet", {"kind": kind, "count": 5}) for kind in ("mexican_hat", "morlet", "dog")),
    *(("relu", {"grid_size": g, "spline_order": s}) for g, s in [(1, 0), (5, 3)]),
]  # fmt: skip
SHAPES = [(7, 3), (3, 16)]
"""For the programs of narrow and of wide rows, of which each family has one or the other member."""
EVERY_MEMBER = pytest.mark.parametrize(
    ("name", "options", "shape"), [(*member, SHAPES[i % 2]) for i, member in enumerate(MEMBERS)], ids=str
)
BASE_BRANCHES = [None, F.silu, nn.SiLU(), nn.ReLU(), nn.GELU(), nn.Identity()]


def inputs(*shape: int) -> torch.Tensor:
    """Fresh random numbers, some of them far outside of every grid; none on a knot."""
    z = torch.randn(shape, device=DEVICE)
    return torch.where(torch.rand(shape, device=DEVICE) < 0.05, 30 * z, z)


def perturbed(name: str, options: dict[str, Any]) -> Basis:
    """A basis whose parameters, where it has some, are not where they began."""
    basis = BASES[name](**options).to(DEVICE)
    with torch.no_grad():
        for p in basis.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return basis


def twin(basis: Basis, base: Any, z: torch.Tensor) -> torch.Tensor:
    """(N, C) -> (N, P * C)"""
    features = basis.expand(z)
    return (torch.cat([features, base(z)[..., None]], -1) if base else features).mT.flatten(1)


@EVERY_MEMBER
def test_planes_and_gradients_are_those_of_the_float64_twin(
    name: str, options: dict[str, Any], shape: tuple[int, int]
) -> None:
    basis = perturbed(name, options)
    base = BASE_BRANCHES[basis.n_features % len(BASE_BRANCHES)]
    z = inputs(*shape)
    with kernels.force(True):
        kernel = find(basis, base, list(basis.parameters()), z)
    assert kernel is not None
    planes = kernel.planes(z, None, None, torch.float32)
    grad = torch.randn_like(planes)
    of_z, *of_parameters = kernel.pullback(z, None, None, grad)
    basis.double()
    leaf = z.double().requires_grad_()
    expected = twin(basis, base, leaf)
    gradients = torch.autograd.grad(expected, [leaf, *basis.parameters()], grad.double())
    for ours, theirs in zip([planes, of_z, *of_parameters], [expected.detach(), *gradients], strict=True):
        scale = max(theirs.abs().max().item(), 1.0)
        torch.testing.assert_close(ours.double() / scale, theirs / scale, atol=3e-5, rtol=1e-4)


@pytest.mark.parametrize("base", BASE_BRANCHES, ids=lambda base: getattr(base, "__name__", str(base)))
def test_every_base_branch_has_a_kernel(base: Any) -> None:
    basis = BASES["gram"](degree=2).to(DEVICE)
    z = inputs(5, 2)
    with kernels.force(True):
        kernel = find(basis, base, [], z)
    assert kernel is not None
    leaf = z.double().requires_grad_()
    expected = twin(BASES["gram"](degree=2).to(DEVICE).double(), base, leaf)
    torch.testing.assert_close(
        kernel.planes(z, None, None, torch.float32).double(), expected.detach(), atol=1e-5, rtol=1e-5
    )
    grad = torch.randn_like(expected)
    (of_z,) = kernel.pullback(z, None, None, grad.float())
    torch.testing.assert_close(of_z.double(), torch.autograd.grad(expected, leaf, grad)[0], atol=3e-5, rtol=1e-4)


LAYERS = {
    "linear": (lambda **o: KANLinear(6, 4, **o), (5, 6)),
    "conv1d": (lambda **o: KANConv1d(4, 6, 3, padding=1, groups=2, **o), (3, 4, 7)),
    "conv2d": (lambda **o: KANConv2d(3, 4, 3, stride=2, padding=1, **o), (3, 3, 6, 5)),
    "eight at a time": (lambda **o: KANConv2d(16, 4, 1, groups=2, **o), (3, 16, 2, 3)),
    "conv3d": (lambda **o: KANConv3d(2, 3, 2, **o), (2, 2, 3, 4, 3)),
}


PLACEMENTS = ["none", "full", "poly", "degree"]
EVERY_LAYER = pytest.mark.parametrize(
    ("basis", "kind", "placement"),
    [
        (("bspline", "relu", "sine")[(i + j) % 3], kind, placement)  # each basis meets each kind and each placement
        for i, kind in enumerate(LAYERS)
        for j, placement in enumerate(PLACEMENTS)
    ],
)


@EVERY_LAYER
def test_a_layer_with_kernels_is_the_layer_without(basis: str, kind: str, placement: str) -> None:
    build, shape = LAYERS[kind]
    layer = build(
        basis=basis,
        perturbation=None if placement == "none" else Perturbation(0.3, 0.2, placement),  # type: ignore[arg-type]
    ).to(DEVICE)
    x = inputs(*shape).clamp(-3, 3)
    results = []
    for kernel in (True, False):
        torch.manual_seed(1)
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        with kernels.force(kernel), torch.backends.cudnn.flags(allow_tf32=False):
            y = layer(leaf)
            torch.manual_seed(2)
            y.backward(torch.randn(y.shape, device=DEVICE))
        results.append([y.detach(), leaf.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"bias": False, "stride": 2}, {"recompute": False, "padding": 1}], ids=str)
def test_a_convolution_with_more_outputs_than_asked_for_is_the_same(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = KANConv2d(3, 4, 3, **options).to(DEVICE, memory_format=torch.channels_last)
    x = inputs(2, 3, 6, 5)
    results = []
    for filled in (True, False):
        monkeypatch.setattr(conv, "few_outputs", lambda planes, weight, answer=filled: answer)
        layer.zero_grad()
        with torch.backends.cudnn.flags(allow_tf32=False):
            y = layer(x)
            y.square().sum().backward()
        assert y.is_contiguous(memory_format=torch.channels_last) or not filled
        results.append([y.detach(), *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_planes_lie_with_the_channels_last_and_are_rounded_at_the_end() -> None:
    basis = BASES["bspline"]().to(DEVICE)
    z = inputs(2, 3, 4, 5).to(memory_format=torch.channels_last)
    with kernels.force(True):
        kernel = find(basis, F.silu, [], z)
    assert kernel is not None
    exact = kernel.planes(z, None, None, torch.float32)
    rounded = kernel.planes(z, None, None, torch.bfloat16)
    assert exact.shape == (2, 27, 4, 5) and exact.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(rounded.float(), exact, atol=0, rtol=2**-7)  # the interpreter truncates, a GPU rounds
    assert DEVICE == "cpu" or torch.equal(rounded, exact.bfloat16())


def test_what_has_no_kernel_is_left_to_the_twin() -> None:
    z = inputs(2, 3)
    with kernels.force(True):
        assert find(BASES["wavelet"](kind="meyer").to(DEVICE), None, [], z) is None
        assert find(BASES["rbf"]().to(DEVICE), torch.tanh, [], z) is None
        assert find(BASES["rbf"]().to(DEVICE), None, [], z.double()) is None
        assert find(BASES["gram"]().to(DEVICE).double(), None, [], z) is None
    with kernels.force(False):
        assert find(BASES["rbf"]().to(DEVICE), None, [], z) is None
    assert (find(BASES["rbf"]().to(DEVICE), None, [], z) is not None) == (DEVICE == "cuda")


def test_that_the_twin_runs_where_a_kernel_was_wanted_is_said_once_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kernels.log_twin.cache_clear()
    layer, quick = (KANLinear(3, 2, basis=BASES["wavelet"](kind=kind)).to(DEVICE) for kind in ("shannon", "dog"))
    mixture = MixtureKANConv1d(3, 2, 1, basis="gram").to(DEVICE)
    with kernels.force(True):
        for _ in range(2):
            layer(inputs(4, 3)).sum().backward()
            quick(inputs(4, 3)).sum().backward()
            mixture(inputs(4, 3, 2)).sum().backward()
    with kernels.force(False):
        KANLinear(3, 2, basis=BASES["wavelet"](kind="meyer")).to(DEVICE)(inputs(4, 3))
    assert len(caplog.messages) == 2
    assert "Wavelet shannon has none" in caplog.messages[0] and "mixture" in caplog.messages[1]
