"""Conjugate gradients, every sample of a batch its own system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

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
    G: Map, b: Tensor, event_ndim: int, preconditioner: Map | None = None, rtol: float = 1e-6, max_steps: int = 500
) -> IterativeSolve:
    """Solve G x = b for a self-adjoint positive G by preconditioned conjugate gradients.

    Each sample (all axes before the last `event_ndim`) has its own step lengths and stops at its own residual
    ‖b − G x‖ ≤ rtol ‖b‖; a sample that has stopped is left as it is. Source: Hestenes and Stiefel (1952).

    Args:
        G: the map x ↦ G x, which must treat samples separately.
        preconditioner: an approximate inverse of G, self-adjoint and positive.

    Example:
        >>> import torch
        >>> conjugate_gradient(lambda x: 2 * x, torch.ones(3, 4), event_ndim=1).iterations
        tensor([1, 1, 1])
    """
    event = tuple(range(-event_ndim, 0))

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).sum(event, keepdim=True).real

    size = dot(b, b)
    limit = rtol**2 * size
    x, residual = torch.zeros_like(b), b
    iterations = torch.zeros_like(size, dtype=torch.long)
    for _ in range(CYCLES):
        correction, done = _cycle(G, residual, limit, preconditioner, max_steps - int(iterations.max()), dot)
        x, iterations = x + correction, iterations + done
        residual = b - G(x)
        if bool((dot(residual, residual) <= limit).all()) or int(iterations.max()) >= max_steps:
            break
    relative = (dot(residual, residual) / size).nan_to_num(0.0).sqrt()
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
