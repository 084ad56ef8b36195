"""Iterations on maps that are only applied, every sample of a batch its own: conjugate gradients, Lanczos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from linops_video.algebra.parameters import like, moved
from linops_video.errors import SpecError

Map = Callable[[Tensor], Tensor]

CYCLES = 6
"""Restarts from the true residual: the one that the recurrence carries drifts from it by rounding."""

DIGITS = 1e-4
"""What a cycle in less precision than the residual's leaves of it, in 100 steps. Where more than ten times that is
left, the cycle counts for nothing, and the next is in full precision."""


@dataclass(frozen=True)
class IterativeSolve:
    """x with G x ≈ b; `iterations` and the relative `residual` ‖b − G x‖/‖b‖ have one entry per sample."""

    x: Tensor
    iterations: Tensor
    residual: Tensor


def conjugate_gradient(
    G: Map,
    b: Tensor,
    event_ndim: int,
    preconditioner: Map | None = None,
    rtol: float | Tensor = 1e-6,
    max_steps: int = 1000,
    start: Tensor | None = None,
    least: float | Tensor | None = None,
    base: Tensor | None = None,
    dtype: torch.dtype | None = None,
) -> IterativeSolve:
    """Solve G x = b for a self-adjoint positive G by preconditioned conjugate gradients.

    Each sample (all axes before the last `event_ndim`) has its own step lengths and stops at its own residual: at
    ‖b − G x‖ ≤ rtol ‖b‖, or, where no eigenvalue of G is below `least`, at ‖b − G x‖ ≤ rtol · least ‖base + x‖: x is
    then within rtol ‖base + x‖ of the solution. A sample that has stopped is left as it is. Source: Hestenes and
    Stiefel (1952).

    Args:
        G: the map x ↦ G x, which must treat samples separately.
        preconditioner: an approximate inverse of G, self-adjoint and positive.
        rtol, least: numbers, or tensors with one for each sample and event axes of length 1.
        start: the first x; zero if not given.
        base: what x is to be added to; zero if not given.
        dtype: the precision of the steps while they gain digits in it; residuals and x are in that of b.

    Example:
        >>> import torch
        >>> conjugate_gradient(lambda x: 2 * x, torch.ones(3, 4), event_ndim=1).iterations
        tensor([1, 1, 1])
    """
    event = tuple(range(-event_ndim, 0))

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).sum(event, keepdim=True).real

    def limit(x: Tensor) -> Tensor:
        if least is None:
            return rtol**2 * size
        scaled = like(least, x.real) * (x if base is None else x + base.to(x))
        return rtol**2 * dot(scaled, scaled)

    largest = b.abs().amax(event, keepdim=True)
    unit = torch.where(largest > 0, largest, 1)  # squares of what is very large or small leave the range of floats
    b, base = b / unit, None if base is None else base / unit
    size = dot(b, b)
    x = torch.zeros_like(b) if start is None else torch.where(largest > 0, start.to(b.dtype) / unit, 0)
    residual = b if start is None else b - G(x)
    squares, iterations = dot(residual, residual), torch.zeros_like(size, dtype=torch.long)
    precise = b.dtype.to_real()
    dtype = dtype or precise
    for _ in range(CYCLES):
        coarse = dtype != precise
        known, least_left = moved(x, None, dtype), coarse * DIGITS**2 * squares

        def going(d: Tensor, r: Tensor, known: Tensor = known, least_left: Tensor = least_left) -> Tensor:
            return dot(r, r) > torch.maximum(limit(known + d), least_left)

        steps = max_steps - int(iterations.max())
        steps = min(100, steps) if coarse else steps
        d, done = _cycle(G, moved(residual, None, dtype), going, preconditioner, steps, dot)
        iterations = iterations + done
        closer = x + d
        left = b - G(closer)
        remaining, allowed = dot(left, left), limit(closer)
        gained = (remaining <= torch.maximum(allowed, 100 * least_left)) | (not coarse)
        x, residual, squares = (
            torch.where(gained, new, old) for new, old in ((closer, x), (left, residual), (remaining, squares))
        )
        if bool((squares <= allowed).all()) or int(iterations.max()) >= max_steps:
            break
        dtype = dtype if bool(gained.all()) else precise
    relative = torch.where(size == 0, 0, squares / size).sqrt()
    x = unit * torch.where(size.isfinite(), x, torch.nan)  # no step is taken from what is not finite
    return IterativeSolve(x, iterations.flatten(-event_ndim).squeeze(-1), relative.flatten(-event_ndim).squeeze(-1))


def _cycle(
    G: Map,
    r: Tensor,
    going: Callable[[Tensor, Tensor], Tensor],
    preconditioner: Map | None,
    max_steps: int,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """G d = r from d = 0 for as long as `going(d, r − G d)`, with r − G d of the recurrence; d, and the steps of each
    sample."""
    d = torch.zeros_like(r)
    z = preconditioner(r) if preconditioner else r
    p, rz = z, dot(r, z)
    active = going(d, r)
    steps = torch.zeros_like(active, dtype=torch.long)
    for _ in range(max_steps):
        if not active.any():
            break
        Gp = G(p)
        alpha = torch.where(active, rz / dot(p, Gp), 0.0)
        d, r = d + alpha * p, r - alpha * Gp
        steps += active
        active = active & going(d, r)
        z = preconditioner(r) if preconditioner else r
        before, rz = rz, dot(r, z)
        p = z + torch.where(active, rz / before, 0.0) * p
    return d, steps


LANCZOS_STEPS = 500


def lanczos_norm(G: Map, like: Tensor, event_ndim: int, rtol: float = 1e-9) -> Tensor:
    """The square root of the largest eigenvalue of a self-adjoint positive G, float64, one per sample.

    By the Lanczos iteration from a fixed random tensor of the shape, dtype and device of `like`, without
    reorthogonalisation, which the largest Ritz value does not need. It stops when the residual of that value's Ritz
    vector says that an eigenvalue is within `rtol` of it, after 500 steps at most; a Ritz value is never above the
    largest eigenvalue. Source: Paige, Linear Algebra and its Applications 34, 1980.

    Raises a SpecError where torch.func.vmap goes over a tensor of G.
    """
    event = tuple(range(-event_ndim, 0))
    # by NumPy: within torch.func.vmap torch draws no random numbers
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(like.shape)).to(like)
    v, before = x / torch.linalg.vector_norm(x, dim=event, keepdim=True), torch.zeros_like(x)
    beta = torch.zeros_like(v.real.sum(event, keepdim=True))
    batch, due = like.shape[: like.ndim - event_ndim], 4.0
    # made at once: small tensors that are kept, one a step, lie in memory that large ones have left, and split it
    entries = beta.new_zeros(2, *batch, LANCZOS_STEPS)
    value = torch.zeros(batch, dtype=torch.float64, device=like.device)
    for step in range(1, LANCZOS_STEPS + 1):
        w = G(v) - beta * before
        if is_batchedtensor(w):
            raise SpecError(
                "this norm is found by an iteration that torch.func.vmap cannot go over: give the operator's tensors "
                "batch axes in its place"
            )
        alpha = (v.conj() * w).real.sum(event, keepdim=True)
        w = w - alpha * v
        beta = torch.linalg.vector_norm(w, dim=event, keepdim=True)
        entries[..., step - 1] = torch.stack((alpha.reshape(batch), beta.reshape(batch)))
        before, v = v, w / beta.clamp(min=torch.finfo(beta.dtype).tiny)
        if step >= due or step == LANCZOS_STEPS or not bool(beta.any()):
            due = 1.25 * step
            diagonal, off = entries[..., :step].unbind()
            T, sides = torch.diag_embed(diagonal), off[..., :-1]
            T = T + torch.diag_embed(sides, 1) + torch.diag_embed(sides, -1)
            values, vectors = torch.linalg.eigh(T)
            value = values[..., -1].clamp(min=0)
            if bool((off[..., -1] * vectors[..., -1, -1].abs() <= rtol * value).all()):
                break
    return value.double().sqrt()
