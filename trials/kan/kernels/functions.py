"""The basis functions and their slopes as Triton device functions, in float32.

`prepare` computes once for each element what all functions share. From it `value` and `slope` make any function k, and
`turn` and `polynomial` the next one from those before it. `scale` and up to two tables in memory are what `Program`
says of the basis. Formulas: the basis' own module.
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
_FREE_RADIAL, _SINE = tl.constexpr(program.FREE_RADIAL), tl.constexpr(program.SINE)
_MEXICAN_HAT, _MORLET = tl.constexpr(program.MEXICAN_HAT), tl.constexpr(program.MORLET)
_SILU, _RELU, _GELU = tl.constexpr(program.SILU), tl.constexpr(program.RELU), tl.constexpr(program.GELU)
_PI = tl.constexpr(3.141592653589793)
_ONE_OVER_PI = tl.constexpr(0.3183098861837907)
_HAT = tl.constexpr(0.8673250705840776)  # 2/(√3 π^¼)


@triton.jit
def prepare(z, KIND: tl.constexpr):
    """Two numbers of z from which every function is made."""
    if KIND == _FOURIER:
        u = tl.erf(z * 0.7071067811865476)
        return sine(u + 0.5), sine(u)
    elif KIND == _RECURRENCE:
        u = tanh(z)
        return u, u
    elif KIND == _BERNSTEIN:
        return log2_sigmoid(2 * z), log2_sigmoid(-2 * z)
    else:
        return z, z


@triton.jit
def chain(z, a, KIND: tl.constexpr):
    """du/dz, where the slopes are those by u; a: the first number that was prepared."""
    if KIND == _FOURIER:
        return 2.5066282746310002 * tl.exp(-0.5 * z * z)  # with the π of sin(kπu)
    elif KIND == _RECURRENCE:
        return 1 - a * a
    else:
        return 1.0


@triton.jit
def value(a, b, k, functions, scale, first, second, KIND: tl.constexpr, ORDER: tl.constexpr):
    """φ_k, of a basis whose functions are computed one by one."""
    if KIND == _BSPLINE:
        return bspline(a * scale - (k - (functions - 1) * 0.5), ORDER)
    elif KIND == _RADIAL:
        return radial(a * scale - (k - (functions - 1) * 0.5), ORDER)
    elif KIND == _FREE_RADIAL:
        return radial((a * scale - tl.load(first + k)) * tl.exp(-tl.load(second + k)), ORDER)
    elif KIND == _SINE:
        return sine((a * tl.load(first + k) + tl.load(second + k)) * _ONE_OVER_PI)
    elif KIND == _BERNSTEIN:
        return tl.load(first + k) * tl.exp2((k + ORDER) * a + (functions - 1 - k) * b)
    else:
        return wavelet((a - tl.load(first + k)) * tl.exp(-tl.load(second + k)), KIND)


@triton.jit
def any_value(
    z, k, functions, scale, first, second, KIND: tl.constexpr, ORDER: tl.constexpr, CONSTANT: tl.constexpr
):  # fmt: skip
    """φ_k(z) for k of the shape of z: each element has a function of its own."""
    if KIND == _FOURIER:
        half = functions // 2
        turns, phase = tl.where(k < half, k + 1, k - half + 1), tl.where(k < half, 0.5, 0.0)
        return sine(turns * tl.erf(z * 0.7071067811865476) + phase)
    elif KIND == _RECURRENCE:
        u = tanh(z)
        here, before = tl.zeros_like(u) + 1, tl.zeros_like(u)
        result = here
        for n in range(functions - CONSTANT):
            here, before = polynomial(here, before, u, first + 3 * n)
            result = tl.where(k == n + CONSTANT, here, result)
        return result
    else:
        a, b = prepare(z, KIND)
        return value(a, b, k, functions, scale, first, second, KIND, ORDER)


@triton.jit
def slope(z, a, b, k, functions, scale, first, second, KIND: tl.constexpr, ORDER: tl.constexpr):
    """dφ_k/dz, and the derivatives by the basis' first and second parameter, 0 where it has none."""
    if KIND == _BSPLINE:
        return scale * bspline_slope(z * scale - (k - (functions - 1) * 0.5), ORDER), 0.0, 0.0
    elif KIND == _RADIAL:
        return scale * radial_slope(z * scale - (k - (functions - 1) * 0.5), ORDER), 0.0, 0.0
    elif KIND == _FREE_RADIAL:
        narrowing = tl.exp(-tl.load(second + k))
        t = (z * scale - tl.load(first + k)) * narrowing
        by_t = radial_slope(t, ORDER)
        return by_t * narrowing * scale, -by_t * narrowing, -by_t * t
    elif KIND == _SINE:
        frequency = tl.load(first + k)
        by_angle = sine((z * frequency + tl.load(second + k)) * _ONE_OVER_PI + 0.5)
        return by_angle * frequency, by_angle * z, 0.0
    elif KIND == _BERNSTEIN:
        here = value(a, b, k, functions, scale, first, second, KIND, ORDER)
        return 2 * here * (k + ORDER - (functions - 1 + ORDER) * tl.exp2(a)), 0.0, 0.0
    else:
        narrowing = tl.exp(-tl.load(second + k))
        v = (z - tl.load(first + k)) * narrowing
        by_v = wavelet_slope(v, KIND)
        return by_v * narrowing, -by_v * narrowing, -by_v * v


@triton.jit
def turn(cosine, sine, a, b):
    """cos(nπu) and sin(nπu) for the next n; a and b are those for n = 1."""
    return cosine * a - sine * b, sine * a + cosine * b


@triton.jit
def polynomial(here, before, u, row):
    """p_{n+1} and p_n from p_n and p_{n-1}; at `row` lie (a_n, b_n, c_n)."""
    return (tl.load(row) * u + tl.load(row + 1)) * here - tl.load(row + 2) * before, here


@triton.jit
def polynomial_slope(here, before, rise, rise_before, u, row):
    """The same, and the derivatives of both."""
    a, b, c = tl.load(row), tl.load(row + 1), tl.load(row + 2)
    factor = a * u + b
    return factor * here - c * before, here, a * here + factor * rise - c * rise_before, rise


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
def log2_sigmoid(x):
    """log2 of 1/(1 + exp(-x)), to float32's precision of the sigmoid itself."""
    return tl.minimum(x, 0.0) * 1.4426950408889634 - tl.log2(1 + tl.exp(-tl.abs(x)))


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
def bspline(t, S: tl.constexpr):
    """M_S(|t|), t in intervals from the spline's middle."""
    if S == 0:
        return tl.where((t >= -0.5) & (t < 0.5), 1.0, 0.0)
    else:
        return pieces(tl.abs(t), S, S) * one_over_factorial(S)


@triton.jit
def bspline_slope(t, S: tl.constexpr):
    sign = tl.where(t > 0, 1.0, 0.0) - tl.where(t < 0, 1.0, 0.0)
    if S == 0:
        return tl.zeros_like(t)
    elif S == 1:
        return -sign * tl.where(tl.abs(t) < 1, 1.0, 0.0)
    else:
        return -sign * pieces(tl.abs(t), S, S - 1) * one_over_factorial(S - 1)


@triton.jit
def radial(t, KERNEL: tl.constexpr):
    """exp(-t²), 1 - tanh² t or 1/cosh t."""
    if KERNEL == 0:
        return tl.exp(-t * t)
    else:
        falling = tl.exp(-tl.abs(t))
        sech = 2 * falling / (1 + falling * falling)
        if KERNEL == 1:
            return sech * sech
        else:
            return sech


@triton.jit
def radial_slope(t, KERNEL: tl.constexpr):
    if KERNEL == 0:
        return -2 * t * tl.exp(-t * t)
    elif KERNEL == 1:
        return -2 * tanh(t) * radial(t, KERNEL)
    else:
        return -tanh(t) * radial(t, KERNEL)


@triton.jit
def wavelet(v, KIND: tl.constexpr):
    """A wavelet, or the bump of two ReLUs."""
    bell = tl.exp(-0.5 * v * v)
    if KIND == _RELU_PAIR:
        root = tl.maximum(1 - v * v, 0.0)
        return root * root
    elif KIND == _MEXICAN_HAT:
        return (1 - v * v) * bell * _HAT
    elif KIND == _MORLET:
        return sine(v * (5 / _PI) + 0.5) * bell
    else:
        return -v * bell


@triton.jit
def wavelet_slope(v, KIND: tl.constexpr):
    bell = tl.exp(-0.5 * v * v)
    if KIND == _RELU_PAIR:
        return -4 * v * tl.maximum(1 - v * v, 0.0)
    elif KIND == _MEXICAN_HAT:
        return v * (v * v - 3) * bell * _HAT
    elif KIND == _MORLET:
        return -(5 * sine(v * (5 / _PI)) + v * sine(v * (5 / _PI) + 0.5)) * bell
    else:
        return (v * v - 1) * bell
