"""The ways to (AᴴA + ρI)⁻¹: from the Gram, from the outer product, by iteration; composite.py puts them together.

What does not depend on ρ is done once, in float64. choice.py takes the cheapest exact way for `NormalSolver`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from linops_video.algebra.krylov import IterativeSolve, Map, conjugate_gradient
from linops_video.algebra.operator import Identity, LinearOperator
from linops_video.algebra.parameters import beside, complex_dtype, double, like, per_sample
from linops_video.errors import SpecError
from linops_video.inverses.spectral import Spectral


class ConvergenceWarning(UserWarning):
    """An iterative solve stopped before it reached its tolerance; the message says how far it came.

    Example:
        >>> import warnings
        >>> warnings.filterwarnings("error", category=ConvergenceWarning)  # stop there instead
    """


class Decomposition(Protocol):
    """What inverts G + ρI for any ρ: `Spectral`, `ToeplitzInverse`."""

    def solve(self, rho: float | Tensor, b: Tensor) -> Tensor: ...
    def solve_in_range(self, rho: float | Tensor, b: Tensor) -> Tensor: ...
    def prepared(self, rho: float | Tensor) -> Decomposition: ...
    def pseudoinverse(self) -> Map: ...
    def occurrences(self) -> tuple[Tensor, Tensor]: ...
    def smallest(self) -> Tensor: ...
    def logdet(self, rho: float | Tensor) -> Tensor: ...


Change = Callable[[float | Tensor, Tensor, Tensor], Tensor]
"""ρ, v, y ↦ what a data step adds to v."""


class Inverse(ABC):
    """(AᴴA + ρI)⁻¹ and A⁺ of one operator A, as linear maps of tensors; results carry no gradient with respect to A.

    Attributes:
        operator: A.
        method: how it is done, in words.
        iterative: whether it is by iteration.
    """

    operator: LinearOperator
    method: str
    iterative: ClassVar[bool] = False

    @abstractmethod
    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """(AᴴA + ρI)⁻¹ b."""

    def solve(self, rho: float | Tensor, b: Tensor, start: Tensor | None = None) -> IterativeSolve:
        """The same from `start`, with the iterations and the relative residual of every sample."""
        A, x = self.operator, self.normal(rho, b)
        return exactly_solved(x, b, A._apply_adjoint(A._apply(x)), rho, len(A.in_shape))

    def change(self, rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
        """(AᴴA + ρI)⁻¹ Aᴴ (y − A v), what a data step adds to v."""
        return self.correction(rho, y - self.operator._apply(v))

    def changes(self) -> Change:
        """`change` for many v that approach each other."""
        return self.change

    @abstractmethod
    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        """(AᴴA + ρI)⁻¹ Aᴴ r, by what keeps most digits."""

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        """v ↦ argmin_z ½‖y − A z‖² + ρ/2‖z − v‖², with what ρ and y alone decide worked out beforehand."""
        return lambda v: v + self.change(rho, v, y)

    @abstractmethod
    def pinv(self, y: Tensor) -> Tensor:
        """A⁺ y."""

    @abstractmethod
    def pinv_adjoint(self, x: Tensor) -> Tensor:
        """(Aᴴ)⁺ x, the adjoint of A⁺."""

    def null(self, x: Tensor) -> Tensor:
        """(I − A⁺A) x; projected twice, for what rounding left of the range the first time."""
        for _ in range(2):
            x = x - self.pinv(self.operator._apply(x))
        return x

    def eigenvalues(self) -> Tensor:
        """The eigenvalues of AᴴA, largest first."""
        raise SpecError(f"{self.operator!r} is solved by iteration: its eigenvalues are not known, only its norm()")

    def smallest(self) -> Tensor:
        """The smallest eigenvalue of AᴴA that is not zero."""
        raise SpecError(f"{self.operator!r} is solved by iteration: its smallest singular value is not known")

    def logdet(self, rho: float | Tensor) -> Tensor:
        """log det(AᴴA + ρI)."""
        raise SpecError(f"{self.operator!r} is solved by iteration: the determinant is not known")


@dataclass(frozen=True, eq=False)
class ExactInverse(Inverse):
    """What the two exact ways share.

    Attributes:
        decomposition: of AᴴA or AAᴴ, in float64 if `wide`.
        exact: A in float64 if `wide`, else A itself.
        wide: whether all of a data step but y − A v is done in float64: where the decomposition mixes entries, since
            rounding Aᴴr to float32 costs ‖A‖²/ρ of its precision, and where ‖A‖² may leave the range of float32.
    """

    operator: LinearOperator
    method: str
    decomposition: Decomposition
    exact: LinearOperator
    wide: bool

    def smallest(self) -> Tensor:
        return self.decomposition.smallest()

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        return Inverse.data_step(replace(self, decomposition=self.decomposition.prepared(rho)), rho, y)

    def _wide(self, x: Tensor) -> Tensor:
        return double(x) if self.wide else x


@dataclass(frozen=True, eq=False)
class GramInverse(ExactInverse):
    """From a decomposition of AᴴA."""

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return narrow(self.decomposition.solve(rho, self._wide(b)), b)

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        z = self.decomposition.solve_in_range(rho, self.exact._apply_adjoint(self._wide(residual)))
        return narrow(z, residual)

    def data_step(self, rho: float | Tensor, y: Tensor) -> Map:
        """With AᴴA = QΛQᴴ and Q complete: Q((Λ + ρ)⁻¹ QᴴAᴴy + ρ(Λ + ρ)⁻¹ Qᴴv). Of that only the first term needs
        float64, where rounding is divided by ρ; the second is no larger than v."""
        G = self.decomposition
        if not isinstance(G, Spectral) or G.rest is not None or y.dtype not in (torch.float32, torch.float64):
            return super().data_step(rho, y)
        each = per_sample(rho.double() if isinstance(rho, Tensor) else rho, len(G.basis.in_shape))
        scale = 1 / (beside(double(G.eigenvalues), y) + each)
        known, share = scale * G.basis._apply_adjoint(self.exact._apply_adjoint(self._wide(y))), (each * scale).to(y)
        known = like(known, y)
        basis = G.basis.to(dtype=y.dtype)
        return lambda v: basis._apply(torch.addcmul(known, share, basis._apply_adjoint(v)))

    def pinv(self, y: Tensor) -> Tensor:
        A, target = self.exact, self._wide(y)
        G = self.decomposition.pseudoinverse()
        z = G(A._apply_adjoint(target))
        # one step of refinement: the Gram has the square of A's condition number, and rounding Aᴴy costs that much
        return narrow(z + G(A._apply_adjoint(target - A._apply(z))), y)

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        return narrow(self.exact._apply(self.decomposition.pseudoinverse()(self._wide(x))), x)

    def eigenvalues(self) -> Tensor:
        return _listed(self.decomposition)

    def logdet(self, rho: float | Tensor) -> Tensor:
        return self.decomposition.logdet(rho)


@dataclass(frozen=True, eq=False)
class OuterInverse(ExactInverse):
    """From a decomposition of AAᴴ."""

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        """On the range of Aᴴ and on its complement separately: the usual b/ρ − Aᴴ(…)Ab/ρ cancels, and loses ‖A‖²/ρ of
        the precision where b is in the range."""
        A, H, wide = self.exact, self.decomposition.prepared(rho), self._wide(b)
        back, zero = A._apply_adjoint, self.decomposition.pseudoinverse()
        each = per_sample(like(rho, wide.real), len(A.in_shape))

        def in_parts(b: Tensor) -> Tensor:
            return back(zero(H.solve(rho, A._apply(b)))) + self._null(b, zero) / each

        x = in_parts(wide)
        # refined: where AAᴴ is not pointwise, A⁺ keeps but three or four digits at a singular value of 1e-6 ‖A‖
        for _ in range(3 if mixes(self.decomposition) else 1):
            x = x + in_parts(wide - back(A._apply(x)) - each * x)
        return narrow(x, b)

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        A, H, r = self.exact, self.decomposition.prepared(rho), self._wide(residual)
        w = H.solve(rho, r)
        if mixes(H) and r is residual:  # in float64: refined, since AAᴴ has the square of A's condition number
            gap = r - A._apply(A._apply_adjoint(w)) - per_sample(like(rho, w.real), len(A.out_shape)) * w
            w = w + H.solve(rho, gap)
        return narrow(A._apply_adjoint(w), residual)

    def pinv(self, y: Tensor) -> Tensor:
        A, zero, target = self.exact, self.decomposition.pseudoinverse(), self._wide(y)
        x = A._apply_adjoint(zero(target))
        if mixes(self.decomposition):
            x = x + A._apply_adjoint(zero(target - A._apply(x)))
        return narrow(x, y)

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        A, zero, wide = self.exact, self.decomposition.pseudoinverse(), self._wide(x)
        w = zero(A._apply(wide))
        return narrow(w + zero(A._apply(wide - A._apply_adjoint(w))), x)

    def null(self, x: Tensor) -> Tensor:
        return narrow(self._null(self._wide(x), self.decomposition.pseudoinverse()), x)

    def _null(self, x: Tensor, zero: Map) -> Tensor:
        """(I − Aᴴ(AAᴴ)⁺A) x, twice, with (AAᴴ)⁺ given."""
        A = self.exact
        for _ in range(2):
            x = x - A._apply_adjoint(zero(A._apply(x)))
        return x

    def eigenvalues(self) -> Tensor:
        own, n = _listed(self.decomposition), self.operator.in_size
        return torch.nn.functional.pad(own, (0, n - own.shape[-1]))  # cut where there are more: those are zero

    def logdet(self, rho: float | Tensor) -> Tensor:
        surplus = self.operator.in_size - self.operator.out_size  # log det(AᴴA + ρI) − log det(AAᴴ + ρI) of log ρ
        return self.decomposition.logdet(rho) + surplus * torch.log(torch.as_tensor(rho, dtype=torch.float64))


PINV_STEPS, PINV_RTOL = 10_000, 1e-8
"""Of the pseudoinverse by conjugate gradients: most steps, and ‖Aᴴ(y − A z)‖/‖Aᴴy‖ at which it stops."""


@dataclass(frozen=True, eq=False)
class IterativeInverse(Inverse):
    """By conjugate gradients, one system a sample, preconditioned by the inverse of a structured operator near AᴴA.

    AᴴA + ρI has no eigenvalue below ρ, so that x is within ‖b − (AᴴA + ρI) x‖/ρ of the solution. A sample stops where
    that is `rtol` ‖x‖, of a data step `rtol` ‖v + x‖; in float32 the steps are, while they gain digits, and the
    residual, x and later steps are in float64: rounding them would cost ‖A‖²/ρ of their precision.

    Attributes:
        near: the decomposition of that operator, None if there is none.
        rtol: the relative error.
    """

    operator: LinearOperator
    method: str
    near: Decomposition | None
    rtol: float
    iterative = True

    def normal(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return narrow(self._iterate(rho, double(b), b.dtype.to_real()).x, b)

    def solve(self, rho: float | Tensor, b: Tensor, start: Tensor | None = None) -> IterativeSolve:
        """(AᴴA + ρI)⁻¹ b from `start`, with the iterations and the relative residual of every sample."""
        wide, A = double(b), self.operator.to(dtype=torch.float64)
        found = self._iterate(rho, wide, b.dtype.to_real(), start)
        x = narrow(found.x, b)
        if x.dtype == found.x.dtype:
            return found
        rounded = exactly_solved(double(x), wide, A._apply_adjoint(A._apply(double(x))), rho, len(A.in_shape))
        return IterativeSolve(x, found.iterations, rounded.residual)

    def _iterate(
        self,
        rho: float | Tensor,
        b: Tensor,
        dtype: torch.dtype,
        start: Tensor | None = None,
        base: Tensor | None = None,
    ) -> IterativeSolve:
        """For b in float64, with the first steps in `dtype`; the error is relative to what x is to be added to."""
        near, n = self.near, len(self.operator.in_shape)
        exact, own = (self.operator.to(dtype=kind) for kind in (torch.float64, dtype))
        numbers = rho.shape if isinstance(rho, Tensor) else ()
        b = b.expand(*torch.broadcast_shapes(b.shape[: b.ndim - n], exact.batch_shape, numbers), *exact.in_shape)
        shift = per_sample(like(rho, b.real), n)

        def G(x: Tensor) -> Tensor:
            A = own if x.dtype.to_real() == dtype else exact
            return A._apply_adjoint(A._apply(x)) + like(shift, x.real) * x

        precondition: Map | None = None if near is None else lambda r: near.solve(rho, r)
        with torch.no_grad():
            found = conjugate_gradient(
                G, b, n, precondition, self.rtol, start=start, least=shift, base=base, dtype=dtype
            )
        result = found.x if base is None else base + found.x
        size, length = (torch.linalg.vector_norm(t, dim=tuple(range(-n, 0))) for t in (b, shift * result))
        error, where = found.residual * size / length, f" on {self.operator!r}"
        warn_of_residual(found, self.rtol, where, "use a larger rho or a larger rtol", error)
        return found

    def change(self, rho: float | Tensor, v: Tensor, y: Tensor, start: Tensor | None = None) -> Tensor:
        return self._corrected(rho, y - self.operator._apply(v), start, double(v))

    def changes(self) -> Change:
        """Each from the last one: they approach Aᴴ(y − Ax)/ρ with x, the solution of the iteration that calls it."""
        last: Tensor | None = None

        def change(rho: float | Tensor, v: Tensor, y: Tensor) -> Tensor:
            nonlocal last
            last = self.change(rho, v, y, last if last is not None and last.shape == v.shape else None)
            return last

        return change

    def correction(self, rho: float | Tensor, residual: Tensor) -> Tensor:
        return self._corrected(rho, residual)

    def _corrected(
        self, rho: float | Tensor, residual: Tensor, start: Tensor | None = None, base: Tensor | None = None
    ) -> Tensor:
        b = self.operator.to(dtype=torch.float64)._apply_adjoint(double(residual))
        return narrow(self._iterate(rho, b, residual.dtype.to_real(), start, base).x, residual)

    def pinv(self, y: Tensor) -> Tensor:
        """By conjugate gradients in float64 from zero, until ‖Aᴴ(y − A z)‖ is 1e-8 of ‖Aᴴy‖ or rounding of Aᴴy.

        Not preconditioned: only then do the iterates stay in the range of Aᴴ, where the solution of least norm is.
        """
        A, target, n = self.operator.to(dtype=torch.float64), double(y), len(self.operator.in_shape)
        back, event = A._apply_adjoint, tuple(range(-n, 0))
        b = back(target)
        # in A's own arithmetic: functions may compute in float32; where A does not reach y, all of Aᴴy is rounding
        size, rounding = (torch.linalg.vector_norm(t, dim=event, keepdim=True) for t in (b, b - 3 * back(target / 3)))
        rtol = torch.where(size > 0, 100 * rounding / size, 0).clamp(min=PINV_RTOL)
        with torch.no_grad():
            found = conjugate_gradient(lambda x: back(A._apply(x)), b, n, None, rtol, PINV_STEPS)
        excess = found.residual * (PINV_RTOL / rtol.reshape(found.residual.shape))
        warn_of_residual(replace(found, residual=excess), 10 * PINV_RTOL, f" on {self.operator!r}", "use a data step")
        return narrow(found.x, y)

    def pinv_adjoint(self, x: Tensor) -> Tensor:
        return IterativeInverse(self.operator.H, self.method, None, self.rtol).pinv(x)


def exactly_solved(x: Tensor, b: Tensor, Gx: Tensor, rho: float | Tensor, event_ndim: int) -> IterativeSolve:
    """x with no iterations and the relative residual ‖b − (G + ρI) x‖/‖b‖ of every sample."""
    event = tuple(range(-event_ndim, 0))
    gap = (b - Gx - per_sample(like(rho, x.real), event_ndim) * x).detach()
    residual, size = (torch.linalg.vector_norm(t, dim=event) for t in (gap, b.detach()))
    relative = residual / size.clamp(min=torch.finfo(residual.dtype).tiny)
    return IterativeSolve(x, torch.zeros_like(relative, dtype=torch.long), relative)


def warn_of_residual(result: IterativeSolve, rtol: float, where: str, remedy: str, error: Tensor | None = None) -> None:
    """Give a `ConvergenceWarning` if a relative residual, or the bound of the error that it gives, is above `rtol`."""
    if bool(((result.residual if error is None else error) > rtol).any()):
        bound = "" if error is None else f", a relative error of up to {float(error.max()):.1e}"
        warnings.warn(
            f"conjugate gradients{where} stopped after {int(result.iterations.max())} iterations at a relative "
            f"residual of {float(result.residual.max()):.1e}{bound} (wanted {rtol:.0e}): {remedy}",
            ConvergenceWarning,
            stacklevel=6,
        )


def mixes(decomposition: Decomposition) -> bool:
    """Whether the inverse is not pointwise."""
    return not (isinstance(decomposition, Spectral) and isinstance(decomposition.basis, Identity))


def narrow(result: Tensor, data: Tensor) -> Tensor:
    """The result in the precision of the data, complex if it is."""
    return result.to(complex_dtype(data.dtype) if result.is_complex() else data.dtype)


def _listed(decomposition: Decomposition) -> Tensor:
    """Every eigenvalue as often as it occurs, float64, largest first."""
    values, counts = decomposition.occurrences()
    return values.double().repeat_interleave(counts, -1).sort(-1, descending=True).values
