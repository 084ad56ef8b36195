"""Conjugate gradients, every sample of a batch its own system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Map = Callable[[Tensor], Tensor]


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

    x, r = torch.zeros_like(b), b
    z = preconditioner(r) if preconditioner else r
    p, rz = z, dot(r, z)
    limit = rtol**2 * dot(b, b)
    active = dot(r, r) > limit
    iterations = torch.zeros_like(active, dtype=torch.long)
    for _ in range(max_steps):
        if not active.any():
            break
        Gp = G(p)
        alpha = torch.where(active, rz / dot(p, Gp), 0.0).nan_to_num(0.0, 0.0, 0.0)
        x, r = x + alpha * p, r - alpha * Gp
        iterations += active
        active = active & (dot(r, r) > limit)
        z = preconditioner(r) if preconditioner else r
        rz_next = dot(r, z)
        p = z + (rz_next / rz).nan_to_num(0.0, 0.0, 0.0) * p
        rz = rz_next
    true_residual = (dot(b - G(x), b - G(x)) / dot(b, b)).nan_to_num(0.0).sqrt()
    return IterativeSolve(
        x, iterations.flatten(-event_ndim).squeeze(-1), true_residual.flatten(-event_ndim).squeeze(-1)
    )
