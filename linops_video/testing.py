"""The conformance suite for operators, yours too."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.operator import Identity, LinearOperator, scale
from linops_video.algebra.parameters import Shape, complex_dtype, show
from linops_video.batch import Batch, BatchAdjoint
from linops_video.errors import LinopsError
from linops_video.inverses.normal import NormalSolver
from linops_video.operators.diagonal import Diagonal


class OperatorError(LinopsError):
    """An operator breaks one of the laws of `check_operator`; the message names the law and the error found."""


@dataclass(frozen=True)
class OperatorReport:
    """What `check_operator` found; as text, a table.

    Attributes:
        name: the operator and the precision of the check.
        errors: of each law, against its scale.
        norm: ‖A‖, of a batch of operators the largest.
        gram, outer: the types that AᴴA and AAᴴ simplify to: the structure that is known.
        method: how (AᴴA + ρI)⁻¹ is done.
    """

    name: str
    errors: dict[str, float]
    norm: float
    gram: str
    outer: str
    method: str

    def __str__(self) -> str:
        laws = [f"  {law:<32}{error:.0e}" for law, error in self.errors.items()]
        facts = {"‖A‖": f"{self.norm:.6g}", "AᴴA": self.gram, "AAᴴ": self.outer, "(AᴴA + ρI)⁻¹": self.method}
        found = [f"  {fact:<32}{value}" for fact, value in facts.items()]
        return "\n".join([f"{self.name}: every law holds, to a relative error of", *laws, "found", *found])


def check_operator(A: LinearOperator, seed: int = 0, dtype: torch.dtype = torch.float64) -> OperatorReport:
    """Check that A obeys the laws of a linear operator, in the precision of its parameters (`dtype` if it has none).

    The data are complex if A or `dtype` is.

    The laws, each relative to its natural scale: the dot test ⟨A x, y⟩ = ⟨x, Aᴴ y⟩ with a random y and with y = A x,
    inner products in float64, relative to ‖A‖‖x‖‖y‖; linearity; gram(W) = AᴴWA and outer(W) = AWAᴴ for W = I, c·I and
    a diagonal; the gradient of ⟨A x, y⟩ is Aᴴ y; shape, dtype and input are kept; a batch gives what its samples give;
    the normal solve solves its equations. A random y alone would hardly notice an adjoint that is mis-scaled somewhere.

    Args:
        A: the operator; parameters may carry batch axes.
        seed: of the random tensors.

    Returns:
        The errors found, and how (AᴴA + ρI)⁻¹ is done.

    Raises:
        OperatorError: naming the first law that fails, at 1e-13 for float64 (1e-12 for the normal solve) and 1e-6 for
            float32.

    Example:
        >>> from linops_video import BoxMean
        >>> check_operator(BoxMean(2, (3, 1, 8, 8))).method
        'exact: scalar, from the outer product'
    """
    if isinstance(A, (Batch, BatchAdjoint)):
        raise OperatorError(f"{A!r} has measurements of several shapes: check its `operators` one by one")
    own = A.dtype or dtype
    return _Check(A, seed, complex_dtype(own) if dtype.is_complex or A.is_complex() else own).run()


class _Check:
    def __init__(self, A: LinearOperator, seed: int, dtype: torch.dtype) -> None:
        self.A, self.dtype = A, dtype
        self.generator = torch.Generator().manual_seed(seed)
        self.tolerance = 1e-13 if torch.finfo(dtype).bits >= 64 else 1e-6
        self.norm = torch.zeros(())  # taken once shapes are known to be right
        self.errors: dict[str, float] = {}

    def random(self, shape: Shape) -> Tensor:
        real = self.dtype.to_real()
        x = torch.randn(*self.A.batch_shape, *shape, generator=self.generator, dtype=real)
        if self.dtype.is_complex:
            x = torch.complex(x, torch.randn(x.shape, generator=self.generator, dtype=real))
        return x.to(self.A.device)

    def run(self) -> OperatorReport:
        A = self.A
        x, y = self.random(A.in_shape), self.random(A.out_shape)
        before = x.clone()
        Ax, Ay = A(x), A.H(y)
        if not torch.equal(x, before):
            raise OperatorError(f"{A!r} changes its input: return a new tensor")
        for name, value, shape in (("A x", Ax, A.out_shape), ("Aᴴ y", Ay, A.in_shape)):
            if tuple(value.shape) != (*A.batch_shape, *shape) or value.dtype != self.dtype:
                raise OperatorError(
                    f"{A!r}: {name} should have shape {(*A.batch_shape, *shape)} and {self.dtype}, "
                    f"got {tuple(value.shape)} and {value.dtype}"
                )
        self.norm = A.norm().double().clamp(min=1e-300)
        self.record("dot test, y random", dot_test(A, x, y, self.norm))
        self.record("dot test, y = A x", dot_test(A, x, Ax, self.norm))
        x2 = self.random(A.in_shape)
        self.compare("linearity", A(2.5 * x - 0.5 * x2), 2.5 * Ax - 0.5 * A(x2), self.norm)
        two = torch.stack([x, x2])
        self.compare("batch of samples", A(two), torch.stack([Ax, A(x2)]), self.norm)
        self.gradient(x, y, Ay)
        for name, W in self.weights(A.out_shape):
            self.compare(f"gram({name})", A.gram(W)(x), A.H(W(Ax) if W else Ax), self.norm**2)
        for name, W in self.weights(A.in_shape):
            self.compare(f"outer({name})", A.outer(W)(y), A(W(Ay) if W else Ay), self.norm**2)
        method = self.normal_solve(x, Ay)
        gram, outer = (type(square).__name__ for square in (A.gram(), A.outer()))
        precision = str(self.dtype).removeprefix("torch.")
        name = f"{type(A).__name__} {show(A.in_shape)} → {show(A.out_shape)} in {precision}"
        return OperatorReport(name, self.errors, float(self.norm.max()), gram, outer, method)

    def weights(self, shape: Shape) -> list[tuple[str, LinearOperator | None]]:
        diagonal = torch.rand(shape, generator=self.generator, dtype=self.dtype.to_real()).to(self.A.device)
        return [("I", None), ("c·I", scale(1.3, Identity(shape))), ("diagonal", Diagonal(diagonal, shape))]

    def normal_solve(self, x: Tensor, Ay: Tensor) -> str:
        A, normal = self.A, NormalSolver.of(self.A)
        if not normal.exact:
            return normal.method
        rho = 0.1 * float(self.norm.max()) ** 2 or 1.0
        for name, b in (("b random", x), ("b in range(Aᴴ)", Ay)):
            z = normal(rho, b)
            scale_of_z = (self.norm**2 + rho) * _length(z, A.in_shape) + _length(b, A.in_shape)
            residual = _length(A.H(A(z)) + rho * z - b, A.in_shape)
            # singular values near the cut of the pseudoinverse cost a digit
            self.record(f"normal solve, {name}", residual / scale_of_z.clamp(min=1e-300), max(self.tolerance, 1e-12))
        return normal.method

    def gradient(self, x: Tensor, y: Tensor, Ay: Tensor) -> None:
        leaf = x.clone().requires_grad_()
        (self.A(leaf).conj() * y).sum().real.backward()
        assert leaf.grad is not None
        self.compare("gradient is the adjoint", leaf.grad, Ay, self.norm)

    def compare(self, law: str, got: Tensor, expected: Tensor, gain: Tensor) -> None:
        """‖got − expected‖ against the gain times the size of a unit-variance input."""
        size = math.sqrt(max(math.prod(self.A.in_shape), math.prod(self.A.out_shape)))
        self.record(law, torch.linalg.vector_norm(got - expected).double() / (gain.max() * size).clamp(min=1e-300))

    def record(self, law: str, error: Tensor, tolerance: float = 0.0) -> None:
        worst, allowed = float(error.max()), tolerance or self.tolerance
        if not worst <= allowed:
            raise OperatorError(f"{self.A!r} breaks the law “{law}”: error {worst:.1e}, allowed {allowed:.0e}")
        self.errors[law] = worst


def dot_test(A: LinearOperator, x: Tensor, y: Tensor, norm: Tensor) -> Tensor:
    """|⟨A x, y⟩ − ⟨x, Aᴴ y⟩| / (‖A‖ ‖x‖ ‖y‖), inner products in float64, one number per sample.

    Example:
        >>> from linops_video import BoxMean
        >>> A = BoxMean(2, (4, 4))
        >>> float(dot_test(A, torch.rand(4, 4), torch.rand(2, 2), A.norm())) < 1e-6
        True
    """
    double = torch.promote_types(x.dtype, torch.float64)

    def inner(u: Tensor, v: Tensor, shape: Shape) -> Tensor:
        return (u.to(double).conj() * v.to(double)).flatten(u.ndim - len(shape)).sum(-1)

    gap = (inner(A(x), y, A.out_shape) - inner(x, A.H(y), A.in_shape)).abs()
    return gap / (norm * _length(x, A.in_shape) * _length(y, A.out_shape)).clamp(min=1e-300)


def _length(x: Tensor, shape: Shape) -> Tensor:
    return torch.linalg.vector_norm(x.flatten(x.ndim - len(shape)), dim=-1).double()
