"""Different operators for the samples of a batch: of any types and factors, with measurements of any shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linops_video.algebra.krylov import IterativeSolve
from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, conj, moved, sample_of, show, times
from linops_video.errors import ShapeError
from linops_video.inverses.normal import RTOL, NormalSolver


class Ragged(tuple[Tensor, ...]):
    """Measurements of different shapes, one tensor a sample: a tuple that is also a vector, with +, − and multiples.

    A factor or divisor is a number, or a tensor with one number for each sample along its last axis.

    Example:
        >>> import torch
        >>> y = Ragged((torch.ones(1), torch.ones(2)))
        >>> y - 0.5 * y
        (tensor([0.5000]), tensor([0.5000, 0.5000]))
    """

    __slots__ = ()

    def __add__(self, other: Ragged) -> Ragged:  # type: ignore[override]  # of vectors, not of tuples
        return Ragged(a + b for a, b in zip(self, other, strict=True))

    def __radd__(self, other: int | Sequence[Tensor]) -> Ragged:
        return self if isinstance(other, int) and other == 0 else Ragged(other) + self  # type: ignore[arg-type]  # sum

    def __sub__(self, other: Ragged) -> Ragged:
        return Ragged(a - b for a, b in zip(self, other, strict=True))

    def __rsub__(self, other: Sequence[Tensor]) -> Ragged:
        return Ragged(other) - self

    def __mul__(self, factor: float | Tensor) -> Ragged:  # type: ignore[override]
        more = factor.ndim - 1 if isinstance(factor, Tensor) and factor.ndim else 0
        own = [sample_of(factor, i, len(self)) for i in range(len(self))]
        return Ragged(times(c, part, part.ndim - more) for c, part in zip(own, self, strict=True))

    __rmul__ = __mul__  # type: ignore[assignment]

    def __truediv__(self, factor: float | Tensor) -> Ragged:
        return self * (1 / factor)

    def __neg__(self) -> Ragged:
        return self * -1

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Ragged:
        """The same on another device or in another precision."""
        return Ragged(moved(part, device, dtype) for part in self)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the first part."""
        return self[0].dtype

    @property
    def device(self) -> torch.device:
        """The device of the first part."""
        return self[0].device

    def is_floating_point(self) -> bool:
        """Whether all parts are."""
        return all(part.is_floating_point() for part in self)

    def is_complex(self) -> bool:
        """Whether one of the parts is."""
        return any(part.is_complex() for part in self)


class Samples:
    """How a `Batch` takes tensors apart, one for each of its operators, and joins them."""

    operators: tuple[LinearOperator, ...]
    in_shape: Shape

    def samples(self, x: Tensor) -> tuple[Tensor, ...]:
        """The samples of a tensor (*more, B, *in_shape), or of one sample for all of shape (*more, 1, *in_shape)."""
        n = len(self.in_shape)
        more = torch.broadcast_shapes(x.shape[: x.ndim - n], (len(self.operators),))
        return x.expand(*more, *self.in_shape).unbind(-n - 1)

    def join(self, samples: Sequence[Tensor]) -> Tensor:
        """The tensor (*more, B, *in_shape) of which these are the samples."""
        return torch.stack(tuple(samples), -len(self.in_shape) - 1)

    def measurements(self, y: Sequence[Tensor] | Tensor) -> Ragged:
        """The measurements as a vector; a ShapeError if they are not a tuple of one tensor a sample."""
        if isinstance(y, Tensor) or len(y) != len(self.operators):
            got = f"a tensor of shape {show(y.shape)}" if isinstance(y, Tensor) else f"{len(y)} tensors"
            raise ShapeError(f"{self!r} needs a tuple of {len(self.operators)} measurements, one a sample, got {got}")
        return Ragged(y)


@dataclass(frozen=True, eq=False, repr=False)
class Batch(Samples, LinearOperator):
    """One operator per sample, x ↦ (A₁ x₁, A₂ x₂, …): a `Ragged` tuple of measurements; made by `batch`.

    The samples are the last batch axis: x has the shape (*more, B, *in_shape), and the i-th measurement the shape
    (*more, *out_shape[i]). `A.H` takes such a tuple back.

    Example:
        >>> from linops_video import BoxMean
        >>> batch([BoxMean(2, (4, 4)), BoxMean(4, (4, 4))]).out_shape
        ((2, 2), (1, 1))
    """

    operators: tuple[LinearOperator, ...]

    @property
    def in_shape(self) -> Shape:
        return self.operators[0].in_shape

    @property
    def out_shape(self) -> tuple[Shape, ...]:  # type: ignore[override]  # one shape a sample
        return tuple(A.out_shape for A in self.operators)

    def _batch_shapes(self) -> Iterator[Shape]:
        yield (len(self.operators),)

    @property
    def out_size(self) -> int:
        raise ShapeError(f"{self!r} has measurements of several shapes, and no one matrix: take one of its `operators`")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.operators))})"

    def _apply(self, x: Tensor) -> Ragged:  # type: ignore[override]
        return Ragged(A._apply(part) for A, part in zip(self.operators, self.samples(x), strict=True))

    def _apply_adjoint(self, y: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        return self.H._apply(y)

    @property
    def H(self) -> BatchAdjoint:
        return BatchAdjoint(self)

    def _after(self, other: LinearOperator) -> LinearOperator | None:
        if other.batch_shape not in ((), (1,), (len(self.operators),)):
            return None
        kind = BatchOuter if isinstance(other, BatchOuter | BatchAdjoint) else Batch
        return kind(tuple(A @ operator_of(other, i) for i, A in enumerate(self.operators)))

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return type(self)(tuple(sample_of(factor, i, len(self.operators)) * A for i, A in enumerate(self.operators)))

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        pairs = zip(self.operators, other.operators, strict=True) if isinstance(other, Batch) else None
        return pairs and type(self)(tuple(A + B for A, B in pairs))

    def norm(self) -> Tensor:
        return torch.stack([A.norm() for A in self.operators])

    def _normal_solver(self, rtol: float) -> NormalSolver:
        return BatchNormal.of(self, rtol=rtol)


@dataclass(frozen=True, eq=False, repr=False)
class BatchAdjoint(LinearOperator):
    """(y₁, y₂, …) ↦ [A₁ᴴ y₁, A₂ᴴ y₂, …], stacked along the last batch axis; made by `A.H` of a `Batch`."""

    operator: Batch

    @property
    def in_shape(self) -> tuple[Shape, ...]:  # type: ignore[override]
        return self.operator.out_shape

    @property
    def out_shape(self) -> Shape:
        return self.operator.in_shape

    @property
    def in_size(self) -> int:
        return self.operator.out_size

    def __repr__(self) -> str:
        return f"{self.operator!r}.H"

    def __call__(self, x: Sequence[Tensor]) -> Tensor:
        """Return [A₁ᴴ y₁, A₂ᴴ y₂, …].

        Raises:
            ShapeError: if x is not a tuple of one measurement a sample, each of its operator's shape.
        """
        parts = zip(self.operator.operators, self.operator.measurements(x), strict=True)
        return self.operator.join([A.H(part) for A, part in parts])

    def _apply(self, x: Sequence[Tensor]) -> Tensor:
        parts = zip(self.operator.operators, x, strict=True)
        return self.operator.join([A._apply_adjoint(part) for A, part in parts])

    def _apply_adjoint(self, y: Tensor) -> Ragged:  # type: ignore[override]
        return self.operator._apply(y)

    @property
    def H(self) -> Batch:
        return self.operator

    def _times(self, factor: float | Tensor) -> LinearOperator:
        return (conj(factor) * self.operator).H

    def _plus(self, other: LinearOperator) -> LinearOperator | None:
        return (self.operator + other.operator).H if isinstance(other, BatchAdjoint) else None

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        merged = self.operator._after(other.H)
        return merged and merged.H

    def _normal_solver(self, rtol: float) -> NormalSolver:
        raise ShapeError(f"{self!r} takes measurements of several shapes, and has no normal solve: take that of its H")

    def norm(self) -> Tensor:
        return self.operator.norm()


@dataclass(frozen=True, eq=False, repr=False)
class BatchOuter(Batch):
    """(y₁, y₂, …) ↦ (M₁ y₁, M₂ y₂, …), from measurements to measurements; made by `A @ A.H` of a `Batch`."""

    @property
    def in_shape(self) -> tuple[Shape, ...]:  # type: ignore[override]
        return tuple(A.in_shape for A in self.operators)

    @property
    def in_size(self) -> int:
        return self.out_size

    def __call__(self, x: Sequence[Tensor]) -> Ragged:  # type: ignore[override]
        return Ragged(A(part) for A, part in zip(self.operators, self.measurements(x), strict=True))

    def samples(self, x: Sequence[Tensor]) -> Sequence[Tensor]:  # type: ignore[override]
        return x

    @property
    def H(self) -> BatchOuter:  # type: ignore[override]
        return BatchOuter(tuple(A.H for A in self.operators))

    def _before(self, other: LinearOperator) -> LinearOperator | None:
        return (self.H @ other.H).H if isinstance(other, BatchAdjoint) else None

    def _normal_solver(self, rtol: float) -> NormalSolver:
        raise ShapeError(
            f"{self!r} takes measurements of several shapes, and has no normal solve: take that of a sample"
        )


@dataclass(frozen=True, eq=False)
class BatchNormal(NormalSolver):
    """(AᴴA + ρI)⁻¹ for a `Batch`: that of every sample, each exact in its own way.

    Attributes:
        solvers: one a sample; samples that share an operator object share its set-up.
    """

    operator: Batch
    method: str
    inverse: None = None  # type: ignore[assignment]  # every solver has its own
    solvers: tuple[NormalSolver, ...] = ()

    @staticmethod
    def of(A: LinearOperator, weight: LinearOperator | None = None, rtol: float = RTOL) -> BatchNormal:
        assert isinstance(A, Batch)
        distinct = {id(B): B for B in A.operators}
        ready = {key: NormalSolver.of(B, weight, rtol) for key, B in distinct.items()}
        return BatchNormal.join([ready[id(B)] for B in A.operators])

    @staticmethod
    def join(solvers: Sequence[NormalSolver]) -> BatchNormal:
        """That of the batch of the solvers' operators, with their set-up."""
        method = "; ".join(dict.fromkeys(solver.method for solver in solvers))
        return BatchNormal(batch([solver.operator for solver in solvers]), method, solvers=tuple(solvers))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> BatchNormal:
        ready = {id(solver): solver.to(device, dtype) for solver in self.solvers}
        return BatchNormal.join([ready[id(solver)] for solver in self.solvers])

    @property
    def exact(self) -> bool:
        return all(solver.exact for solver in self.solvers)

    def __call__(self, rho: float | Tensor, b: Tensor) -> Tensor:
        return self._stack(lambda s, rho, b: s(rho, b), rho, self.operator.samples(b))

    def solve(self, rho: float | Tensor, b: Tensor, start: Tensor | None = None) -> IterativeSolve:
        begin: Sequence[Any] = [None] * len(self.solvers) if start is None else self.operator.samples(start)
        parts = self._each(lambda s, rho, b, x: s.solve(rho, b, x), rho, self.operator.samples(b), begin)
        x = self.operator.join([part.x for part in parts])
        return IterativeSolve(
            x, torch.stack([part.iterations for part in parts], -1), torch.stack([part.residual for part in parts], -1)
        )

    def prox(self, rho: float | Tensor, v: Tensor, y: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        return self._stack(
            lambda s, rho, v, y: s.prox(rho, v, y), rho, self.operator.samples(v), self.operator.measurements(y)
        )

    def data_step(self, rho: float | Tensor, y: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:  # type: ignore[override]
        steps = self._each(lambda s, rho, y: s.data_step(rho, y), rho, self.operator.measurements(y))
        return lambda v: self.operator.join([step(p) for step, p in zip(steps, self.operator.samples(v), strict=True)])

    def pinv(self, y: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        return self._stack(lambda s, _, y: s.pinv(y), 0.0, self.operator.measurements(y))

    def null_projection(self, x: Tensor) -> Tensor:
        return self._stack(lambda s, _, x: s.null_projection(x), 0.0, self.operator.samples(x))

    def range_projection(self, x: Tensor) -> Tensor:
        return self._stack(lambda s, _, x: s.range_projection(x), 0.0, self.operator.samples(x))

    def eigenvalues(self) -> Tensor:
        return torch.stack([solver.eigenvalues() for solver in self.solvers])

    def singular_values(self) -> Ragged:  # type: ignore[override]
        """Those of every sample, as many as its operator's smaller side has entries."""
        return Ragged(solver.singular_values() for solver in self.solvers)

    def condition_number(self) -> Tensor:
        return torch.stack([solver.condition_number() for solver in self.solvers])

    def logdet(self, rho: float | Tensor) -> Tensor:
        return torch.stack(self._each(lambda s, rho: s.logdet(rho), rho), -1)

    def _each(self, method: Callable[..., Any], rho: float | Tensor, *parts: Sequence[Any]) -> list[Any]:
        samples = enumerate(zip(self.solvers, *parts, strict=True))
        return [method(solver, sample_of(rho, i, len(self.solvers)), *part) for i, (solver, *part) in samples]

    def _stack(self, method: Callable[..., Tensor], rho: float | Tensor, *parts: Sequence[Tensor]) -> Tensor:
        return self.operator.join(self._each(method, rho, *parts))


def batch(operators: Sequence[LinearOperator]) -> Batch:
    """One operator per sample, of different types, factors and output shapes.

    `A(x)` takes x of shape (*more, B, *in_shape), B = len(operators), and gives a tuple of B tensors of shape
    (*more, *out_shape[i]); `A.H(y)` takes such a tuple, and raises a ShapeError for another number of tensors.
    Samples go through one after another: measured on a CPU, that is as fast as operators with batch axes of their own.

    Raises:
        ShapeError: if there is none, if they do not take the same input, or if one has batch axes of its own.
        SpecError: if they are not a list or tuple of operators.

    Example:
        >>> import torch
        >>> from linops_video import BoxMean, NormalSolver, Select
        >>> A = batch([BoxMean(2, (4, 3, 8, 8)), Select((0, 2), 0, (4, 3, 8, 8))])
        >>> y = A(torch.rand(2, 4, 3, 8, 8))
        >>> [tuple(part.shape) for part in y]
        [(4, 3, 4, 4), (2, 3, 8, 8)]
        >>> NormalSolver.of(A).pinv(y).shape
        torch.Size([2, 4, 3, 8, 8])
    """
    joined = Batch(operators)  # type: ignore[arg-type]  # lists become tuples
    if not joined.operators:
        raise ShapeError("batch needs at least one operator, got none")
    for A in joined.operators:
        if A.in_shape != joined.in_shape:
            raise ShapeError(f"batch needs operators on one input shape, got {joined.operators[0]!r} and {A!r}")
        if A.batch_shape:
            raise ShapeError(
                f"batch needs one operator a sample, but {A!r} has parameters for a batch of shape "
                f"{show(A.batch_shape)}: build it without batch axes, once for each sample"
            )
    return joined


def operator_of(A: LinearOperator, i: int) -> LinearOperator:
    """What an operator with one batch axis, or none, does to the i-th sample."""
    if isinstance(A, Batch):
        return A.operators[i]
    if isinstance(A, BatchAdjoint):
        return A.operator.operators[i].H

    def of_sample(value: Any, n: int) -> Any:
        if isinstance(value, tuple):
            return tuple(of_sample(item, n) for item in value)
        if isinstance(value, LinearOperator):
            return operator_of(value, i)
        if isinstance(value, Tensor) and value.ndim > n:
            return value.select(-n - 1, min(i, value.shape[-n - 1] - 1))  # the only one for all samples
        return value

    me: Any = A
    fields = dataclasses.fields(me)
    return dataclasses.replace(me, **{f.name: of_sample(getattr(A, f.name), A._event_ndim(f)) for f in fields})
