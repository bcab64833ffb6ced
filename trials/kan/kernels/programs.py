"""The two Triton programs of every basis: its planes, and their vector-Jacobian product.

Both see the input as E elements with the channels last, and the planes of one element as P neighbours in memory: its F
features, then its base branch. Factors are those of dropout and noise: `inner` (N, C) and `outer` (N, C*F).
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from trials.kan.kernels.functions import base_slope, base_value, slope, value


@triton.jit(do_not_specialize=["per_sample", "channels"])
def planes_program(
    z_at, inner_at, outer_at, first, second, planes_at, total, per_sample, channels, scale,
    KIND: tl.constexpr, F: tl.constexpr, P: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr,
    BASE: tl.constexpr, INNER: tl.constexpr, OUTER: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One plane of one element a lane, so that the stores are dense whatever P is."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < total
    element = at // P
    k = at - element * P
    z = tl.load(z_at + element, inside, 0.0).to(tl.float32)
    channel = (element // per_sample) * channels + element % channels  # of (N, C)
    gated = z
    if INNER:
        gated = z * tl.load(inner_at + channel, inside, 0.0)
    result = value(gated, k, scale, first, second, KIND, F, SIZE, CONSTANT)
    if OUTER:
        result *= tl.load(outer_at + channel * F + k, inside & (k < F), 0.0)
    if P > F:
        result = tl.where(k < F, result, base_value(z, BASE))
    tl.store(planes_at + at, result.to(planes_at.dtype.element_ty), inside)


@triton.jit(do_not_specialize=["per_sample", "channels"])
def pullback_program(
    z_at, inner_at, outer_at, first, second, grad_at, grad_z_at, partial_at, elements, per_sample, channels, scale,
    KIND: tl.constexpr, F: tl.constexpr, P: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr,
    BASE: tl.constexpr, INNER: tl.constexpr, OUTER: tl.constexpr, LEARNT: tl.constexpr,
    ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Gradient of z from that of the planes; with LEARNT this program's share of the parameters' gradients too."""
    k = tl.arange(0, WIDTH)[None, :]
    of_first, of_second = tl.zeros((ROWS, WIDTH), tl.float32), tl.zeros((ROWS, WIDTH), tl.float32)
    for block in range(tl.program_id(0), tl.cdiv(elements, ROWS), tl.num_programs(0)):
        element = block * ROWS + tl.arange(0, ROWS)
        inside = element < elements
        z = tl.load(z_at + element, inside, 0.0).to(tl.float32)
        row = element[:, None]
        grad = tl.load(grad_at + row * P + k, inside[:, None] & (k < P), 0.0).to(tl.float32)
        channel = (element // per_sample) * channels + element % channels
        factor = tl.full((ROWS,), 1.0, tl.float32)
        if INNER:
            factor = tl.load(inner_at + channel, inside, 0.0)
        of_feature = tl.where(k < F, grad, 0.0)
        if OUTER:
            of_feature *= tl.load(outer_at + channel[:, None] * F + k, inside[:, None] & (k < F), 0.0)
        by_z, by_first, by_second = slope((z * factor)[:, None], k, scale, first, second, KIND, F, SIZE, CONSTANT)
        grad_z = tl.sum(of_feature * by_z, 1) * factor
        if P > F:
            grad_z += tl.sum(tl.where(k == F, grad, 0.0), 1) * base_slope(z, BASE)
        tl.store(grad_z_at + element, grad_z.to(grad_z_at.dtype.element_ty), inside)
        if LEARNT:
            of_first += of_feature * by_first
            of_second += of_feature * by_second
    if LEARNT:
        column = tl.arange(0, WIDTH)
        here = partial_at + tl.program_id(0) * 2 * F + column
        tl.store(here, tl.sum(of_first, 0), column < F)
        tl.store(here + F, tl.sum(of_second, 0), column < F)
