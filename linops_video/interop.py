"""Operators from and for other libraries: plain functions, SciPy, PyLops, deepinv.

Nothing here is imported by `import linops_video`, and none of the other libraries before it is needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from linops_video.algebra.krylov import Map
from linops_video.algebra.operator import LinearOperator
from linops_video.algebra.parameters import Shape, complex_dtype, show
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.inverses.normal import NormalSolver

if TYPE_CHECKING:
    import pylops
    from scipy.sparse.linalg import LinearOperator as ScipyOperator


@dataclass(frozen=True, eq=False, repr=False)
class External(LinearOperator):
    """An operator of another library, known by what it does; made by `from_functions` and its kin.

    Args:
        forward, adjoint: x ↦ A x and y ↦ Aᴴ y on tensors with one batch axis, (B, *in_shape) and (B, *out_shape).
        in_shape, out_shape: event shapes.
        complex_valued: whether A x is complex for a real x.
    """

    forward: Map
    adjoint: Map
    in_shape: Shape
    out_shape: Shape
    complex_valued: bool = False

    def is_complex(self) -> bool:
        return self.complex_valued

    def _apply(self, x: Tensor) -> Tensor:
        return self._through(self.forward, x, self.in_shape, self.out_shape)

    def _apply_adjoint(self, y: Tensor) -> Tensor:
        return self._through(self.adjoint, y, self.out_shape, self.in_shape)

    def _through(self, apply: Map, x: Tensor, shape: Shape, result: Shape) -> Tensor:
        if x.is_complex() and not self.complex_valued:  # many a real function would drop the imaginary part
            return torch.complex(*(_on_one_batch_axis(apply, part, shape, result) for part in (x.real, x.imag)))
        return _on_one_batch_axis(apply, x, shape, result)


def from_functions(
    forward: Map, adjoint: Map, in_shape: Shape, out_shape: Shape, complex_valued: bool = False
) -> LinearOperator:
    """The operator of a pair of functions, x ↦ A x and y ↦ Aᴴ y.

    Each is the other's derivative, so that gradients, `torch.func.jvp` and `vmap` work even where the functions know
    nothing of autograd (kernels in other languages). Tensors inside the functions get no gradient.

    Args:
        forward, adjoint: on tensors with one batch axis, (B, *in_shape) and (B, *out_shape).
        complex_valued: whether A x is complex for a real x.

    Example:
        >>> import torch
        >>> A = from_functions(lambda x: x.cumsum(-1), lambda y: y.flip(-1).cumsum(-1).flip(-1), (3,), (3,))
        >>> A.H(A(torch.tensor([1.0, 0.0, 0.0])))
        tensor([3., 2., 1.])
    """
    forward, adjoint = _Differentiable(forward, adjoint), _Differentiable(adjoint, forward)
    return External(forward, adjoint, tuple(in_shape), tuple(out_shape), complex_valued)


def from_scipy(
    L: ScipyOperator | pylops.LinearOperator, in_shape: Shape | None = None, out_shape: Shape | None = None
) -> LinearOperator:
    """The operator of a SciPy LinearOperator, a matrix, sparse or not, or anything with `matmat` and `rmatmat`.

    Batch axes become the columns of `matmat`. It is computed by NumPy on the CPU, wherever the tensors are, and in
    their precision, float32 for 16-bit ones; gradients flow through it. One that is linear for real factors alone, as
    the FFT of real signals, is taken on real and imaginary parts.

    Args:
        in_shape, out_shape: event shapes with as many entries as L has columns and rows; None: vectors.

    Raises:
        DtypeError: if L is none of these.
        ShapeError: if the shapes do not have these numbers of entries.
        SpecError: if L has no adjoint.

    Example:
        >>> import scipy.sparse, torch
        >>> L = scipy.sparse.linalg.aslinearoperator(scipy.sparse.diags([1.0, 2.0, 3.0]))
        >>> from_scipy(L)(torch.ones(2, 3))
        tensor([[1., 2., 3.],
                [1., 2., 3.]])
    """
    if not hasattr(L, "rmatmat"):
        from scipy.sparse.linalg import aslinearoperator

        try:
            L = aslinearoperator(L)
        except TypeError:
            needed = "an operator of SciPy or PyLops, or a matrix of NumPy or SciPy"
            message = f"from_scipy needs {needed}, got {type(L).__name__}: Dense takes a tensor"
            raise DtypeError(message) from None
    rows, columns = L.shape
    in_shape, out_shape = tuple(in_shape or (columns,)), tuple(out_shape or (rows,))
    if (math.prod(out_shape), math.prod(in_shape)) != (rows, columns):
        raise ShapeError(
            f"an operator of {rows} rows and {columns} columns needs an out_shape and an in_shape with as many "
            f"entries, got {show(out_shape)} and {show(in_shape)}"
        )
    is_complex = bool(np.issubdtype(L.dtype, np.complexfloating))
    forward: Map = _ThroughNumpy(L.matmat, out_shape, is_complex)
    adjoint: Map = _ThroughNumpy(L.rmatmat, in_shape, is_complex)
    if not _is_complex_linear(L):
        forward, adjoint = _OnParts(forward), _AdjointOfReal(adjoint)
    return from_functions(forward, adjoint, in_shape, out_shape, is_complex)


def _is_complex_linear(L: Any) -> bool:
    """Whether the adjoint of an operator of complex numbers, tried on a random vector, has Aᴴ(i y) = i Aᴴ y."""
    y = np.random.default_rng(0).standard_normal((L.shape[0], 1))
    is_complex = np.issubdtype(L.dtype, np.complexfloating)
    try:
        back = np.asarray(L.rmatmat(np.hstack((y, 1j * y)) if is_complex else y))
    except (TypeError, NotImplementedError) as error:
        raise SpecError(
            f"an operator needs an adjoint, and rmatvec of this one fails ({error}): give rmatvec"
        ) from None
    return not is_complex or np.allclose(back[:, 1], 1j * back[:, 0], rtol=0, atol=1e-4 * np.abs(back).max())


@dataclass(frozen=True)
class _ThroughNumpy:
    """A product with a matrix of NumPy's columns, on tensors with one batch axis: `matmat`, to tensors of `shape`."""

    matmat: Callable[[Any], Any]
    shape: Shape
    complex_valued: bool

    def __call__(self, x: Tensor) -> Tensor:
        columns = x.detach().flatten(1).to("cpu", torch.promote_types(x.dtype, torch.float32))
        y = torch.tensor(_plain(self.matmat(columns.numpy(force=True).T)))
        dtype = complex_dtype(x.dtype) if self.complex_valued else x.dtype
        return y.mT.to(x.device, dtype).reshape(len(x), *self.shape)


@dataclass(frozen=True)
class _OnParts:
    """A map of real tensors, on real and imaginary parts."""

    forward: Map

    def __call__(self, x: Tensor) -> Tensor:
        return self.forward(x.real) + 1j * self.forward(x.imag) if x.is_complex() else self.forward(x)


@dataclass(frozen=True)
class _AdjointOfReal:
    """The adjoint of `_OnParts`, of the one for real tensors, which tells the real part of Aᴴ y."""

    adjoint: Map

    def __call__(self, y: Tensor) -> Tensor:
        y = y.to(complex_dtype(y.dtype))
        return torch.complex(self.adjoint(y).real, -self.adjoint(1j * y).real)


def from_pylops(L: pylops.LinearOperator) -> LinearOperator:
    """The operator of a PyLops operator, from tensors of shape `L.dims` to such of shape `L.dimsd`; see `from_scipy`.

    Raises:
        DtypeError: if L is no operator of PyLops.

    Example:
        >>> import pylops, torch
        >>> A = from_pylops(pylops.FirstDerivative((4, 3), axis=0, kind="forward"))
        >>> A.out_shape
        (4, 3)
    """
    if not hasattr(L, "dimsd"):
        raise DtypeError(f"from_pylops needs an operator of PyLops, got {type(L).__name__}: from_scipy takes others")
    return from_scipy(L, tuple(int(n) for n in L.dims), tuple(int(n) for n in L.dimsd))


def from_deepinv(physics: Any, in_shape: Shape) -> LinearOperator:
    """The operator of a deepinv `LinearPhysics` without its noise, from tensors (*batch, *in_shape).

    Gradients are deepinv's own, also those of the physics' parameters.

    Raises:
        SpecError: if its measurement is not one tensor.

    Example:
        >>> import deepinv  # doctest: +SKIP
        >>> A = from_deepinv(deepinv.physics.Blur(filter=torch.ones(1, 1, 3, 3) / 9), (3, 64, 64))  # doctest: +SKIP
    """
    place = next((t for t in (*physics.parameters(), *physics.buffers())), torch.zeros(()))
    with torch.no_grad():
        y = physics.A(torch.zeros(1, *in_shape, device=place.device))
    if not isinstance(y, Tensor):
        raise SpecError(f"from_deepinv needs physics that measure one tensor, got {type(y).__name__}: stack its parts")
    return External(physics.A, physics.A_adjoint, tuple(in_shape), tuple(y.shape[1:]), y.is_complex())


def to_scipy(A: LinearOperator) -> ScipyOperator:
    """A as a SciPy LinearOperator on flattened tensors.

    The columns of `matmat` are a batch. An operator with batch axes of its own, B samples, becomes the block-diagonal
    operator on all of them: B times as many rows and columns.

    Example:
        >>> import torch
        >>> from linops_video import Diagonal
        >>> to_scipy(Diagonal(torch.tensor([1.0, 2.0]), (2,))).matvec([3.0, 3.0])
        array([3., 6.])
    """
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

    samples, dtype = math.prod(A.batch_shape), _array_dtype(A)
    forward, adjoint = _OnColumns(A, dtype), _OnColumns(A.H, dtype)
    shape = (samples * A.out_size, samples * A.in_size)
    return ScipyOperator(shape, forward, adjoint, forward, dtype, adjoint)  # type: ignore[call-arg]


@dataclass(frozen=True)
class _OnColumns:
    """An operator on the columns of an array, or on one vector; `dtype`: that of the result for whole numbers."""

    operator: LinearOperator
    dtype: np.dtype

    def __call__(self, columns: Any) -> np.ndarray:
        A, batch = self.operator, self.operator.batch_shape
        columns = _plain(columns, self.dtype)
        rows, count = math.prod(batch) * A.out_size, math.prod(columns.shape[1:])
        if count == 0:
            return np.zeros((rows, 0), columns.dtype)
        x = torch.tensor(columns, device=A.device).reshape(-1, count).mT
        with torch.no_grad():
            y = A(x.reshape(count, *batch, *A.in_shape))
        return y.reshape(count, rows).mT.reshape(rows, *columns.shape[1:]).numpy(force=True)


def to_pylops(A: LinearOperator) -> pylops.LinearOperator:
    """A as a PyLops operator from `dims` (*batch, *in_shape) to `dimsd` (*batch, *out_shape), for its own batch axes.

    Example:
        >>> from linops_video import BoxMean
        >>> to_pylops(BoxMean(2, (3, 8, 8))).dimsd
        (3, 4, 4)
    """
    import pylops

    dims, dimsd = (*A.batch_shape, *A.in_shape), (*A.batch_shape, *A.out_shape)
    return pylops.LinearOperator(to_scipy(A), dims=dims, dimsd=dimsd)


def to_deepinv(A: LinearOperator) -> Any:
    """A as a deepinv `LinearPhysics` on tensors (B, *in_shape).

    `prox_l2` and `A_dagger` are those of `NormalSolver`, exact wherever A has a structure for it; what deepinv passes
    to its own iterative solvers is ignored. `.to(device)` moves A's parameters.

    Example:
        >>> from linops_video import BoxMean
        >>> physics = to_deepinv(BoxMean(2, (3, 64, 64)))  # doctest: +SKIP
        >>> physics.A_dagger(torch.ones(1, 3, 32, 32)).shape  # doctest: +SKIP
        torch.Size([1, 3, 64, 64])
    """
    import deepinv  # pyright: ignore[reportMissingImports]  # not a dependency

    class Physics(deepinv.physics.LinearPhysics):
        def __init__(self) -> None:
            super().__init__()
            self.operator, self.normal = A, NormalSolver.of(A)

        def A(self, x: Tensor, **kwargs: Any) -> Tensor:
            return self.operator(x)

        def A_adjoint(self, y: Tensor, **kwargs: Any) -> Tensor:
            return self.operator.H(y)

        def A_dagger(self, y: Tensor, **kwargs: Any) -> Tensor:
            return self.normal.pinv(y)

        def prox_l2(self, z: Any, y: Tensor, gamma: Any, *args: Any, **kwargs: Any) -> Tensor:
            """argmin_x γ/2 ‖A x − y‖² + ½ ‖x − z‖²."""
            if not isinstance(z, Tensor):
                z = y.new_full((len(y), *self.operator.in_shape), z or 0.0)
            rho = 1 / gamma
            per_sample = isinstance(rho, Tensor) and rho.numel() > 1
            return self.normal.prox(rho.flatten() if per_sample else float(rho), z, y)

        def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
            if hasattr(self, "operator"):
                self.operator = self.operator._map_tensors(lambda t, _: fn(t))
                self.normal = NormalSolver.of(self.operator)
            return super()._apply(fn, recurse)

    return Physics()


def _array_dtype(A: LinearOperator) -> np.dtype:
    """A's precision as NumPy has it: float64 for one without parameters, float32 for bfloat16."""
    dtype = A.dtype or torch.float64
    dtype = torch.float32 if dtype == torch.bfloat16 else dtype
    return torch.empty((), dtype=complex_dtype(dtype) if A.is_complex() else dtype).numpy().dtype


def _plain(array: Any, whole: Any = np.float64) -> np.ndarray:
    """An array as torch takes it: in order, in this machine's bytes, at most float64; `whole`: dtype of integers."""
    array = np.asarray(array)
    dtype = array.dtype if np.issubdtype(array.dtype, np.inexact) else np.dtype(whole)
    longer = {np.longdouble: np.float64, np.clongdouble: np.complex128}
    return np.ascontiguousarray(array, longer.get(dtype.type, dtype.newbyteorder("=")))


def _on_one_batch_axis(apply: Map, x: Tensor, shape: Shape, result: Shape) -> Tensor:
    batch = x.shape[: x.ndim - len(shape)]
    y = apply(x.reshape(math.prod(batch), *shape))
    if tuple(y.shape) != (math.prod(batch), *result):
        raise ShapeError(
            f"a function of this operator gave {show(y.shape)} for an input of {show((math.prod(batch), *shape))}, "
            f"needed {show((math.prod(batch), *result))}"
        )
    return y.reshape(*batch, *result)


@dataclass(frozen=True)
class _Differentiable:
    """x ↦ A x whose derivative is that of a linear map."""

    forward: Map
    adjoint: Map

    def __call__(self, x: Tensor) -> Tensor:
        return _LinearFunction.apply(x, self.forward, self.adjoint)  # type: ignore[no-any-return]


class _LinearFunction(torch.autograd.Function):
    """x ↦ A x for autograd: its derivative along t is A t, and the gradient for g is Aᴴ g."""

    @staticmethod
    def forward(x: Tensor, forward: Map, adjoint: Map) -> Tensor:
        return forward(x)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:
        x, ctx.apply_forward, ctx.apply_adjoint = inputs
        ctx.is_complex = x.is_complex()

    @staticmethod
    def backward(ctx, *grads: Tensor):
        x = _LinearFunction.apply(grads[0], ctx.apply_adjoint, ctx.apply_forward)
        return x if ctx.is_complex or not x.is_complex() else x.real, None, None

    @staticmethod
    def jvp(ctx, *tangents):
        return _LinearFunction.apply(tangents[0], ctx.apply_forward, ctx.apply_adjoint)

    @staticmethod
    def vmap(info, in_dims, x: Tensor, forward: Map, adjoint: Map):
        x = x.movedim(in_dims[0], 0)
        return _LinearFunction.apply(x.flatten(0, 1), forward, adjoint).unflatten(0, x.shape[:2]), 0
