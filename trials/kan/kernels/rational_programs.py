"""The Triton programs of a rational activation, in float32: its value, and its gradients.

A program has ROWS places of CHANNELS neighbouring channels each; memory has the channels last.
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows", "channels"])
def rational_program(
    x_at, a_at, b_at, group_at, y_at, rows, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr
):  # fmt: skip
    """φ(x) of every element."""
    at, inside, channel, present = places(rows, channels, ROWS, CHANNELS)
    x = tl.load(x_at + at, inside, 0.0).to(tl.float32)
    b1, b2, b3, b4 = coefficients(b_at, group_at, channel, present)
    y, _ = fraction(x, a_at, b1, b2, b3, b4)
    tl.store(y_at + at, y.to(y_at.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["rows", "channels"])
def rational_pullback_program(
    x_at, a_at, b_at, group_at, grad_at, grad_x_at, partial_at, rows, channels,
    ROWS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """The gradient of x, and for each channel the sums over these places of those of a_0..a_5 and of |b_1|..|b_4|:
    `partial` (programs along the rows, 10, channels)."""
    at, inside, channel, present = places(rows, channels, ROWS, CHANNELS)
    x = tl.load(x_at + at, inside, 0.0).to(tl.float32)
    grad = tl.load(grad_at + at, inside, 0.0).to(tl.float32)
    b1, b2, b3, b4 = coefficients(b_at, group_at, channel, present)
    y, bottom = fraction(x, a_at, b1, b2, b3, b4)
    size = tl.abs(x)
    outer = grad / bottom
    rise = 4 * tl.load(a_at + 4) + 5 * tl.load(a_at + 5) * x
    rise = tl.load(a_at + 1) + (2 * tl.load(a_at + 2) + (3 * tl.load(a_at + 3) + rise * x) * x) * x
    fall = b1 + (2 * b2 + (3 * b3 + 4 * b4 * size) * size) * size
    sign = tl.where(x > 0, 1.0, 0.0) - tl.where(x < 0, 1.0, 0.0)
    tl.store(grad_x_at + at, (outer * (rise - y * fall * sign)).to(grad_x_at.dtype.element_ty), inside)
    sums_at = partial_at + tl.program_id(0) * 10 * channels + channel
    term = outer
    for i in tl.static_range(6):
        tl.store(sums_at + i * channels, tl.sum(term, 0), present)
        term *= x
    term = -outer * y
    for j in tl.static_range(4):
        term *= size
        tl.store(sums_at + (6 + j) * channels, tl.sum(term, 0), present)


@triton.jit
def places(rows, channels, ROWS: tl.constexpr, CHANNELS: tl.constexpr):
    """Where the elements of this program lie, and its channels; and which of both there are."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    present = channel < channels
    return row[:, None] * channels + channel[None, :], (row < rows)[:, None] & present[None, :], channel, present


@triton.jit
def coefficients(b_at, group_at, channel, present):
    """|b_1| to |b_4| of each channel, (1, CHANNELS)."""
    b_at += 4 * tl.load(group_at + channel, present, 0)
    b1, b2 = tl.abs(tl.load(b_at, present, 0.0)), tl.abs(tl.load(b_at + 1, present, 0.0))
    b3, b4 = tl.abs(tl.load(b_at + 2, present, 0.0)), tl.abs(tl.load(b_at + 3, present, 0.0))
    return b1[None, :], b2[None, :], b3[None, :], b4[None, :]


@triton.jit
def fraction(x, a_at, b1, b2, b3, b4):
    """φ(x), and its denominator."""
    size = tl.abs(x)
    top = tl.load(a_at + 3) + (tl.load(a_at + 4) + tl.load(a_at + 5) * x) * x
    top = tl.load(a_at) + (tl.load(a_at + 1) + (tl.load(a_at + 2) + top * x) * x) * x
    bottom = 1 + (b1 + (b2 + (b3 + b4 * size) * size) * size) * size
    return top / bottom, bottom
