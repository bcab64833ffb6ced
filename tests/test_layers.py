"""Every KAN layer with every basis passes one suite, in 1-D, 2-D, 3-D and Linear."""

from __future__ import annotations

import gc
import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from trials.kan import (
    BASES,
    BottleneckKANConv1d,
    BottleneckKANConv2d,
    BottleneckKANConv3d,
    KANConv1d,
    KANConv2d,
    KANConv3d,
    KANLinear,
    bottleneck_width,
)

CONVOLUTIONS: dict[int, Any] = {1: KANConv1d, 2: KANConv2d, 3: KANConv3d}
BOTTLENECKS: dict[int, Any] = {1: BottleneckKANConv1d, 2: BottleneckKANConv2d, 3: BottleneckKANConv3d}
EVERY_BASIS = pytest.mark.parametrize("basis", sorted(BASES))
EVERY_KIND = pytest.mark.parametrize("dims", [0, 1, 2, 3], ids=["linear", "1d", "2d", "3d"])
EVERY_DIMENSION = pytest.mark.parametrize("dims", [1, 2, 3], ids=["1d", "2d", "3d"])


def layer_and_input(dims: int, basis: str, **options: Any) -> tuple[Any, Tensor]:
    """A small layer from 4 to 6 channels, and an input for it."""
    torch.manual_seed(0)
    if dims == 0:
        return KANLinear(4, 6, basis=basis, **options), torch.randn(5, 4)
    return CONVOLUTIONS[dims](4, 6, 3, padding=1, basis=basis, **options), torch.randn(2, 4, *(5, 4, 3)[:dims])


def functions(layer: Any, z: Tensor) -> Tensor:
    """Every plane of the layer, basis first, of each element: (...) -> (..., P)."""
    planes = layer.basis.expand(z)
    return planes if layer.base is None else torch.cat([planes, layer.base(z)[..., None]], -1)


def direct(layer: Any, z: Tensor) -> Tensor:
    """The convolution as it is defined: a sum over kernel entries, each with its own univariate function."""
    pads = [side for size in reversed(layer.padding) for side in (size, size)]
    padded = F.pad(z, pads)
    present = F.pad(torch.ones_like(z), pads)
    out_channels, per_group = layer.out_channels, layer.in_channels // layer.groups
    weight = layer.weight.view(out_channels, -1, per_group, *layer.kernel_size)
    sizes = [
        (padded.shape[2 + i] - layer.dilation[i] * (layer.kernel_size[i] - 1) - 1) // layer.stride[i] + 1
        for i in range(layer.dims)
    ]
    y = torch.zeros(len(z), out_channels, *sizes, dtype=z.dtype)
    for n, o in itertools.product(range(len(z)), range(out_channels)):
        group = o // (out_channels // layer.groups)
        for place in itertools.product(*map(range, sizes)):
            total = layer.bias[o]
            for c, entry in itertools.product(range(per_group), itertools.product(*map(range, layer.kernel_size))):
                at = tuple(p * s + e * d for p, s, e, d in zip(place, layer.stride, entry, layer.dilation, strict=True))
                source = (n, group * per_group + c, *at)
                values = functions(layer, padded[source])
                if layer.pad == "features":
                    values = values * present[source]
                total = total + (weight[(o, slice(None), c, *entry)] * values).sum()
            y[(n, o, *place)] = total
    return y


@EVERY_BASIS
@EVERY_KIND
@pytest.mark.parametrize("base", [None, F.silu], ids=["basis", "both"])
def test_outputs_of_a_new_layer_have_mean_0_and_variance_1(dims: int, basis: str, base: Any) -> None:
    torch.manual_seed(1)
    layer: Any = (
        KANLinear(48, 256, basis=basis, base=base, basis_share=0.5)
        if dims == 0
        else CONVOLUTIONS[dims](16, 96, 3, basis=basis, base=base, basis_share=0.5)
    )
    x = torch.randn(512, 48) if dims == 0 else torch.randn(64, 16, *{1: (8,), 2: (5, 5), 3: (4, 4, 3)}[dims])
    with torch.no_grad():
        y = layer(x)
    assert 0.8 <= y.var().item() <= 1.2
    assert abs(y.mean().item()) < 0.05
    if base is not None:
        weight = layer.basis_weight().detach()
        share = functions(layer, torch.randn(20_000))[:, :-1].var(0).sum() * weight.var() * math.prod(weight.shape[3:])
        assert 0.4 <= share.item() * weight.shape[1] <= 0.6, "half of the variance is the basis branch's"


@EVERY_BASIS
@EVERY_KIND
def test_a_layer_without_bias_keeps_the_second_moment(dims: int, basis: str) -> None:
    layer, _ = layer_and_input(dims, basis, bias=False)
    torch.manual_seed(2)
    x = torch.randn(*{0: (2000, 4), 1: (300, 4, 9), 2: (100, 4, 6, 6), 3: (100, 4, 4, 4, 4)}[dims])
    seconds = []
    for _ in range(20):
        layer.reset_parameters()
        y = layer(x) if dims == 0 else layer(x)[(..., *(slice(1, -1),) * dims)]
        seconds.append(y.square().mean().item())
    assert 0.7 <= sum(seconds) / 20 <= 1.3


@EVERY_BASIS
@EVERY_KIND
@pytest.mark.parametrize("base", [None, torch.tanh], ids=["basis", "both"])
def test_gradients_of_input_and_parameters_are_exact(dims: int, basis: str, base: Any) -> None:
    torch.manual_seed(0)
    layer: Any = (
        KANLinear(2, 2, basis=basis, base=base) if dims == 0 else CONVOLUTIONS[dims](2, 2, 2, basis=basis, base=base)
    )
    layer.double()
    x = torch.randn(2, 2, *(3, 2, 2)[:dims], dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *values))


@EVERY_BASIS
@EVERY_DIMENSION
@pytest.mark.parametrize("pad", ["features", "input"])
def test_a_convolution_equals_the_double_loop(dims: int, basis: str, pad: str) -> None:
    torch.manual_seed(3)
    layer = CONVOLUTIONS[dims](
        4, 2, (3, 2, 1)[:dims], stride=(2, 1, 1)[:dims], padding=(2, 1, 1)[:dims], dilation=(1, 2, 1)[:dims], groups=2,
        basis=basis, pad=pad,
    ).double()  # fmt: skip
    x = torch.randn(1, 4, *(5, 4, 1)[:dims], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), direct(layer, x), atol=1e-11, rtol=1e-11)


@EVERY_BASIS
@EVERY_DIMENSION
def test_groups_are_blocks_of_the_diagonal(dims: int, basis: str) -> None:
    layer, x = layer_and_input(dims, basis, groups=2)
    halves = [CONVOLUTIONS[dims](2, 3, 3, padding=1, basis=basis) for _ in range(2)]
    for half, weight, bias in zip(halves, layer.weight.chunk(2), layer.bias.chunk(2), strict=True):
        half.load_state_dict({**half.state_dict(), "weight": weight, "bias": bias})
    expected = torch.cat([half(part) for half, part in zip(halves, x.chunk(2, 1), strict=True)], 1)
    torch.testing.assert_close(layer(x), expected)


@EVERY_BASIS
@EVERY_DIMENSION
def test_a_kernel_of_size_1_is_the_linear_layer_at_each_place(dims: int, basis: str) -> None:
    linear = KANLinear(4, 6, basis=basis)
    layer = CONVOLUTIONS[dims](4, 6, 1, basis=basis)
    layer.load_state_dict({**linear.state_dict(), "weight": linear.weight.view(6, -1, *(1,) * dims)})
    x = torch.randn(2, 4, *(5, 4, 3)[:dims])
    torch.testing.assert_close(layer(x), linear(x.movedim(1, -1)).movedim(-1, 1))


@EVERY_BASIS
@EVERY_KIND
def test_a_sample_does_not_depend_on_its_batch(dims: int, basis: str) -> None:
    layer, x = layer_and_input(dims, basis)
    layer.eval()
    stretched = torch.cat([x[:1], 50 * x[1:]])
    torch.testing.assert_close(layer(stretched)[:1], layer(x[:1]))
    assert layer(torch.zeros_like(x)).isfinite().all()


@EVERY_BASIS
@EVERY_KIND
def test_bfloat16_autocast_is_finite_and_near(dims: int, basis: str) -> None:
    layer, x = layer_and_input(dims, basis)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x.requires_grad_())
        y.float().square().sum().backward()
    assert y.dtype == torch.bfloat16
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.dtype == p.dtype for p in layer.parameters())
    torch.testing.assert_close(y.float(), layer(x), atol=0.05, rtol=0.05)


@EVERY_BASIS
@EVERY_KIND
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_dtype_and_state_round_trips(dims: int, basis: str, dtype: torch.dtype) -> None:
    layer, x = layer_and_input(dims, basis)
    expected = layer(x)
    layer.to(dtype)
    assert all(tensor.dtype == dtype for tensor in layer.state_dict().values() if tensor.is_floating_point())
    assert layer(x.to(dtype)).dtype == dtype
    torch.testing.assert_close(layer(x.to(dtype)).float(), expected, atol=0.1, rtol=0.1)
    other, _ = layer_and_input(dims, basis)
    other.reset_parameters()
    other.to(dtype).load_state_dict(layer.state_dict())
    assert torch.equal(other(x.to(dtype)), layer(x.to(dtype)))


@EVERY_BASIS
@EVERY_KIND
def test_an_optimizer_step_moves_every_parameter_and_lowers_the_loss(dims: int, basis: str) -> None:
    layer, x = layer_and_input(dims, basis)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)
    before = [p.detach().clone() for p in layer.parameters()]
    losses = []
    for _ in range(2):
        loss = layer(x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    assert all(not torch.equal(old, new) for old, new in zip(before, layer.parameters(), strict=True))


@EVERY_BASIS
@EVERY_KIND
def test_nothing_stays_alive_after_a_layer_is_deleted(dims: int, basis: str) -> None:
    def use() -> None:
        layer, x = layer_and_input(dims, basis)
        layer(x).sum().backward()

    use()
    gc.freeze()  # what was there before is not looked at
    try:
        use()
        gc.collect()
        assert not [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    finally:
        gc.unfreeze()


@EVERY_BASIS
@EVERY_KIND
def test_a_layer_exports(dims: int, basis: str) -> None:
    layer, x = layer_and_input(dims, basis)
    program = torch.export.export(layer.eval(), (x,))
    torch.testing.assert_close(program.module()(x), layer(x))


@EVERY_BASIS
@EVERY_KIND
def test_the_meta_device_knows_the_shapes(dims: int, basis: str) -> None:
    with torch.device("meta"):
        layer, x = layer_and_input(dims, basis)
        y = layer(x)
    real, x = layer_and_input(dims, basis)
    assert y.shape == real(x).shape
    assert sum(p.numel() for p in layer.parameters()) == sum(p.numel() for p in real.parameters())


@EVERY_BASIS
@EVERY_DIMENSION
def test_bottlenecks_keep_the_variance_and_train(dims: int, basis: str) -> None:
    torch.manual_seed(0)
    layer = BOTTLENECKS[dims](32, 64, 3, padding=1, basis=basis, reduction=2)
    x = torch.randn(16, 32, *(8, 8, 8)[:dims])
    y = layer(x)
    inner = y[(..., *(slice(1, -1),) * dims)]
    assert y.shape == (16, 64, *x.shape[2:])
    assert 0.8 <= inner.var().item() <= 1.2
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((64, 64, 4), 16), ((256, 512, 4), 128), ((8, 64, 4), 8), ((64, 64, 4, 4), 16), ((256, 256, 2, 4), 32)],
)
def test_bottleneck_width_is_capped_from_both_sides(sizes: tuple[int, ...], expected: int) -> None:
    assert bottleneck_width(*sizes) == expected


def test_parameter_counts_are_as_documented() -> None:
    def count(layer: nn.Module) -> int:
        return sum(p.numel() for p in layer.parameters())

    assert count(KANLinear(10, 7, basis=BASES["bspline"](grid_size=5, spline_order=3))) == 7 * 10 * 9 + 7
    assert count(KANLinear(10, 7, basis="rbf", base=None, bias=False)) == 7 * 10 * 8
    assert count(KANConv2d(8, 6, 3, groups=2, basis="gram")) == 6 * 4 * 4 * 9 + 6


def test_l1_reaches_the_basis_weights_and_not_the_base_branch() -> None:
    layer = KANConv2d(2, 3, 3, basis="rbf")
    layer.basis_weight().abs().sum().backward()
    assert layer.weight.grad is not None
    gradient = layer.weight.grad.view(3, 9, 2, 3, 3)
    assert torch.equal(gradient[:, :8].transpose(1, 2), layer.basis_weight().sign())
    assert not gradient[:, 8].any()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KANLinear(3, 3, basis="spline"), "'spline'.*bspline"),
        (lambda: KANConv2d(3, 4, 3, groups=2), "groups=2"),
        (lambda: KANConv2d(3, 3, (3, 3, 3)), "2"),
        (lambda: KANConv2d(3, 3, 3, pad="zeros"), "'zeros'"),  # type: ignore[arg-type]
        (lambda: KANLinear(3, 3, basis_share=1.5), "1.5"),
        (lambda: KANLinear(3, 3, init="kaiming"), "'kaiming'"),  # type: ignore[typeddict-item]
        (lambda: KANLinear(3, 3)(torch.randn(2, 4)), r"in_features=3.*\(2, 4\)"),
        (lambda: KANConv2d(3, 3, 3)(torch.randn(2, 4, 5, 5)), r"\(2, 4, 5, 5\)"),
    ],
)
def test_wrong_arguments_are_named_with_their_values(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_unbatched_and_channels_last_inputs_give_the_same() -> None:
    layer, x = layer_and_input(2, "bspline")
    torch.testing.assert_close(layer(x[0]), layer(x)[0])
    torch.testing.assert_close(layer(x.to(memory_format=torch.channels_last)), layer(x))
    expected = layer(x)
    layer.to(memory_format=torch.channels_last)
    torch.testing.assert_close(layer(x), expected)
    layer.reset_parameters()
    assert not torch.allclose(layer(x), expected)


@pytest.mark.parametrize("basis", sorted(BASES))
def test_power_law_weights_have_the_deviations_of_their_exponents(basis: str) -> None:
    torch.manual_seed(0)
    layer = KANConv2d(16, 64, 3, basis=basis, init="power_law")
    terms = 16 * 9 * layer.planes
    weight = layer.weight.detach().unflatten(1, (layer.planes, 16))
    assert weight[:, :-1].std().item() == pytest.approx(terms**-1.75, rel=0.05)
    assert weight[:, -1].std().item() == pytest.approx(terms**-0.25, rel=0.05)
    assert layer.bias is not None and not layer.bias.any()


@pytest.mark.parametrize(("layer", "fan"), [(KANConv2d(16, 64, 3, init="efficient_kan", spline_scaler=True), 9),
                                           (KANLinear(50, 400, init="efficient_kan", spline_scaler=True), 50)],
                         ids=["convolution", "linear"])  # fmt: skip
def test_efficient_kans_weights_start_near_the_base_branch_alone(layer: KANConv2d | KANLinear, fan: int) -> None:
    torch.manual_seed(0)
    layer.reset_parameters()
    assert layer.spline_scaler is not None and layer.bias is not None and not layer.bias.any()
    splines, base = layer.basis_weight(), layer.edge_weights()[:, :, -1]
    for drawn, reach in ((splines, 0.05 / 5), (base, fan**-0.5), (layer.spline_scaler, fan**-0.5)):
        assert drawn.abs().max().item() == pytest.approx(reach, rel=0.01) and drawn.abs().max() <= reach
        assert drawn.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.05), "uniform"
    x = torch.randn(64, 16, 5, 5) if fan == 9 else torch.randn(64, 50)
    whole = layer(x)
    with torch.no_grad():
        splines.zero_()
    assert (whole - layer(x)).var() < 1e-3 * whole.var()


def test_the_spline_scaler_multiplies_the_basis_branch_of_its_edge() -> None:
    torch.manual_seed(0)
    layer, plain = KANConv2d(2, 3, 3, basis="rbf", spline_scaler=True), KANConv2d(2, 3, 3, basis="rbf")
    assert layer.spline_scaler is not None and layer.spline_scaler.shape == (3, 2, 3, 3)
    plain.load_state_dict({k: v for k, v in layer.state_dict().items() if k != "spline_scaler"})
    x = torch.randn(2, 2, 5, 5)
    assert torch.equal(layer(x), plain(x))
    with torch.no_grad():
        layer.spline_scaler[1, 0, 2, 1] = 3.0
        plain.basis_weight()[1, 0, :, 2, 1] *= 3.0
    torch.testing.assert_close(layer(x), plain(x))
    layer(x).sum().backward()
    assert layer.spline_scaler.grad is not None and layer.spline_scaler.grad.all()
