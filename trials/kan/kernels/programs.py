"""The two Triton programs of every basis: its planes, and their vector-Jacobian product.

Both see the input as E elements with the channels last, and the planes of one element as P neighbours in memory: its F
features, then its base branch. Factors are those of dropout and noise: `inner` (N, C) and `outer` (N, C*F).
"""

# mypy: ignore-errors

from __future__ import annotations

import triton
import triton.language as tl

from trials.kan.kernels.functions import base_slope, base_value, domain, slope, value


@triton.jit(do_not_specialize=["per_sample", "channels"])
def planes_program(
    z_at, inner_at, outer_at, first, second, planes_at, total, per_sample, channels, scale,
    KIND: tl.constexpr, F: tl.constexpr, P: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr,
    BASE: tl.constexpr, INNER: tl.constexpr, OUTER: tl.constexpr, SPAN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Eight planes a lane, so that the stores are dense whatever P is. They are of at most SPAN elements, for each of
    which the domain map and the base branch are computed once."""
    start = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)) * 8
    element = start // P
    run = (start - element * P)[:, None] + tl.arange(0, 8)[None, :]  # planes since the first element's first
    at = start[:, None] + tl.arange(0, 8)[None, :]
    k, u, base, channel = run, tl.zeros((BLOCK, 8), tl.float32), tl.zeros((BLOCK, 8), tl.float32), run
    for j in tl.static_range(SPAN):
        here = element + j
        inside = here * P < total
        z = tl.load(z_at + here, inside, 0.0).to(tl.float32)
        own = run >= j * P  # of this element, or of a later one
        if P > F:
            base = from_here(base, base_value(z, BASE), own, j)
        if INNER or OUTER:
            row = (here // per_sample) * channels + here % channels  # of (N, C)
            channel = from_here(channel, row, own, j)
            if INNER:
                z *= tl.load(inner_at + row, inside, 0.0)
        u = from_here(u, domain(z, KIND), own, j)
        if j > 0:
            k = tl.where(own, run - j * P, k)
    result = value(u, k, scale, first, second, KIND, F, SIZE, CONSTANT)
    if OUTER:
        result *= tl.load(outer_at + channel * F + k, (at < total) & (k < F), 0.0)
    if P > F:
        result = tl.where(k < F, result, base)
    tl.store(planes_at + at, result.to(planes_at.dtype.element_ty), at < total)


@triton.jit
def from_here(before, of_element, own, j: tl.constexpr):
    """The element's value from its first plane on, (BLOCK, 8)."""
    wide = tl.broadcast_to(of_element[:, None], before.shape)
    if j > 0:
        wide = tl.where(own, wide, before)
    return wide


@triton.jit(do_not_specialize=["per_sample", "channels"])
def pullback_program(
    z_at, inner_at, outer_at, first, second, grad_at, grad_z_at, partial_at, elements, per_sample, channels, scale,
    KIND: tl.constexpr, F: tl.constexpr, P: tl.constexpr, SIZE: tl.constexpr, CONSTANT: tl.constexpr,
    BASE: tl.constexpr, INNER: tl.constexpr, OUTER: tl.constexpr, LEARNT: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Gradient of z from that of the planes, one element a lane; with LEARNT the parameters' over these elements too.

    A lane reads its P planes one after the other: they lie in lines that its neighbours have brought into the cache.
    """
    element = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = element < elements
    z = tl.load(z_at + element, inside, 0.0).to(tl.float32)
    channel = (element // per_sample) * channels + element % channels  # of (N, C)
    factor = 1.0
    if INNER:
        factor = tl.load(inner_at + channel, inside, 0.0)
    grad_z = tl.zeros_like(z)
    if F <= 48:
        for k in tl.static_range(F):
            grad = feature_gradient(grad_at, outer_at, element * P + k, channel * F + k, inside, OUTER)
            by_z, by_first, by_second = slope(z * factor, k, scale, first, second, KIND, F, SIZE, CONSTANT)
            grad_z += grad * by_z
            if LEARNT:
                here = partial_at + tl.program_id(0) * 2 * F + k
                tl.store(here, tl.sum(grad * by_first, 0))
                tl.store(here + F, tl.sum(grad * by_second, 0))
    else:
        for k in range(F):
            grad = feature_gradient(grad_at, outer_at, element * P + k, channel * F + k, inside, OUTER)
            by_z, by_first, by_second = slope(z * factor, k, scale, first, second, KIND, F, SIZE, CONSTANT)
            grad_z += grad * by_z
            if LEARNT:
                here = partial_at + tl.program_id(0) * 2 * F + k
                tl.store(here, tl.sum(grad * by_first, 0))
                tl.store(here + F, tl.sum(grad * by_second, 0))
    grad_z *= factor
    if P > F:
        grad_z += tl.load(grad_at + element * P + F, inside, 0.0).to(tl.float32) * base_slope(z, BASE)
    tl.store(grad_z_at + element, grad_z.to(grad_z_at.dtype.element_ty), inside)


@triton.jit
def feature_gradient(grad_at, outer_at, plane, factor, inside, OUTER: tl.constexpr):
    grad = tl.load(grad_at + plane, inside, 0.0).to(tl.float32)
    if OUTER:
        grad *= tl.load(outer_at + factor, inside, 0.0)
    return grad
