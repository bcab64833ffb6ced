"""The basis functions and their slopes as Triton device functions, one pair a family, in float32.

Each takes `u` or `z` and the index `k` of a function, of shapes that broadcast, and what `Program` says of the basis:
`SIZE` and `CONSTANT` (known to the compiler), `scale` and up to two tables in memory. Formulas: the basis' own module.
"""

# mypy: ignore-errors
# ruff: noqa: RET505 (the branch not taken must not be compiled)

from __future__ import annotations

import triton
import triton.language as tl

from trials.kan.kernels import program

_BSPLINE, _RADIAL = tl.constexpr(program.BSPLINE), tl.constexpr(program.RADIAL)
_FOURIER, _RECURRENCE = tl.constexpr(program.FOURIER), tl.constexpr(program.RECURRENCE)
_BERNSTEIN, _RELU_PAIR = tl.constexpr(program.BERNSTEIN), tl.constexpr(program.RELU_PAIR)
_MEXICAN_HAT, _MORLET = tl.constexpr(program.MEXICAN_HAT), tl.constexpr(program.MORLET)
_SILU, _RELU, _GELU = tl.constexpr(program.SILU), tl.constexpr(program.RELU), tl.constexpr(program.GELU)
_PI = tl.constexpr(3.141592653589793)
_HAT = tl.constexpr(0.8673250705840776)  # 2/(√3 π^¼)


@triton.jit
def domain(z, KIND: tl.constexpr):
    """u: z on the interval where the functions are defined."""
    if KIND == _FOURIER:
        return tl.erf(z * 0.7071067811865476)
    elif KIND == _RECURRENCE:
        return tanh(z)
    elif KIND == _BERNSTEIN:
        return tl.sigmoid(2 * z)
    else:
        return z


@triton.jit
def value(u, k, scale, first, second, KIND: tl.constexpr, F: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr):
    """φ_k at u = domain(z)."""
    if KIND == _BSPLINE:
        return bspline(u, k, scale, F, SIZE)
    elif KIND == _RADIAL:
        t = u * scale - (k - (F - 1) / 2)
        return tl.exp(-t * t)
    elif KIND == _FOURIER:
        turns, phase = frequency(k, SIZE)
        return sine(turns * u + phase)
    elif KIND == _RECURRENCE:
        return polynomial(u, k + (1 - CONSTANT), first, SIZE)
    elif KIND == _BERNSTEIN:
        return tl.load(first + k, k < F, 0.0) * powers(u, k, SIZE)
    elif KIND == _RELU_PAIR:
        low, high = tl.load(first + k, k < F, 0.0), tl.load(second + k, k < F, 1.0)
        narrowing = 2 * tl.rsqrt((high - low) * (high - low))
        root = tl.maximum(u - low, 0.0) * tl.maximum(high - u, 0.0) * (narrowing * narrowing)
        return root * root
    else:
        return wavelet((u - tl.load(first + k, k < F, 0.0)) * tl.exp(-tl.load(second + k, k < F, 0.0)), KIND)


@triton.jit
def slope(z, k, scale, first, second, KIND: tl.constexpr, F: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr):
    """dφ_k/dz, and the derivatives by the basis' first and second parameter, 0 where it has none."""
    if KIND == _BSPLINE:
        return bspline_slope(z, k, scale, F, SIZE), 0.0, 0.0
    elif KIND == _RADIAL:
        t = z * scale - (k - (F - 1) / 2)
        return -2 * scale * t * tl.exp(-t * t), 0.0, 0.0
    elif KIND == _FOURIER:
        turns, phase = frequency(k, SIZE)
        stretch = 2.5066282746310002 * tl.exp(-0.5 * z * z)
        return turns * sine(turns * tl.erf(z * 0.7071067811865476) + phase + 0.5) * stretch, 0.0, 0.0
    elif KIND == _RECURRENCE:
        u = tanh(z)
        return polynomial_slope(u, k + (1 - CONSTANT), first, SIZE) * (1 - u * u), 0.0, 0.0
    elif KIND == _BERNSTEIN:
        t = tl.sigmoid(2 * z)
        rising, falling = k * powers(t, k - 1, SIZE - 1), (SIZE - k) * powers(t, k, SIZE - 1)
        return tl.load(first + k, k < F, 0.0) * (rising - falling) * (2 * t * (1 - t)), 0.0, 0.0
    elif KIND == _RELU_PAIR:
        low, high = tl.load(first + k, k < F, 0.0), tl.load(second + k, k < F, 1.0)
        left, right, width = tl.maximum(z - low, 0.0), tl.maximum(high - z, 0.0), high - low
        outer = 2 * left * right * (4 / (width * width)) * (4 / (width * width))
        widening = 2 * outer * left * right / width
        return outer * (right - left), widening - outer * right, outer * left - widening
    else:
        narrowing = tl.exp(-tl.load(second + k, k < F, 0.0))
        v = (z - tl.load(first + k, k < F, 0.0)) * narrowing
        by_v = wavelet_slope(v, KIND)
        return by_v * narrowing, -by_v * narrowing, -by_v * v


@triton.jit
def base_value(z, BASE: tl.constexpr):
    """b(z)."""
    if BASE == _SILU:
        return z * tl.sigmoid(z)
    elif BASE == _RELU:
        return tl.maximum(z, 0.0)
    elif BASE == _GELU:
        return z * (0.5 + 0.5 * tl.erf(z * 0.7071067811865476))
    else:
        return z


@triton.jit
def base_slope(z, BASE: tl.constexpr):
    """b'(z)."""
    if BASE == _SILU:
        share = tl.sigmoid(z)
        return share * (1 + z * (1 - share))
    elif BASE == _RELU:
        return tl.where(z > 0, 1.0, 0.0)
    elif BASE == _GELU:
        return 0.5 + 0.5 * tl.erf(z * 0.7071067811865476) + z * 0.3989422804014327 * tl.exp(-0.5 * z * z)
    else:
        return tl.zeros_like(z) + 1


@triton.jit
def tanh(z):
    """To 1e-7 absolutely, and -1 and 1 far out."""
    return 2 / (1 + tl.exp(-2 * z)) - 1


@triton.jit
def sine(halves):
    """sin(π halves), reduced to a quarter turn, where its series to the 11th power errs by 6e-8."""
    reduced = halves - 2 * tl.floor(halves * 0.5 + 0.5)  # [-1, 1)
    angle = (0.5 - tl.abs(tl.abs(reduced) - 0.5)) * _PI
    square = angle * angle
    series = 2.7557319e-6 - square * 2.5052108e-8
    series = 0.16666667 - square * (8.3333333e-3 - square * (1.9841270e-4 - square * series))
    return tl.where(reduced < 0, -1.0, 1.0) * (angle - angle * square * series)


@triton.jit
def frequency(k, SIZE: tl.constexpr):
    """Half turns over the domain, and the phase in half turns: cosines 1..SIZE, then sines."""
    return tl.where(k < SIZE, k + 1, k - SIZE + 1).to(tl.float32), tl.where(k < SIZE, 0.5, 0.0)


@triton.jit
def power(x, N: tl.constexpr):
    """x^N, N >= 1."""
    result = x
    for _ in tl.static_range(N - 1):
        result *= x
    return result


@triton.jit
def pieces(distance, S: tl.constexpr, N: tl.constexpr):
    """Σ_i (-1)^i C(S+1, i) ((S+1)/2 - i - distance)₊^N."""
    total = power(tl.maximum((S + 1) / 2 - distance, 0.0), N)
    if S >= 2:
        total -= (S + 1) * power(tl.maximum((S - 1) / 2 - distance, 0.0), N)
    if S >= 4:
        total += (S + 1) * S / 2 * power(tl.maximum((S - 3) / 2 - distance, 0.0), N)
    return total


@triton.jit
def one_over_factorial(S: tl.constexpr):
    result = 1.0
    for i in tl.static_range(1, S + 1):
        result = result / i
    return result


@triton.jit
def bspline(z, k, scale, F: tl.constexpr, S: tl.constexpr):
    t = z * scale - (k - (F - 1) / 2)
    if S == 0:
        return tl.where((t >= -0.5) & (t < 0.5), 1.0, 0.0)
    else:
        return pieces(tl.abs(t), S, S) * one_over_factorial(S)


@triton.jit
def bspline_slope(z, k, scale, F: tl.constexpr, S: tl.constexpr):
    t = z * scale - (k - (F - 1) / 2)
    sign = tl.where(t > 0, 1.0, 0.0) - tl.where(t < 0, 1.0, 0.0)
    if S == 0:
        return tl.zeros_like(t)
    elif S == 1:
        return -scale * sign * tl.where(tl.abs(t) < 1, 1.0, 0.0)
    else:
        return -scale * sign * pieces(tl.abs(t), S, S - 1) * one_over_factorial(S - 1)


@triton.jit
def polynomial(u, n, table, DEGREE: tl.constexpr):
    """p_n(u) by the recurrence whose (a, b, c) are the table's rows."""
    before, here = tl.zeros_like(u), tl.zeros_like(u) + 1
    result = tl.where(n == 0, here, 0.0)
    for i in tl.static_range(DEGREE):
        step = (tl.load(table + 3 * i) * u + tl.load(table + 3 * i + 1)) * here - tl.load(table + 3 * i + 2) * before
        before, here = here, step
        result = tl.where(n == i + 1, here, result)
    return result


@triton.jit
def polynomial_slope(u, n, table, DEGREE: tl.constexpr):
    before, here = tl.zeros_like(u), tl.zeros_like(u) + 1
    slope_before, slope_here = tl.zeros_like(u), tl.zeros_like(u)
    result = tl.where(n == 0, slope_here, 0.0)
    for i in tl.static_range(DEGREE):
        a, b, c = tl.load(table + 3 * i), tl.load(table + 3 * i + 1), tl.load(table + 3 * i + 2)
        slope_step = a * here + (a * u + b) * slope_here - c * slope_before
        step = (a * u + b) * here - c * before
        before, here, slope_before, slope_here = here, step, slope_here, slope_step
        result = tl.where(n == i + 1, slope_here, result)
    return result


@triton.jit
def powers(t, k, N: tl.constexpr):
    """t^k (1-t)^(N-k)."""
    result = tl.zeros_like(t) + tl.where(k < 0, 0.0, 1.0)
    for i in tl.static_range(N):
        result *= tl.where(i < k, t, 1 - t)
    return result


@triton.jit
def wavelet(v, KIND: tl.constexpr):
    bell = tl.exp(-0.5 * v * v)
    if KIND == _MEXICAN_HAT:
        return (1 - v * v) * bell * _HAT
    elif KIND == _MORLET:
        return sine(v * (5 / _PI) + 0.5) * bell
    else:
        return -v * bell


@triton.jit
def wavelet_slope(v, KIND: tl.constexpr):
    bell = tl.exp(-0.5 * v * v)
    if KIND == _MEXICAN_HAT:
        return v * (v * v - 3) * bell * _HAT
    elif KIND == _MORLET:
        return -(5 * sine(v * (5 / _PI)) + v * sine(v * (5 / _PI) + 0.5)) * bell
    else:
        return (v * v - 1) * bell
