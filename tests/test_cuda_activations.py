"""Learnable activations and PowerMLP's layers on CUDA: what they compute on a CPU, in any memory format and precision,
twice the same, and without a warning that a kernel is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trials.kan import BASES, GroupRational, KANConv2d, PowerConv2d, SplineActivation, kernels

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "rational": lambda channels: GroupRational(channels),
    "rational, two groups": lambda channels: GroupRational(channels, groups=2, start="identity"),
    "spline": lambda channels: SplineActivation(channels),
    "spline alone": lambda channels: SplineActivation(channels, BASES["bspline"](grid_size=8), None),
    "power": lambda channels: PowerConv2d(channels, 8, 3, padding=1),
}
EVERY = pytest.mark.parametrize("name", LAYERS)
SIZES = pytest.mark.parametrize("channels", [3, 13, 16, 64])


def perturbed(name: str, channels: int) -> nn.Module:
    torch.manual_seed(0)
    layer = LAYERS[name](channels)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


def run(layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of each parameter: copies on the CPU in float64."""
    layer.zero_grad()
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    y.float().square().mean().backward()
    gradients = [leaf.grad, *(p.grad for p in layer.parameters())]
    return [tensor.detach().double().cpu().clone() for tensor in (y, *gradients) if tensor is not None]


@EVERY
@SIZES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
def test_cuda_computes_what_the_cpu_computes(name: str, channels: int, layout: torch.memory_format) -> None:
    layer, x = perturbed(name, channels), 2 * torch.randn(6, channels, 9, 7)
    expected = run(layer.double(), x.double())
    with torch.backends.cudnn.flags(allow_tf32=False):
        found = run(layer.float().cuda(), x.cuda().to(memory_format=layout))
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        scale = max(theirs.abs().max().item(), 1e-6)
        torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-4, rtol=1e-3)


@EVERY
def test_bfloat16_autocast_is_near_and_repeats_itself(name: str) -> None:
    layer, x = perturbed(name, 16).cuda(), torch.randn(32, 16, 14, 14).cuda().to(memory_format=torch.channels_last)
    exact = run(layer, x)
    with torch.autocast("cuda", torch.bfloat16):
        first, second = run(layer, x.bfloat16()), run(layer, x.bfloat16())
    for ours, again, theirs in zip(first, second, exact, strict=True):
        assert torch.equal(ours, again), "twice the same numbers"
        scale = max(theirs.abs().max().item(), 1e-6)
        torch.testing.assert_close(ours / scale, theirs / scale, atol=0.05, rtol=0.1)


@EVERY
def test_values_are_finite_far_out(name: str) -> None:
    layer = LAYERS[name](16).cuda()
    x = torch.linspace(-1e3, 1e3, 16 * 12 * 12).view(1, 16, 12, 12).cuda()
    assert all(tensor.isfinite().all() for tensor in run(layer, x))


@pytest.mark.parametrize(
    ("basis", "options"),
    [
        ("sine", {}),
        ("bspline", {"grid_centre": 0.6}),
        *(("rbf", {"kernel": kernel, "learnable": free}) for kernel in ("gauss", "tanh2", "sech") for free in (0, 1)),
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [13, 16])
def test_the_new_functions_have_kernels(
    basis: str, options: dict[str, Any], channels: int, caplog: pytest.LogCaptureFixture
) -> None:
    kernels.log_twin.cache_clear()
    torch.manual_seed(0)
    options = {key: bool(value) if key == "learnable" else value for key, value in options.items()}
    layer = KANConv2d(channels, 8, 3, padding=1, basis=BASES[basis](**options)).cuda()
    x, results = torch.randn(4, channels, 10, 10).cuda().to(memory_format=torch.channels_last), []
    for kernel in (None, False):
        with kernels.force(kernel), torch.backends.cudnn.flags(allow_tf32=False):
            results.append(run(layer, x))
    assert not caplog.messages
    for ours, theirs in zip(*results, strict=True):
        scale = max(theirs.abs().max().item(), 1e-6)
        torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-4, rtol=1e-3)
