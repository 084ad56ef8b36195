"""Iterations on maps that are only applied, every sample of a batch its own: conjugate gradients, Lanczos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor

from linops_video.errors import SpecError

Map = Callable[[Tensor], Tensor]

CYCLES = 4
"""Restarts from the true residual: the one that the recurrence carries drifts from it by rounding."""


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
    rtol: float = 1e-6,
    max_steps: int = 500,
    start: Tensor | None = None,
) -> IterativeSolve:
    """Solve G x = b for a self-adjoint positive G by preconditioned conjugate gradients.

    Each sample (all axes before the last `event_ndim`) has its own step lengths and stops at its own residual
    ‖b − G x‖ ≤ rtol ‖b‖; a sample that has stopped is left as it is. Source: Hestenes and Stiefel (1952).

    Args:
        G: the map x ↦ G x, which must treat samples separately.
        preconditioner: an approximate inverse of G, self-adjoint and positive.
        start: the first x; zero if not given.

    Example:
        >>> import torch
        >>> conjugate_gradient(lambda x: 2 * x, torch.ones(3, 4), event_ndim=1).iterations
        tensor([1, 1, 1])
    """
    event = tuple(range(-event_ndim, 0))

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).sum(event, keepdim=True).real

    largest = b.abs().amax(event, keepdim=True)
    unit = torch.where(largest > 0, largest, 1)  # squares of what is very large or small leave the range of floats
    b = b / unit
    size = dot(b, b)
    limit = rtol**2 * size
    x = torch.zeros_like(b) if start is None else torch.where(largest > 0, start.to(b.dtype) / unit, 0)
    residual = b if start is None else b - G(x)
    iterations = torch.zeros_like(size, dtype=torch.long)
    for _ in range(CYCLES):
        correction, done = _cycle(G, residual, limit, preconditioner, max_steps - int(iterations.max()), dot)
        x, iterations = x + correction, iterations + done
        residual = b - G(x)
        if bool((dot(residual, residual) <= limit).all()) or int(iterations.max()) >= max_steps:
            break
    relative = torch.where(size == 0, 0, dot(residual, residual) / size).sqrt()
    x = unit * torch.where(size.isfinite(), x, torch.nan)  # no step is taken from what is not finite
    return IterativeSolve(x, iterations.flatten(-event_ndim).squeeze(-1), relative.flatten(-event_ndim).squeeze(-1))


def _cycle(
    G: Map,
    r: Tensor,
    limit: Tensor,
    preconditioner: Map | None,
    max_steps: int,
    dot: Callable[[Tensor, Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """G d = r from d = 0 until the recurrence says ‖r − G d‖² ≤ limit; d, and the steps of each sample."""
    d = torch.zeros_like(r)
    z = preconditioner(r) if preconditioner else r
    p, rz = z, dot(r, z)
    active = dot(r, r) > limit
    steps = torch.zeros_like(active, dtype=torch.long)
    for _ in range(max_steps):
        if not active.any():
            break
        Gp = G(p)
        alpha = torch.where(active, rz / dot(p, Gp), 0.0)
        d, r = d + alpha * p, r - alpha * Gp
        steps += active
        active = active & (dot(r, r) > limit)
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
