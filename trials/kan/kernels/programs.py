"""The Triton programs of every basis: its planes, of wide or of narrow rows, and their vector-Jacobian product.

A row is a group's channels at one place; its planes are P such rows one after the other: function by function, then the
base branch. How many functions, channels and places there are is not compiled in.
Factors are those of dropout and noise: `inner` (N, C) and `outer` (N, F*C).
"""

# mypy: ignore-errors

from __future__ import annotations

from pathlib import Path

import triton
import triton.language as tl

from trials.kan.kernels import program
from trials.kan.kernels.functions import (
    any_value,
    base_slope,
    base_value,
    chain,
    polynomial,
    polynomial_slope,
    prepare,
    slope,
    turn,
    value,
)

_FOURIER, _RECURRENCE = tl.constexpr(program.FOURIER), tl.constexpr(program.RECURRENCE)
_NO_BASE = tl.constexpr(program.NO_BASE)
_SIZES = ["rows", "units", "functions", "groups", "rows_of_sample"]  # values that are not compiled in


def cache_folder() -> Path:
    """Where Triton keeps what it has compiled."""
    return Path(triton.knobs.cache.dir)


def version_of(compiled: triton.JITFunction) -> str:
    """Text that identifies the source of a program, and the Triton that compiles it."""
    return f"{triton.__version__} {compiled.cache_key}"


@triton.jit(do_not_specialize=_SIZES)
def planes_program(
    z_at, inner_at, outer_at, first, second, planes_at, rows, units, functions, groups, rows_of_sample, scale,
    centre,
    KIND: tl.constexpr, ORDER: tl.constexpr, CONSTANT: tl.constexpr, BASE: tl.constexpr, INNER: tl.constexpr,
    OUTER: tl.constexpr, VECTOR: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """The planes of LANES * VECTOR elements, for rows of `units` * VECTOR channels.

    A lane holds VECTOR neighbouring channels, and goes through the functions, writing as many neighbours of each.
    """
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row = lane // units
    inside = (row < rows)[:, None]
    z = tl.load(z_at + neighbours(lane, VECTOR), inside, 0.0).to(tl.float32)
    span = units * VECTOR
    to = planes_at + neighbours(lane + row * (functions - (BASE == _NO_BASE)) * units, VECTOR)
    if BASE != _NO_BASE:
        write(to + functions * span, base_value(z, BASE), inside)
    factor = z_at  # not read without OUTER
    if INNER or OUTER:
        group = row // rows_of_sample * groups + row % groups  # of (N, groups)
        if INNER:
            z *= tl.load(inner_at + neighbours(lane + (group - row) * units, VECTOR), inside, 0.0)
        if OUTER:
            factor = outer_at + neighbours(lane + (group * functions - row) * units, VECTOR)
    z -= centre
    a, b = prepare(z, KIND)
    here, other = tl.zeros_like(z) + 1, tl.zeros_like(z)
    if CONSTANT:
        write(to, scaled(here, factor, inside, OUTER), inside)
        to += span
        factor += span
    steps = functions // 2 if KIND == _FOURIER else functions - CONSTANT
    for k in range(steps):
        if KIND == _FOURIER:
            here, other = turn(here, other, a, b)
            write(to + (k + steps) * span, scaled(other, factor + (k + steps) * span, inside, OUTER), inside)
        elif KIND == _RECURRENCE:
            here, other = polynomial(here, other, a, first + 3 * k)
        else:
            here = value(a, b, k, functions, scale, first, second, KIND, ORDER)
        write(to + k * span, scaled(here, factor + k * span, inside, OUTER), inside)


@triton.jit(do_not_specialize=_SIZES)
def narrow_planes_program(
    z_at, inner_at, outer_at, first, second, planes_at, rows, units, functions, groups, rows_of_sample, scale,
    centre,
    KIND: tl.constexpr, ORDER: tl.constexpr, CONSTANT: tl.constexpr, BASE: tl.constexpr, INNER: tl.constexpr,
    OUTER: tl.constexpr, VECTOR: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """LANES * VECTOR planes, for rows of any number of channels, `units`.

    A lane writes VECTOR neighbours, of whatever functions and channels they are: dense where rows are short.
    """
    planes = functions + (BASE != _NO_BASE)
    start = (tl.program_id(0) * LANES + tl.arange(0, LANES)) * VECTOR
    row = start // (planes * units)
    k = (start - row * planes * units) // units
    channel = neighbours(start - (row * planes + k) * units, 1) + tl.arange(0, VECTOR)[None, :]
    ahead = quotient(channel, units)
    channel -= ahead * units
    k = k[:, None] + ahead
    ahead = quotient(k, planes)
    k -= ahead * planes
    row = row[:, None] + ahead
    inside = row < rows
    z = tl.load(z_at + row * units + channel, inside, 0.0).to(tl.float32)
    base = z
    if BASE != _NO_BASE:
        base = base_value(z, BASE)
    if INNER or OUTER:
        group = row // rows_of_sample * groups + row % groups  # of (N, groups)
        if INNER:
            z *= tl.load(inner_at + group * units + channel, inside, 0.0)
    feature = tl.minimum(k, functions - 1)
    result = any_value(z - centre, feature, functions, scale, first, second, KIND, ORDER, CONSTANT)
    if OUTER:
        result *= tl.load(outer_at + (group * functions + feature) * units + channel, inside, 0.0)
    if BASE != _NO_BASE:
        result = tl.where(k < functions, result, base)
    write(planes_at + neighbours(start, 1) + tl.arange(0, VECTOR)[None, :], result, inside)


@triton.jit(do_not_specialize=_SIZES)
def pullback_program(
    z_at, inner_at, outer_at, first, second, grad_at, grad_z_at, partial_at, rows, units, functions, groups,
    rows_of_sample, scale, centre,
    KIND: tl.constexpr, ORDER: tl.constexpr, CONSTANT: tl.constexpr, BASE: tl.constexpr, INNER: tl.constexpr,
    OUTER: tl.constexpr, LEARNT: tl.constexpr, VECTOR: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    """Gradient of z from that of the planes; with LEARNT the parameters' over these elements too. Lanes as those of
    `planes_program`, each with the gradients of the next functions on their way."""
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    row = lane // units
    inside = (row < rows)[:, None]
    span = units * VECTOR
    grad_at += neighbours(lane + row * (functions - (BASE == _NO_BASE)) * units, VECTOR)
    steps = functions // 2 if KIND == _FOURIER else functions - CONSTANT
    now = read(grad_at + CONSTANT * span, inside & (steps > 0))
    soon = read(grad_at + (CONSTANT + 1) * span, inside & (steps > 1))
    later = read(grad_at + (CONSTANT + 2) * span, inside & (steps > 2))
    z = tl.load(z_at + neighbours(lane, VECTOR), inside, 0.0).to(tl.float32)
    of_base = tl.zeros_like(z)
    if BASE != _NO_BASE:
        of_base = read(grad_at + functions * span, inside).to(tl.float32) * base_slope(z, BASE)
    factor, inner = z_at, 1.0  # the first is not read without OUTER
    if INNER or OUTER:
        group = row // rows_of_sample * groups + row % groups  # of (N, groups)
        if INNER:
            inner = tl.load(inner_at + neighbours(lane + (group - row) * units, VECTOR), inside, 0.0)
        if OUTER:
            factor = outer_at + neighbours(lane + (group * functions - row) * units, VECTOR)
    x = z * inner - centre
    a, b = prepare(x, KIND)
    total = tl.zeros_like(z)
    here, other = tl.zeros_like(z) + 1, tl.zeros_like(z)
    rise, rise_before = tl.zeros_like(z), tl.zeros_like(z)
    for k in range(steps):
        plane = (k + CONSTANT) * span
        grad = scaled(now.to(tl.float32), factor + plane, inside, OUTER)
        now, soon, later = soon, later, read(grad_at + plane + 3 * span, inside & (k + 3 < steps))
        if KIND == _FOURIER:
            plane += steps * span
            of_sine = scaled(read(grad_at + plane, inside).to(tl.float32), factor + plane, inside, OUTER)
            here, other = turn(here, other, a, b)
            total += (k + 1) * (of_sine * here - grad * other)
        elif KIND == _RECURRENCE:
            here, other, rise, rise_before = polynomial_slope(here, other, rise, rise_before, a, first + 3 * k)
            total += grad * rise
        else:
            by_z, by_first, by_second = slope(x, a, b, k, functions, scale, first, second, KIND, ORDER)
            total += grad * by_z
            if LEARNT:
                sums = tl.sum(tl.join(tl.sum(grad * by_first, 1), tl.sum(grad * by_second, 1)), 0)
                tl.store(partial_at + (2 * tl.program_id(0) + tl.arange(0, 2)) * functions + k, sums)
    grad_z = total * chain(x, a, KIND) * inner + of_base
    tl.store(grad_z_at + neighbours(lane, VECTOR), grad_z.to(grad_z_at.dtype.element_ty), inside)


@triton.jit
def neighbours(unit, VECTOR: tl.constexpr):
    """Places of the VECTOR elements of each unit, (LANES, VECTOR)."""
    return (unit * VECTOR)[:, None] + tl.arange(0, VECTOR)[None, :]


@triton.jit
def quotient(n, divisor):
    """n // divisor, for small numbers: exact while n < 2**20."""
    return ((n + 0.5) * (1.0 / divisor)).to(tl.int32)


@triton.jit
def read(at, inside):
    return tl.load(at, inside, 0.0)


@triton.jit
def write(to, plane, inside):
    tl.store(to, plane.to(to.dtype.element_ty), inside)


@triton.jit
def scaled(x, factor_at, inside, OUTER: tl.constexpr):
    if OUTER:
        x *= tl.load(factor_at, inside, 0.0)
    return x
