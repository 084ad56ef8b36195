"""The conformance suite for operators, yours too."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linops_video.algebra.krylov import lanczos_norm
from linops_video.algebra.operator import Identity, LinearOperator, add, scale
from linops_video.algebra.parameters import Shape, complex_dtype, double, show
from linops_video.batch import Batch, BatchAdjoint
from linops_video.errors import LinopsError
from linops_video.inverses.normal import NormalSolver
from linops_video.operators.diagonal import Diagonal
from linops_video.operators.geometry import Roll


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
    inner products in float64, relative to ‖A‖‖x‖‖y‖; norm() is what a Lanczos iteration finds; A.H is _apply_adjoint;
    linearity; a batch with two axes gives what its samples give, with any strides; shape, dtype and input are kept, in
    the other precision too; complex data, where a real operator takes them, give the images of both parts; the
    gradients of ⟨A x, y⟩ are Aᴴ y and A x; gram(W) = AᴴWA and outer(W) = AWAᴴ for W = I, c·I, three kinds of diagonals
    and 2I + R + Rᴴ (“neighbours”), R a roll; the normal solve solves its equations. A random y alone would hardly
    notice an adjoint that is mis-scaled somewhere.

    Args:
        A: the operator; parameters may carry batch axes.
        seed: of the random tensors.

    Returns:
        The errors found, and how (AᴴA + ρI)⁻¹ is done.

    Raises:
        OperatorError: naming the first law that fails, at 1e-13 for float64 (1e-12 for the normal solve), 1e-6 for
            float32, and 1e-3 for the norm.

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

    def random(self, shape: Shape, *before: int) -> Tensor:
        real, sizes = self.dtype.to_real(), (*before, *self.A.batch_shape, *shape)
        x = torch.randn(sizes, generator=self.generator, dtype=real)
        if self.dtype.is_complex:
            x = torch.complex(x, torch.randn(sizes, generator=self.generator, dtype=real))
        return x.to(self.A.device)

    def run(self) -> OperatorReport:
        A, H = self.A, self.A.H
        x, y = self.random(A.in_shape), self.random(A.out_shape)
        Ax, Ay = self.image("A x", A, x), self.image("Aᴴ y", H, y)
        # by the maps alone: errors are divided by it, and A's own norm may be wrong
        largest = lanczos_norm(lambda x: H(A(x)), x, len(A.in_shape), 1e-4)
        self.norm = largest.clamp(min=1e-300)
        self.record("dot test, y random", dot_test(A, x, y, self.norm))
        self.record("dot test, y = A x", dot_test(A, x, Ax, self.norm))
        own = A.norm()
        self.record("norm", (own - largest).abs() / self.norm, 1e-3)
        self.norm = own.double().clamp(min=1e-300)
        self.compare("H is _apply_adjoint", lambda: A._apply_adjoint(y), Ay, self.norm)
        x2 = self.random(A.in_shape)
        Ax2 = A(x2)
        self.compare("linearity", lambda: A(2.5 * x - 0.5 * x2), 2.5 * Ax - 0.5 * Ax2, self.norm)
        for name, B in (("A", A), ("Aᴴ", H)):
            self.batches(name, B)
            self.other_data(name, B)
        self.compare("gradient is the adjoint", lambda: self.gradient(A, x, y), Ay, self.norm)
        self.compare("gradient of Aᴴ y is A", lambda: self.gradient(H, y, x), Ax, self.norm)
        for name, W in self.weights(A.out_shape):
            self.compare(f"gram({name})", lambda W=W: A.gram(W)(x), H(W(Ax) if W else Ax), self.norm**2)
        for name, W in self.weights(A.in_shape):
            self.compare(f"outer({name})", lambda W=W: A.outer(W)(y), A(W(Ay) if W else Ay), self.norm**2)
        method = self.normal_solve(x, Ay)
        gram, outer = (type(square).__name__ for square in (A.gram(), A.outer()))
        precision = str(self.dtype).removeprefix("torch.")
        name = f"{type(A).__name__} {show(A.in_shape)} → {show(A.out_shape)} in {precision}"
        return OperatorReport(name, self.errors, float(self.norm.max()), gram, outer, method)

    def image(self, name: str, B: LinearOperator, x: Tensor) -> Tensor:
        """The image of x, which is to be left as it is, of the right shape, and in the precision of x."""
        before, shape = x.clone(), (*self.A.batch_shape, *B.out_shape)
        got = B(x)
        if not torch.equal(x, before):
            raise OperatorError(f"{self.A!r} changes its input in {name}: return a new tensor")
        if tuple(got.shape) != shape or got.dtype != x.dtype:
            raise OperatorError(
                f"{self.A!r}: {name} should have shape {shape} and {x.dtype}, got {tuple(got.shape)} and {got.dtype}"
            )
        if not torch.isfinite(got).all():
            raise OperatorError(f"{self.A!r}: {name} of finite data has NaN or infinite values")
        return got

    def batches(self, name: str, B: LinearOperator) -> None:
        six = self.random(B.in_shape, 2, 3)
        expected = torch.stack([B(x) for x in six.flatten(0, 1)]).unflatten(0, (2, 3))
        self.compare(f"batch of samples, {name}", lambda: B(six), expected, self.norm)
        backwards = tuple(reversed(range(six.ndim)))
        turned = six.permute(backwards).contiguous().permute(backwards)
        self.compare(f"other strides, {name}", lambda: B(turned), expected, self.norm)

    def other_data(self, name: str, B: LinearOperator) -> None:
        """Data in the other precision, and complex data for a real operator, which it may refuse, but not falsify."""
        x, x2 = self.random(B.in_shape), self.random(B.in_shape)
        other = torch.float32 if self.tolerance < 1e-6 else torch.float64
        self.image(f"{name} of data in {other}", B, x.to(complex_dtype(other) if x.is_complex() else other))
        if x.is_complex():
            return
        try:
            got = B(torch.complex(x, x2))
        except Exception:
            return
        self.compare(f"complex data, {name}", lambda: got, torch.complex(B(x), B(x2)), self.norm)

    def weights(self, shape: Shape) -> list[tuple[str, LinearOperator | None]]:
        """Some W: diagonals, one of them constant along every second axis, one a batch of two, and W = 2I + R + Rᴴ."""
        thin = tuple(1 if axis % 2 else n for axis, n in enumerate(shape, len(shape) % 2))
        two = (2, *(1,) * len(self.A.batch_shape), *shape)
        diagonals = {"diagonal": shape, "thin diagonal": thin, "batch of diagonals": two}
        found: list[tuple[str, LinearOperator | None]] = [("I", None), ("c·I", scale(1.3, Identity(shape)))]
        for name, sizes in diagonals.items():
            d = torch.rand(sizes, generator=self.generator, dtype=self.dtype.to_real()).to(self.A.device)
            found.append((name, Diagonal(d, shape)))
        R = Roll((1,) * len(shape), tuple(range(len(shape))), shape)
        return [*found, ("neighbours", add(scale(2.0, Identity(shape)), R, R.H))]

    def normal_solve(self, x: Tensor, Ay: Tensor) -> str:
        A, normal = self.A, NormalSolver.of(self.A)
        if not normal.exact:
            return normal.method
        rho = 0.1 * float(self.norm.max()) ** 2 or 1.0
        b = torch.stack((x, Ay))
        z = normal(rho, b)
        scale_of_z = (self.norm**2 + rho) * _length(z, A.in_shape) + _length(b, A.in_shape)
        residuals = _length(A.H(A(z)) + rho * z - b, A.in_shape) / scale_of_z.clamp(min=1e-300)
        for name, residual in zip(("b random", "b in range(Aᴴ)"), residuals, strict=True):
            # singular values near the cut of the pseudoinverse cost a digit
            self.record(f"normal solve, {name}", residual, max(self.tolerance, 1e-12))
        return normal.method

    def gradient(self, B: LinearOperator, x: Tensor, y: Tensor) -> Tensor:
        """The gradient of ⟨B x, y⟩ in x."""
        leaf = x.clone().requires_grad_()
        image = B(leaf)
        if not image.requires_grad:
            raise ValueError("no gradient flows through it, as after detach() or through NumPy")
        (gradient,) = torch.autograd.grad((image.conj() * y).sum().real, leaf)
        return gradient

    def compare(self, law: str, image: Callable[[], Tensor], expected: Tensor, gain: Tensor) -> None:
        """‖image() − expected‖ against the gain times the size of a unit-variance input."""
        try:
            got = image()
        except Exception as error:
            raise OperatorError(f"{self.A!r} breaks the law “{law}”: {type(error).__name__}: {error}") from error
        if got.shape != expected.shape:
            raise OperatorError(
                f"{self.A!r} breaks the law “{law}”: expected shape {show(expected.shape)}, got {show(got.shape)}"
            )
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

    def inner(u: Tensor, v: Tensor, shape: Shape) -> Tensor:
        return (double(u).conj() * double(v)).flatten(u.ndim - len(shape)).sum(-1)

    gap = (inner(A(x), y, A.out_shape) - inner(x, A.H(y), A.in_shape)).abs()
    return gap / (norm * _length(x, A.in_shape) * _length(y, A.out_shape)).clamp(min=1e-300)


def _length(x: Tensor, shape: Shape) -> Tensor:
    return torch.linalg.vector_norm(x.flatten(x.ndim - len(shape)), dim=-1).double()
