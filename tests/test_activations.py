"""Learnable activations before plain layers, `rational` and `spline_activation`, and PowerMLP's layers."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import interpolate
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from trials.kan import (
    BASES,
    ChannelActivation,
    GroupRational,
    PowerConv1d,
    PowerConv2d,
    PowerConv3d,
    PowerLinear,
    SplineActivation,
    kernels,
)

Array = NDArray[np.float64]
CHANNELS = 5
MEMBERS: dict[str, Callable[[], ChannelActivation]] = {
    "rational": lambda: GroupRational(CHANNELS, groups=2),
    "rational, identity": lambda: GroupRational(CHANNELS, groups=3, start="identity"),
    "rational, a group for each": lambda: GroupRational(CHANNELS, groups=8),
    "spline": lambda: SplineActivation(CHANNELS),
    "spline, linear": lambda: SplineActivation(CHANNELS, BASES["bspline"](grid_size=3, spline_order=1), nn.ReLU()),
    "spline alone": lambda: SplineActivation(CHANNELS, BASES["bspline"](grid_size=8, grid_range=4.0), None),
}
EVERY = pytest.mark.parametrize("name", MEMBERS)
EVERY_KIND = pytest.mark.parametrize("dims", [0, 1, 2, 3], ids=["vectors", "1d", "2d", "3d"])
POWERS: dict[int, Any] = {0: PowerLinear, 1: PowerConv1d, 2: PowerConv2d, 3: PowerConv3d}


def perturbed(name: str) -> ChannelActivation:
    """An activation whose parameters are not where they began, with coefficients of both signs."""
    torch.manual_seed(0)
    activation = MEMBERS[name]()
    with torch.no_grad():
        for parameter in activation.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return activation


def batch(dims: int, scale: float = 1.5) -> Tensor:
    torch.manual_seed(1)
    return scale * torch.randn(3, CHANNELS, *(4, 3, 2)[:dims])


def reference(activation: Any, x: Array) -> Array:
    """One number after the other, as the formula says: (N, C, *spatial)."""
    y = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        y[place] = (_rational if isinstance(activation, GroupRational) else _spline)(activation, x[place], place[1])
    return y


def _rational(activation: GroupRational, x: float, channel: int) -> float:
    a = activation.numerator.detach().numpy()
    b = activation.denominator.detach().numpy().reshape(-1, 4)[int(channel * activation.groups / CHANNELS)]
    return float(sum(a[i] * x**i for i in range(6)) / (1 + sum(abs(b[j - 1]) * abs(x) ** j for j in range(1, 5))))


def _spline(activation: SplineActivation, x: float, channel: int) -> float:
    basis: Any = activation.basis
    weight = activation.weight.detach().numpy()[channel]
    h = 2 * basis.grid_range / basis.grid_size
    order = basis.spline_order
    knots = -basis.grid_range + h * np.arange(-order, basis.grid_size + order + 1)
    inside = knots[0] <= x < knots[-1]
    total = 0.0
    for k in range(basis.n_features):
        element = interpolate.BSpline.basis_element(knots[k : k + order + 2], extrapolate=False)
        total += weight[k] * float(np.nan_to_num(element(x))) if inside else 0.0
    if activation.base is not None:
        total += weight[-1] * float(activation.base(torch.tensor(x, dtype=torch.float64)))
    return total


@EVERY
@EVERY_KIND
def test_values_are_those_of_the_formula(name: str, dims: int) -> None:
    activation, x = perturbed(name).double(), batch(dims).double()
    expected = reference(activation, x.numpy())
    with torch.no_grad():
        y = activation(x)
    assert y.shape == x.shape
    assert np.abs(y.numpy() - expected).max() <= 1e-12
    with torch.no_grad():
        near = activation.float()(x.float())
    assert near.dtype == torch.float32 and np.abs(near.numpy() - expected).max() <= 1e-5


@EVERY
@EVERY_KIND
def test_gradients_of_input_and_parameters_are_exact(name: str, dims: int) -> None:
    activation, x = perturbed(name).double(), batch(dims)[:2].double().requires_grad_()
    names, values = zip(*activation.named_parameters(), strict=True)

    def function(x: Tensor, *values: Tensor) -> Tensor:
        return functional_call(activation, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(function, (x, *values))


@EVERY
def test_values_and_gradients_are_finite_far_out(name: str) -> None:
    activation = MEMBERS[name]()
    x = torch.linspace(-1e3, 1e3, 2001).repeat(CHANNELS, 1).T.contiguous().requires_grad_()
    y = activation(x)
    y.sum().backward()
    assert y.isfinite().all() and x.grad is not None and x.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in activation.parameters())


@EVERY
@EVERY_KIND
def test_bfloat16_autocast_is_finite_and_near(name: str, dims: int) -> None:
    activation, x = perturbed(name), batch(dims)
    expected = activation(x).detach()
    for given in (x, x.bfloat16()):
        leaf = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = activation(leaf)
            y.float().square().sum().backward()
        torch.testing.assert_close(y.float(), expected, atol=0.05, rtol=0.03)
        assert leaf.grad is not None and leaf.grad.dtype == given.dtype and leaf.grad.isfinite().all()
        assert all(p.grad is not None and p.grad.dtype == p.dtype for p in activation.parameters())


@EVERY
def test_dtype_and_state_round_trips(name: str) -> None:
    activation, x = perturbed(name), batch(2)
    expected = activation(x)
    file = io.BytesIO()
    torch.save(activation.state_dict(), file)
    file.seek(0)
    other = MEMBERS[name]()
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x), expected)
    torch.testing.assert_close(other.double()(x.double()).float(), expected)
    other.bfloat16()
    assert other(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(other(x.bfloat16()).float(), expected, atol=0.1, rtol=0.1)


@EVERY
@EVERY_KIND
def test_memory_formats_and_places_do_not_matter(name: str, dims: int) -> None:
    activation, x = perturbed(name), batch(dims)
    if dims == 2:
        last = activation(x.to(memory_format=torch.channels_last))
        torch.testing.assert_close(last, activation(x))
    flat = x.movedim(1, -1).reshape(-1, CHANNELS)
    torch.testing.assert_close(activation(flat).view(3, *x.shape[2:], CHANNELS).movedim(-1, 1), activation(x))
    assert activation(x[:0]).shape == (0, *x.shape[1:])


@EVERY
def test_an_optimizer_step_moves_every_parameter_and_lowers_the_loss(name: str) -> None:
    activation = MEMBERS[name]().double()
    x = torch.linspace(-4, 4, 80, dtype=torch.float64)[:, None].expand(-1, CHANNELS)
    optimizer = torch.optim.SGD(activation.parameters(), lr=1e-6)
    losses = []
    for _ in range(2):
        loss = (activation(x) - x.abs()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
    for parameter in activation.parameters():
        assert parameter.grad is not None and parameter.grad.all(), "a coefficient that starts at zero learns as well"


@EVERY
@EVERY_KIND
def test_an_activation_exports_for_any_batch(name: str, dims: int) -> None:
    activation, x = perturbed(name).eval(), batch(dims)
    program = torch.export.export(activation, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    for rows in (1, 3, 4):
        given = torch.cat([x, x])[:rows]
        torch.testing.assert_close(program.module()(given), activation(given))


@EVERY
def test_the_meta_device_knows_the_shapes(name: str) -> None:
    with torch.device("meta"):
        activation, x = MEMBERS[name](), torch.empty(3, CHANNELS, 4, 4)
        assert activation(x.requires_grad_()).shape == x.shape
    real = MEMBERS[name]()
    assert {n: p.shape for n, p in activation.named_parameters()} == {n: p.shape for n, p in real.named_parameters()}


@EVERY
def test_nothing_stays_alive_after_an_activation_is_deleted(name: str) -> None:
    def use() -> None:
        activation, x = MEMBERS[name](), batch(2)
        activation(x).sum().backward()

    use()
    gc.freeze()
    try:
        use()
        gc.collect()
        assert not [thing for thing in gc.get_objects() if issubclass(type(thing), Tensor)]
    finally:
        gc.unfreeze()


@EVERY
def test_channels_that_are_kept_have_the_functions_that_they_had(name: str) -> None:
    activation, x = perturbed(name), batch(2)
    expected, chosen = activation(x).detach(), torch.tensor([0, 2, 4])
    activation.keep(chosen)
    assert activation.channels == 3
    torch.testing.assert_close(activation(x[:, chosen]), expected[:, chosen])
    other = MEMBERS[name]()
    other.keep(torch.arange(3))
    other.load_state_dict(activation.state_dict())
    assert torch.equal(other(x[:, chosen]), activation(x[:, chosen]))


@EVERY
def test_functions_and_their_mixture_are_the_activation(name: str) -> None:
    activation, z = perturbed(name), torch.linspace(-3, 3, 50)
    values = activation.functions(z) @ activation.mixture().T  # (Z, C)
    torch.testing.assert_close(values, activation(z[:, None].expand(-1, CHANNELS)))
    sample = torch.randn(400_000, generator=torch.Generator().manual_seed(0))
    moment = (activation.functions(sample) @ activation.mixture().T).square().mean().item()
    assert activation.second_moment() == pytest.approx(moment, rel=0.02)


@pytest.mark.parametrize("channels", [1, 3, 8, 13, 64])
def test_a_rational_has_its_numerator_and_four_numbers_for_each_group(channels: int) -> None:
    activation = GroupRational(channels)
    assert sum(p.numel() for p in activation.parameters()) == 6 + 4 * min(8, channels)
    sizes = torch.bincount(activation.group)
    assert len(sizes) == min(8, channels) and sizes.max() - sizes.min() <= 1
    assert torch.equal(activation.group, activation.group.sort().values), "groups are of neighbours"


def test_a_rational_starts_as_swish_or_as_the_identity() -> None:
    x = torch.linspace(-3, 3, 500)[:, None].expand(-1, CHANNELS)
    assert (GroupRational(CHANNELS)(x) - F.silu(x)).abs().max() < 1e-3
    assert torch.equal(GroupRational(CHANNELS, start="identity")(x), x)
    assert GroupRational(CHANNELS).second_moment() == pytest.approx(0.3558, abs=1e-3)
    assert GroupRational(CHANNELS, start="identity").second_moment() == pytest.approx(1.0)


def test_groups_of_a_rational_are_rationals_of_their_own() -> None:
    activation, x = perturbed("rational"), batch(2)
    assert isinstance(activation, GroupRational)
    for group, channels in enumerate([slice(0, 3), slice(3, 5)]):
        part = x[:, channels]
        own = GroupRational(part.shape[1], groups=1)
        with torch.no_grad():
            own.numerator.copy_(activation.numerator)
            own.denominator.copy_(activation.denominator.view(-1, 4)[group])
        assert torch.equal(own(part), activation(x)[:, channels])


def test_a_spline_activation_starts_as_its_base_or_as_silu_on_the_grid() -> None:
    x = torch.linspace(-3, 3, 500)[:, None].expand(-1, CHANNELS)
    torch.testing.assert_close(SplineActivation(CHANNELS)(x), F.silu(x))
    assert (MEMBERS["spline alone"]()(x) - F.silu(x)).abs().max() < 0.01
    assert sum(p.numel() for p in SplineActivation(CHANNELS).parameters()) == CHANNELS * (5 + 3 + 1)


@pytest.mark.parametrize("channels", [CHANNELS, 16])
def test_a_spline_activation_with_kernels_is_the_one_without(channels: int) -> None:
    pytest.importorskip("triton", reason="Triton is not installed: the kernels cannot be run")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    activation = SplineActivation(channels).to(device)
    nn.init.normal_(activation.weight)
    x, results = torch.randn(3, channels, 4, 2, device=device), []
    for kernel in (True, False):
        leaf = x.clone().requires_grad_()
        activation.zero_grad()
        with kernels.force(kernel):
            y = activation(leaf)
            y.square().sum().backward()
        results.append([y.detach(), leaf.grad, activation.weight.grad])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 8, 13, 40])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rational_with_kernels_is_the_one_without(channels: int, dtype: torch.dtype) -> None:
    pytest.importorskip("triton", reason="Triton is not installed: the kernels cannot be run")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    activation = GroupRational(channels).to(device)
    with torch.no_grad():
        for parameter in activation.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    for shape in [(3, channels, 9, 5), (70, channels), (2, channels, 700)]:
        x, results = torch.randn(shape, device=device).to(dtype), []
        for kernel in (True, False):
            leaf = x.clone().requires_grad_()
            activation.zero_grad()
            with kernels.force(kernel):
                y = activation(leaf)
                y.float().square().sum().backward()
            assert leaf.grad is not None and y.dtype == leaf.grad.dtype == dtype
            results.append([y.detach(), leaf.grad, *(p.grad for p in activation.parameters())])
        for ours, theirs in zip(*results, strict=True):
            scale = max(float(theirs.abs().max()), 1e-6)  # the interpreter truncates to bfloat16, a GPU rounds
            allowed = 1e-5 if dtype == torch.float32 else 2**-6
            torch.testing.assert_close(ours.float() / scale, theirs.float() / scale, atol=allowed, rtol=allowed)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: GroupRational(0), "channels >= 1.*0"),
        (lambda: GroupRational(4, groups=0), "groups >= 1.*0"),
        (lambda: GroupRational(4, start="relu"), "identity, swish.*'relu'"),  # type: ignore[arg-type]
        (lambda: SplineActivation(0), "channels >= 1.*0"),
        (lambda: GroupRational(4)(torch.randn(2, 3)), r"\(N, 4, .*\(2, 3\)"),
        (lambda: SplineActivation(4)(torch.randn(4)), r"\(N, 4, .*\(4,\)"),
        (lambda: PowerLinear(3, 2, power=0), "power >= 1.*0"),
        (lambda: PowerLinear(3, 2, share=1.0), "0 < share < 1.*1.0"),
    ],
)
def test_wrong_arguments_are_named_with_their_values(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def power_and_input(dims: int, **options: Any) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    if dims == 0:
        return PowerLinear(4, 6, **options), torch.randn(5, 4)
    return POWERS[dims](4, 6, 3, padding=1, **options), torch.randn(2, 4, *(5, 4, 3)[:dims])


@EVERY_KIND
@pytest.mark.parametrize("power", [1, 2, 3, 5])
def test_a_power_layer_is_the_formula_and_its_gradient(dims: int, power: int) -> None:
    layer, x = power_and_input(dims, power=power)
    layer.double()
    x = x.double()
    expected = layer.rectified(x).clamp(min=0) ** power + layer.base(x * torch.sigmoid(x))
    torch.testing.assert_close(layer(x), expected, atol=1e-12, rtol=0)
    names, values = zip(*layer.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda x, *values: functional_call(layer, dict(zip(names, values, strict=True)), (x,)),
        (x[:1].requires_grad_(), *values),
    )


@EVERY_KIND
@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_a_new_power_layer_keeps_the_variance_and_gains_little_backwards(dims: int, power: int) -> None:
    squares, gains = [], []
    torch.manual_seed(2)
    for _ in range(10):
        layer: Any = PowerLinear(64, 64, power=power) if dims == 0 else POWERS[dims](8, 64, 3, power=power)
        x = torch.randn(300, 64) if dims == 0 else torch.randn(20, 8, *{1: (40,), 2: (9, 9), 3: (5, 5, 5)}[dims])
        leaf = x.requires_grad_()
        y = layer(leaf)
        squares.append(y.square().mean().item())
        seen = torch.randn_like(y)
        (of_x,) = torch.autograd.grad(y, leaf, seen)
        gains.append(of_x.square().sum().item() / seen.square().sum().item() * y.shape[1] / x.shape[1])
    assert 0.8 <= np.mean(squares) <= 1.2
    if dims == 0:
        assert np.mean(gains) <= 1.3


@EVERY_KIND
def test_a_kernel_of_size_1_is_the_power_layer_at_each_place(dims: int) -> None:
    linear = PowerLinear(4, 6)
    if dims == 0:
        assert sum(p.numel() for p in linear.parameters()) == 2 * 4 * 6 + 6
        return
    layer = POWERS[dims](4, 6, 1)
    shaped = {n: p.view(*p.shape, *(1,) * dims) if p.dim() == 2 else p for n, p in linear.state_dict().items()}
    layer.load_state_dict(shaped)
    x = torch.randn(2, 4, *(5, 4, 3)[:dims])
    torch.testing.assert_close(layer(x), linear(x.movedim(1, -1)).movedim(-1, 1))
    halves = [POWERS[dims](2, 3, 1) for _ in range(2)]
    grouped = POWERS[dims](4, 6, 1, groups=2)
    for index, half in enumerate(halves):
        half.load_state_dict({n: p.chunk(2)[index] for n, p in grouped.state_dict().items()})
    expected = torch.cat([half(part) for half, part in zip(halves, x.chunk(2, 1), strict=True)], 1)
    torch.testing.assert_close(grouped(x), expected)


@EVERY_KIND
def test_power_layers_are_finite_in_bfloat16_and_far_out_and_export(dims: int) -> None:
    layer, x = power_and_input(dims)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(1e3 * x.requires_grad_())
        y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())
    program = torch.export.export(layer.eval(), (x.detach(),))
    torch.testing.assert_close(program.module()(x), layer(x))
