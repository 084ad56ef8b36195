"""The normal solve: (AᴴA + ρI)⁻¹, the data step built on it, and the pseudoinverse."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor, maybe_current_level
from torch.autograd.forward_ad import unpack_dual

from linops_video.algebra.krylov import IterativeSolve, Map
from linops_video.algebra.operator import LinearOperator, compose
from linops_video.algebra.parameters import fit, like, per_sample, show, varies
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.inverses.aliasing import in_spectrum
from linops_video.inverses.choice import choose
from linops_video.inverses.inverse import Change, ConvergenceWarning, Inverse, exactly_solved
from linops_video.inverses.weight import root

__all__ = ["ConvergenceWarning", "NormalSolver"]

RTOL = 1e-6
"""Relative error at which an iterative solve stops."""


@dataclass(frozen=True, eq=False)
class NormalSolver:
    """(AᴴWA + ρI)⁻¹ for one operator and any ρ, without a new factorisation for a new ρ; made by `NormalSolver.of`.

    What does not depend on ρ is computed once: an eigendecomposition of AᴴWA or of W^½AAᴴW^½, whichever is cheaper. ρ
    is a positive number, or a tensor of shape `batch` with one number per sample. Results are differentiable in ρ, b,
    v, y, and in those tensors of A and W that require a gradient: implicitly, by one more solve, never through an
    eigendecomposition, and in these tensors once.

    A solve that is pointwise (masks, box means of them) is done in the precision of A's own tensors, unless their
    squares would leave its range: for data in float64, take that of `A.to(dtype=torch.float64)`. All others are set up
    in float64.

    A ρ that is not positive raises a SpecError (tensors on a GPU are not looked into), a ρ, b, v or y of another shape
    a ShapeError, data in float16 or bfloat16 a DtypeError, and a call after the tensors of A or W were changed in
    place, as by an optimiser's step, a SpecError: the set-up is of the old ones.

    Attributes:
        operator: A.
        method: how the inverse is done, in words; `exact` tells whether it is without iteration.
        inverse: the way that was chosen, for W^½A.
        weight: W, None for I.
        whiten: W^½, None for I.
        versions: the tensors of A and W, and torch's counts of their changes at set-up.
        rtol: the relative error at which an iterative solve stops.

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
    method: str
    inverse: Inverse = field(repr=False)
    weight: LinearOperator | None = None
    whiten: LinearOperator | None = field(default=None, repr=False)
    versions: tuple[tuple[Tensor, int], ...] = field(default=(), repr=False)
    rtol: float = field(default=RTOL, repr=False)

    @staticmethod
    def of(A: LinearOperator, weight: LinearOperator | None = None, rtol: float = RTOL) -> NormalSolver:
        """Choose the side with the cheaper set-up (the Gram on ties) and do the set-up, in float64.

        Where neither side has a structure that can be diagonalised, the solve is by conjugate gradients, one system per
        sample, preconditioned by the nearest structured Gram.

        Args:
            weight: W for weighted least squares, a `Diagonal` of inverse noise variances or another positive
                semidefinite operator that can be diagonalised.
            rtol: the relative error at which an iterative solve stops: where ‖b − (AᴴWA + ρI) x‖/ρ, from which the
                error of x cannot be larger, is so small beside ‖x‖.

        Raises:
            DtypeError: if A or the weight is not an operator.
            SpecError: if the weight has negative eigenvalues, or no known square root.
        """
        if not isinstance(A, LinearOperator):
            raise DtypeError(f"NormalSolver.of needs an operator, such as Dense(matrix, …), got {type(A).__name__}")
        parts = A._normal_solver(rtol) if weight is None else None
        if parts is not None:
            return parts
        # without its gradient, which is infinite at a weight of zero: that of every solve goes through W
        whiten = None if weight is None else root(weight.detach())
        B = (A if whiten is None else compose(whiten, A)).detach()
        inverse = in_spectrum(B, choose(B, rtol))
        return NormalSolver(A, inverse.method, inverse, weight, whiten, _versions(A, weight), rtol)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> NormalSolver:
        """That of A and W on another device or in another precision, set up anew."""
        weight = None if self.weight is None else self.weight.to(device, dtype)
        return NormalSolver.of(self.operator.to(device, dtype), weight, self.rtol)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "versions": ()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({**state, "versions": _versions(state["operator"], state["weight"])})

    @property
    def exact(self) -> bool:
        """Whether no iteration is involved."""
        return not self.inverse.iterative

    def __call__(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(AᴴWA + ρI)⁻¹ b.

        An iterative solve that may be less accurate than `rtol` gives a `ConvergenceWarning`, which says how much less;
        `solve` returns the residual.
        """
        rho = self._check(rho, b)
        if not self._implicit:
            return self.inverse.normal(rho, b)
        return self._with_gradient(rho, b, self._detached(self.inverse.normal, rho, b))

    def solve(self, rho: float | Tensor, b: Tensor, start: Tensor | None = None) -> IterativeSolve:
        """The same with the number of iterations (0 for an exact solve) and the relative residual of each sample,
        ‖b − (AᴴWA + ρI) x‖/‖b‖ of the x that is returned.

        Args:
            start: where an iterative solve begins, such as the solution for a nearby b; zero if not given.
        """
        rho = self._check(rho, b)
        if self.exact:
            x = self(rho, b)
            return exactly_solved(x, b, self._back(self.operator(x)), rho, len(self.operator.in_shape))
        found = self.inverse.solve(_detach(rho), b.detach(), start)
        return IterativeSolve(self._with_gradient(rho, b, found.x), found.iterations, found.residual)

    def prox(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        """argmin_z ½‖y − A z‖²_W + ρ/2‖z − v‖², the data step of every splitting method; ‖r‖²_W = rᴴWr.

        Computed as v + Bᴴ(BBᴴ + ρI)⁻¹(s − B v) or v + (BᴴB + ρI)⁻¹Bᴴ(s − B v) with B = W^½A, s = W^½y: the form on
        Bᴴs + ρv is the same in exact arithmetic and loses up to five digits in float32.
        """
        return self._prox(rho, v, y, self.inverse.change)

    def _prox(self, rho: float | Tensor, v: Tensor, y: Tensor, change: Change) -> Tensor:
        rho = self._check(rho, v, y)
        target = self._whitened(y)
        if not self._implicit:
            return v + change(rho, v, target)
        z = (v + self._detached(change, rho, v, target)).detach()
        if not (self._trained or varies(rho, v, y)):
            return z
        slope = self._back(y - self.operator(z)) + per_sample(like(rho, z.real), len(self.operator.in_shape)) * (v - z)
        return implicit_solution(z, slope, lambda g: self.inverse.normal(_detach(rho), g))

    def data_step(self, rho: float | Tensor, y: Tensor) -> Callable[[Tensor], Tensor]:
        """v ↦ `prox(rho, v, y)` for many v: what ρ and y alone decide is worked out once, in float64.

        Where AᴴA is pointwise in a complete basis (a mask, a circular blur), each v then costs one transform and back.
        """
        rho = self._check(rho, y=y)
        if self._implicit:
            change = self.inverse.changes()
            return lambda v: self._prox(rho, v, y, change)
        return self.inverse.data_step(rho, self._whitened(y))

    def pinv(self, y: Tensor) -> Tensor:
        """A⁺ y, of all z with the smallest ‖y − A z‖_W the one of smallest norm.

        Exact up to singular values below 1e-6 of the largest (of each block's in a `BlockDiagonal`), which count as
        zero. An iterative solve takes steps of conjugate gradients in float64 until the data misfit Aᴴ(y − A z) is
        1e-8 of Aᴴy; what belongs to a singular value of s times the largest then has an error of up to 1e-8/s². The
        gradient with respect to A's own tensors is that at constant rank.
        """
        self._check(y=y)
        B = self.inverse
        if not self._implicit:
            return B.pinv(self._whitened(y))
        z = self._detached(B.pinv, self._whitened(y))
        misfit = y - self.operator(z)
        result = implicit_solution(z, self._whitened(misfit), B.pinv, B.pinv_adjoint)
        if not self._trained:
            return result
        # dA⁺ = −A⁺ dA A⁺ + (AᴴA)⁺ dAᴴ (I − AA⁺) + (I − A⁺A) dAᴴ A⁺ᴴA⁺; Golub and Pereyra, SIAM J. Numer. Anal. 10, 1973
        # With B = W^½A for A, dBᴴ s is d(AᴴW) r where s is W^½r, as B⁺ᴴz is W^½A(BᴴB)⁺z: finite at a weight of zero.
        source = B.pinv_adjoint(z) if self.weight is None else self.operator(B.pinv(B.pinv_adjoint(z)))
        result = implicit_solution(result, self._back(misfit.detach()), lambda g: B.pinv(B.pinv_adjoint(g)))
        return implicit_solution(result, self._back(source.detach()), B.null)

    def null_projection(self, x: Tensor) -> Tensor:
        """(I − A⁺A) x, what A does not see of x."""
        self._check(x=x)
        return self.inverse.null(x) if not self._implicit else x - self.pinv(self.operator(x))

    def range_projection(self, x: Tensor) -> Tensor:
        """A⁺A x, the projection onto the range of Aᴴ: what A sees of x."""
        self._check(x=x)
        return x - self.inverse.null(x) if not self._implicit else self.pinv(self.operator(x))

    def eigenvalues(self) -> Tensor:
        """The eigenvalues of AᴴWA, float64, largest first, shape (*batch_shape, prod(in_shape)).

        Raises:
            SpecError: where the solve is iterative, or by FFT and a margin (full and valid convolutions).
        """
        self._check()
        return self.inverse.eigenvalues().clamp(min=0)

    def singular_values(self) -> Tensor:
        """The singular values of W^½A, float64, largest first, as many as A's smaller side has entries.

        As roots of eigenvalues they are exact to 1e-8 of the largest. Raises as `eigenvalues`.
        """
        A = self.inverse.operator
        return self.eigenvalues()[..., : min(A.in_size, A.out_size)].sqrt()

    def condition_number(self) -> Tensor:
        """The largest singular value of W^½A over the smallest that is above 1e-6 of it, float64; inf where A is zero.

        Raises:
            SpecError: where the solve is iterative.
        """
        self._check()
        norm = self.inverse.operator.norm()
        return torch.where(norm > 0, norm / self.inverse.smallest().sqrt(), torch.inf)

    def logdet(self, rho: float | Tensor) -> Tensor:
        """log det(AᴴWA + ρI), float64, one number per sample, differentiable in ρ.

        Raises:
            SpecError: where the solve is iterative, or a tensor of A or W requires a gradient, which this has not.
        """
        rho = self._check(rho)
        if self._trained:
            raise SpecError("logdet has a gradient in rho alone: use it under torch.no_grad(), or detach the operator")
        return self.inverse.logdet(rho if not isinstance(rho, Tensor) else rho.double())

    def _check(self, rho: float | Tensor = 1.0, x: Tensor | None = None, y: Tensor | None = None) -> float | Tensor:
        """ρ, or the errors of bad input; a ρ on another device is not looked into, which would wait for a GPU."""
        if not _is_positive(rho):
            raise SpecError(f"rho must be a positive number, got {rho}: pinv is the limit as it goes to zero")
        if not torch.compiler.is_compiling() and any(t._version != version for t, version in self.versions):
            raise SpecError(f"{self.operator!r} was changed in place after NormalSolver.of: make the solver anew")
        if not torch.compiler.is_compiling() and self._implicit and _transformed(rho, x, y, *self._parameters()):
            raise SpecError(
                "solves by iteration, or with derivatives in tensors of A or W, cannot be transformed by torch.func: "
                "use torch.autograd for derivatives, and batch axes in the place of vmap"
            )
        if x is not None:
            self.operator._check(x, self.operator.in_shape, "a tensor")
        if y is not None:
            self.operator._check(y, self.operator.out_shape, "a measurement")
        if x is not None and y is not None:
            batches = x.shape[: x.ndim - len(self.operator.in_shape)], y.shape[: y.ndim - len(self.operator.out_shape)]
            if not fit(*batches):
                given = " and ".join(map(show, batches))
                raise ShapeError(f"a data step needs v and y for one batch, got {given}, whose axes must be equal or 1")
        for data, event in ((x, self.operator.in_shape), (y, self.operator.out_shape)):
            if data is not None and data.dtype.itemsize < 4:
                raise DtypeError(f"a solve needs data in float32 or float64, got {data.dtype}: use .float()")
            if data is not None and isinstance(rho, Tensor):
                _check_numbers(rho, data, len(event))
        return rho if isinstance(rho, Tensor) else float(rho)  # numbers of NumPy are Real too

    @property
    def _trained(self) -> bool:
        """Whether a derivative is taken with respect to a tensor of A or W."""
        return varies(*self._parameters())

    def _parameters(self) -> Iterator[Tensor]:
        return (t for p in (self.operator, self.weight) if p is not None for t in p.tensors())

    @property
    def _implicit(self) -> bool:
        """Whether gradients do not flow through the solve itself."""
        return self._trained or not self.exact

    def _whitened(self, y: Tensor) -> Tensor:
        return y if self.whiten is None else self.whiten(y)

    def _back(self, residual: Tensor) -> Tensor:
        """AᴴW r."""
        return self.operator.H(residual if self.weight is None else self.weight(residual))

    def _normal(self, rho: float | Tensor, x: Tensor) -> Tensor:
        """(AᴴWA + ρI) x."""
        return self._back(self.operator(x)) + per_sample(like(rho, x.real), len(self.operator.in_shape)) * x

    def _detached(self, fn: Callable[..., Tensor], *arguments: float | Tensor) -> Tensor:
        with torch.no_grad():
            return fn(*(_detach(a) for a in arguments))

    def _with_gradient(self, rho: float | Tensor, b: Tensor, x: Tensor) -> Tensor:
        """x = (AᴴWA + ρI)⁻¹ b with its gradient: dx = (AᴴWA + ρI)⁻¹ d(b − (AᴴWA + ρI) x₀)."""
        if not (self._trained or varies(rho, b)):
            return x
        return implicit_solution(x, b - self._normal(rho, x), lambda g: self.inverse.normal(_detach(rho), g))


def implicit_solution(x: Tensor, residual: Tensor, N: Map, adjoint: Map | None = None) -> Tensor:
    """x, with the derivative of x + N r, N a linear map; its adjoint where it is not its own."""
    if not varies(residual):
        return x
    if residual.requires_grad and unpack_dual(residual).tangent is not None:
        raise SpecError("a solve has first derivatives: take them backwards or forwards, not one of the other")
    return x + _Tangent.apply(N, adjoint or N, x.detach(), residual)  # type: ignore[operator]


def _versions(*operators: LinearOperator | None) -> tuple[tuple[Tensor, int], ...]:
    tensors = (t for A in operators if A is not None for t in A.tensors())
    return tuple((t, t._version) for t in tensors if not t.is_inference())


def _check_numbers(rho: Tensor, data: Tensor, event_ndim: int) -> None:
    """Raise a ShapeError unless ρ has one number for each sample of the data, or one for all."""
    batch = data.shape[: data.ndim - event_ndim]
    if not fit(rho.shape, batch):
        raise ShapeError(f"rho needs one number for each sample of a batch {show(batch)}, got shape {show(rho.shape)}")


def _is_positive(rho: object) -> bool:
    """Whether ρ is a positive number, or may be: tensors within torch's transformations tell no numbers, and those on
    another device only when it is waited for."""
    if not isinstance(rho, Tensor):
        return isinstance(rho, Real) and 0 < float(rho) < math.inf
    if rho.is_complex():
        return False
    hidden = rho.device.type != "cpu" or torch.compiler.is_compiling() or is_functorch_wrapped_tensor(rho)
    return hidden or bool(((rho > 0) & (rho < math.inf)).all())


def _detach(number: float | Tensor) -> float | Tensor:
    return number.detach() if isinstance(number, Tensor) else number


def _transformed(*values: float | Tensor | None) -> bool:
    """Whether one of these is what grad, jvp or vmap of torch.func make of a tensor."""
    if maybe_current_level() is None:
        return False
    return any(isinstance(v, Tensor) and is_functorch_wrapped_tensor(v) for v in values)


class _Tangent(torch.autograd.Function):
    """Zero in the shape of x, with the derivative of N r: what a solution lacks that was found without it."""

    # without a setup_context, which nested torch.func transforms would need to take second derivatives, wrong ones
    @staticmethod
    def forward(ctx, N: Map, adjoint: Map, x: Tensor, residual: Tensor) -> Tensor:
        ctx.N, ctx.adjoint = N, adjoint
        return torch.zeros_like(x)

    @staticmethod
    def jvp(ctx, *tangents: Tensor) -> Tensor:
        return ctx.N(tangents[-1])

    @staticmethod
    def backward(ctx, *grads: Tensor):
        if torch.is_grad_enabled():  # create_graph: its own derivative would miss what A, ρ and x contribute
            raise SpecError(
                "solves by iteration, or in tensors of A or W, have first derivatives only: no create_graph"
            )
        return None, None, None, ctx.adjoint(grads[0])
