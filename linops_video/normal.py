"""The normal solve: (AᴴA + ρI)⁻¹, the data step built on it, and the pseudoinverse."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.krylov import IterativeSolve, conjugate_gradient
from linops_video.operator import LinearOperator
from linops_video.parameters import like, per_sample
from linops_video.spectral import Plan, Spectral, plan
from linops_video.toeplitz import MARGIN_LIMIT, Toeplitz, ToeplitzInverse

CG_RTOL = 1e-6
CG_STEPS = 500


class ConvergenceWarning(UserWarning):
    """An iterative solve stopped before it reached its tolerance; the message says how far it came."""


@dataclass(frozen=True, eq=False)
class NormalSolver:
    """(AᴴA + ρI)⁻¹ for one operator and any ρ, without a new factorisation for a new ρ; made by `NormalSolver.of`.

    What does not depend on ρ is computed once: the eigendecomposition of AᴴA or of AAᴴ, whichever is cheaper. ρ is a
    positive number, or a tensor of shape `batch` with one number per sample; results are differentiable in ρ, b, v, y.

    Attributes:
        operator: A.
        side: "gram" (AᴴA is diagonalised), "outer" (AAᴴ is) or "cg" (neither: preconditioned conjugate gradients).
        decomposition: the eigendecomposition; for "cg" that of the preconditioner, None if there is none.
        method: how the inverse is done, in words, with "cg" in it only where it is iterative.

    Example:
        >>> import torch
        >>> from linops_video import BoxMean
        >>> normal = NormalSolver.of(BoxMean(2, (8, 3, 32, 32)))
        >>> normal.method
        'exact: scalar, from the outer product'
        >>> normal(0.3, torch.rand(8, 3, 32, 32)).shape
        torch.Size([8, 3, 32, 32])
    """

    operator: LinearOperator
    side: str
    decomposition: Spectral | ToeplitzInverse | None
    method: str

    @staticmethod
    def of(A: LinearOperator) -> NormalSolver:
        """Choose the side with the cheaper set-up (the Gram on ties) and do the set-up, in float64.

        Where neither AᴴA nor AAᴴ has a structure that can be diagonalised, the solve is by conjugate gradients, one
        system per sample, preconditioned by the nearest structured Gram if the operator knows one.
        """
        parts = A._normal_solver()
        if parts is not None:
            return parts
        double = A.to(dtype=torch.float64)
        sides = [("gram", _plan(double.gram())), ("outer", _plan(double.outer()))]
        ready: list[tuple[str, Plan]] = [(side, way) for side, way in sides if way is not None]
        if ready:
            side, way = min(ready, key=lambda entry: entry[1].cost)
            where = "from the Gram" if side == "gram" else "from the outer product"
            return NormalSolver(A, side, _cast(way.build(), A), f"exact: {way.name}, {where}")
        near = double.approximate_gram()
        way = near and _plan(near)
        if way is None:
            return NormalSolver(A, "cg", None, "cg, not preconditioned")
        return NormalSolver(A, "cg", _cast(way.build(), A), f"cg, preconditioned by {way.name}")

    def __call__(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(AᴴA + ρI)⁻¹ b.

        An iterative solve that misses its tolerance gives a `ConvergenceWarning`; `solve` returns the residual.
        """
        if self.side == "cg":
            return _ImplicitSolve.apply(self._conjugate_gradient, rho, b)  # type: ignore[no-any-return]
        if self.side == "gram":
            return self._decomposition.solve(rho, b)
        # on the range of Aᴴ and on its complement separately, the latter projected twice: the usual b/ρ − Aᴴ(…)Ab/ρ
        # cancels, and loses ‖A‖²/ρ of the precision where b is in the range
        A, G = self.operator, self._decomposition
        outside = b
        for _ in range(2):
            outside = outside - A.H(G.solve_in_range(0.0, A(outside)))
        inside = A.H(G.solve_in_range(0.0, G.solve(rho, A(b))))
        return inside + outside / per_sample(like(rho, b), len(A.in_shape))

    def solve(self, rho: float | Tensor, b: Tensor) -> IterativeSolve:
        """The same with the number of iterations (0 for an exact solve) and the relative residual of each sample."""
        if self.side == "cg":
            return self._conjugate_gradient(rho, b)
        x = self(rho, b)
        event = tuple(range(-len(self.operator.in_shape), 0))
        residual = torch.linalg.vector_norm(b - self._normal(rho, x), dim=event)
        scale = torch.linalg.vector_norm(b, dim=event).clamp(min=torch.finfo(residual.dtype).tiny)
        return IterativeSolve(x, torch.zeros_like(residual, dtype=torch.long), residual / scale)

    def prox(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        """argmin_z ½‖y − A z‖² + ρ/2 ‖z − v‖², the data step of every splitting method.

        Computed as v + Aᴴ(AAᴴ + ρI)⁻¹(y − A v) or v + (AᴴA + ρI)⁻¹Aᴴ(y − A v): the form on Aᴴy + ρv is the same in
        exact arithmetic and loses up to five digits in float32.
        """
        A = self.operator
        residual = y - A(v)
        if self.side == "outer":
            return v + A.H(self._decomposition.solve(rho, residual))
        if self.side == "gram":
            return v + self._decomposition.solve_in_range(rho, A.H(residual))
        return v + self(rho, A.H(residual))

    def pinv(self, y: Tensor) -> Tensor:
        """A⁺ y, the least-squares solution of smallest norm.

        Exact up to singular values below 1e-6 of the largest, which count as zero. Without a decomposition: iterated
        Tikhonov steps in float64 until the data misfit Aᴴ(y − A z) is below 1e-6 of Aᴴy or no longer falls.
        """
        A = self.operator
        if self.side == "outer":
            return A.H(self._decomposition.solve_in_range(0.0, y))
        if self.side == "cg":
            return self._iterated_tikhonov(y)
        z = self._decomposition.solve_in_range(0.0, A.H(y))
        # one step of refinement: the Gram has the square of A's condition number, and rounding Aᴴy costs that much
        return z + self._decomposition.solve_in_range(0.0, A.H(y - A(z)))

    @property
    def _decomposition(self) -> Spectral | ToeplitzInverse:
        assert self.decomposition is not None
        return self.decomposition

    def _normal(self, rho: float | Tensor, x: Tensor) -> Tensor:
        A = self.operator
        return A.H(A(x)) + per_sample(like(rho, x), len(A.in_shape)) * x

    def _conjugate_gradient(self, rho: float | Tensor, b: Tensor, rtol: float = CG_RTOL) -> IterativeSolve:
        near = self.decomposition
        precondition: Callable[[Tensor], Tensor] | None = None if near is None else lambda r: near.solve(rho, r)
        event_ndim = len(self.operator.in_shape)
        with torch.no_grad():
            result = conjugate_gradient(lambda x: self._normal(rho, x), b, event_ndim, precondition, rtol, CG_STEPS)
        if bool((result.residual > 10 * rtol).any()):
            warnings.warn(
                f"conjugate gradients on {self.operator!r} stopped after {int(result.iterations.max())} iterations "
                f"at a relative residual of {float(result.residual.max()):.1e} (wanted {rtol:.0e}): "
                "use a larger rho or float64",
                ConvergenceWarning,
                stacklevel=4,
            )
        return result

    def _iterated_tikhonov(self, y: Tensor) -> Tensor:
        near = self.decomposition.to(dtype=torch.float64) if isinstance(self.decomposition, Spectral) else None
        double = NormalSolver(self.operator.to(dtype=torch.float64), "cg", near, self.method)
        A, target = double.operator, y.to(torch.promote_types(y.dtype, torch.float64))
        event = tuple(range(-len(A.in_shape), 0))
        rho = 1e-8 * float(A.norm().max()) ** 2
        x = torch.zeros_like(A.H(target))
        first = misfit = torch.linalg.vector_norm(A.H(target), dim=event)
        for _ in range(20):
            x = x + double._conjugate_gradient(rho, A.H(target - A(x)), 1e-4).x
            before, misfit = misfit, torch.linalg.vector_norm(A.H(target - A(x)), dim=event)
            if bool(((misfit <= 1e-6 * first) | (misfit > 0.9 * before)).all()):
                break
        return x.to(y.dtype)


def _plan(G: LinearOperator) -> Plan | None:
    if not isinstance(G, Toeplitz):
        return plan(G)
    if G.margin > MARGIN_LIMIT:
        return None
    return Plan(float(G.margin) ** 3, f"FFT and a margin of {G.margin} pixels", lambda: ToeplitzInverse.of(G))


def _cast(decomposition: Spectral | ToeplitzInverse, A: LinearOperator) -> Spectral | ToeplitzInverse:
    """The decomposition in A's precision; a Toeplitz inverse stays in float64, its margin's system needs it."""
    if A.dtype is None or isinstance(decomposition, ToeplitzInverse):
        return decomposition
    return decomposition.to(dtype=A.dtype.to_real())


class _ImplicitSolve(torch.autograd.Function):
    """x = (AᴴA + ρI)⁻¹ b by iteration; its gradient is one more solve: b̄ = (AᴴA + ρI)⁻¹ x̄ and ρ̄ = −⟨b̄, x⟩."""

    @staticmethod
    def forward(ctx, solve: Callable[..., IterativeSolve], rho: float | Tensor, b: Tensor) -> Tensor:
        x = solve(rho, b).x
        ctx.solve = solve
        ctx.save_for_backward(torch.as_tensor(rho), x)
        return x

    @staticmethod
    def backward(ctx, *grads: Tensor):
        rho, x = ctx.saved_tensors
        grad_b = ctx.solve(rho, grads[0]).x
        grad_rho = None
        if ctx.needs_input_grad[1]:
            product = -(grad_b.conj() * x).real
            grad_rho = product.flatten(rho.ndim).sum(-1).sum_to_size(rho.shape) if rho.ndim else product.sum()
        return None, grad_rho, grad_b
