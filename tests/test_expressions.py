"""Random well-typed expressions of operators, against dense float64 oracles made of the matrices of their leaves."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from torch import Tensor
from zoo import LEAVES, normal_numbers
from zoo.trees import TEXTS, Drawn, Example, examples, from_text

from linops_video import LinearOperator, NormalSolver, Shape, parse
from linops_video.errors import SpecError
from linops_video.expressions.source import MAX_LENGTH
from linops_video.testing import check_operator

RTOL = 1e-8
"""Of solves by iteration, against the 1e-12 of exact ones."""


@settings(max_examples=100, deadline=None, derandomize=True)
@given(examples())
def test_random_expressions(example: Example) -> None:
    obeys_the_laws(example)


def obeys_the_laws(example: Example) -> None:
    A, M = example.expression.operator, matrix(example.expression)
    singular = torch.linalg.svdvals(M)
    size = singular[..., 0]
    # parts that cancel to less than a thousandth, or to nothing, have rounding of their own size, not of that of A
    bound = example.expression.bound
    assume(bool(((bound == 0) | (size > 1e-3 * bound)).all()))
    before = [t.clone() for t, _ in A._tensors()]
    check_operator(A, dtype=torch.complex128 if example.complex_data else torch.float64)
    close(A.to_dense(), M, size)
    close(A.H.to_dense(), M.mH, size)
    close(A.H.H.to_dense(), M, size)
    close(A.norm()[..., None, None], size[..., None, None], size, 1e-6)
    grams(example, M, size)
    text_round_trip(A, size)
    single_precision(example, size)
    normal = NormalSolver.of(A, rtol=RTOL)
    # solves by iteration take long: one of the two is enough, with gradients of the parameters every other time
    if not weighted_solve(example, M) or normal.exact:
        solves(example, M, normal)
    if normal.exact or example.seed % 2:
        parameter_gradients(example, size)
    if normal.exact:
        pseudoinverse(example, M, singular, normal)
    assert all(torch.equal(t, copy) for (t, _), copy in zip(A._tensors(), before, strict=True))


def matrix(drawn: Drawn) -> Tensor:
    """The oracle, real if the operator says that it is."""
    M = drawn.matrix
    if drawn.operator.is_complex():
        return M
    assert bool((M.imag.abs() <= 1e-12 * drawn.bound[..., None, None]).all())
    return M.real


def close(got: Tensor, expected: Tensor, size: Tensor, tolerance: float = 1e-10, axes: int = 2) -> None:
    """got = expected to `tolerance` of `size`, one number per sample, in the entries of the last axes."""
    kind = torch.promote_types(got.dtype, expected.dtype)
    gap = (got.to(kind) - expected.to(kind)).abs().amax(tuple(range(-axes, 0)))
    within(gap, tolerance, size)


def within(gap: Tensor, tolerance: float, size: Tensor) -> None:
    gap, size = gap.detach(), size.detach()
    good = gap <= tolerance * size + 1e-250
    assert bool(good.all()), f"off by {float((gap / size).max()):.1e}, allowed {tolerance:.0e}"


def flat(x: Tensor, shape: Shape) -> Tensor:
    return x.flatten(x.ndim - len(shape))


def length(x: Tensor, shape: Shape) -> Tensor:
    return torch.linalg.vector_norm(flat(x, shape), dim=-1)


def times(M: Tensor, x: Tensor, shape: Shape) -> Tensor:
    """M x, flattened."""
    return (M @ flat(x, shape).to(M.dtype)[..., None])[..., 0]


def vectors(example: Example, batch: Shape, dtype: torch.dtype, *shapes: Shape) -> list[Tensor]:
    r = normal_numbers(example.seed)
    drawn = [r(*batch, *shape) for shape in shapes]
    return [torch.complex(x, r(*x.shape)) if dtype.is_complex else x for x in drawn]


def grams(example: Example, M: Tensor, size: Tensor) -> None:
    A = example.expression.operator
    close(A.gram().to_dense(), M.mH @ M, size**2)
    close(A.outer().to_dense(), M @ M.mH, size**2)
    for drawn, of, factor in ((example.weight, A.gram, M), (example.source_weight, A.outer, M.mH)):
        W = drawn.matrix
        largest = torch.linalg.matrix_norm(W, 2)
        close(of(drawn.operator).to_dense(), factor.mH.to(W) @ W @ factor.to(W), size**2 * largest)
    close(A.gram(A.outer()).to_dense(), M.mH @ M @ M.mH @ M, size**4)


def text_round_trip(A: LinearOperator, size: Tensor) -> None:
    """To the precision of what `parse` makes, float32: tests/test_parse.py has texts come back to the bit."""
    if str(A) == repr(A) or len(str(A)) > MAX_LENGTH:
        return
    again = parse(str(A), A.in_shape, batch=A.batch_shape)
    assert str(again) == str(A)
    close(again.to(dtype=torch.float64).to_dense(), A.to_dense(), size, 1e-5)


def single_precision(example: Example, size: Tensor) -> None:
    """The operator in float32 against itself in float64, and its exact data step: ρ/‖A‖² from 1e-4 to 1e2.

    Parts that cancel have rounding of their own size: against what ‖A‖ could be.
    """
    single = example.expression.operator.to(dtype=torch.float32)
    A = single.to(dtype=torch.float64)
    M, kind = A.to_dense(), torch.complex64 if example.complex_data or A.is_complex() else torch.float32
    x, v, y = vectors(example, size.shape, kind, A.in_shape, A.in_shape, A.out_shape)
    x, v, y = x.to(kind), v.to(kind), (y * size.reshape(size.shape + (1,) * len(A.out_shape))).to(kind)
    M = M.to(torch.promote_types(M.dtype, x.to(torch.promote_types(kind, torch.float64)).dtype))
    for got, expected, gain in (
        (single(x), times(M, x, A.in_shape), length(x, A.in_shape)),
        (single.H(y), times(M.mH, y, A.out_shape), length(y, A.out_shape)),
    ):
        assert got.dtype == kind
        close(got.reshape(expected.shape), expected, example.expression.bound * gain, 1e-5, axes=1)
    normal = NormalSolver.of(single)
    if not normal.exact:
        return
    rho = torch.where(size > 0, size**2, 1.0) * min(max(example.damping, 1e-4), 1e2)
    N = M.mH @ M + rho[..., None, None] * torch.eye(A.in_size).to(M)
    expected = torch.linalg.solve(N, rho[..., None] * flat(v, A.in_shape) + times(M.mH, y, A.out_shape))
    got = normal.prox(rho.float(), v, y)
    assert got.dtype == kind
    cancelled = torch.where(size > 0, example.expression.bound / size, 1.0)
    # a kernel that is separable in float32 only is inverted as that separable kernel, another operator by rounding:
    # what of y is outside the range of A is divided by ρ
    same = NormalSolver.of(A).method == normal.method
    tolerance = 1e-5 if same else max(1e-5, 1e-6 / max(example.damping, 1e-4))
    close(flat(got, A.in_shape), expected, cancelled * torch.linalg.vector_norm(expected, dim=-1), tolerance, axes=1)


def weighted_solve(example: Example, M: Tensor) -> bool:
    """The same with a weight; whether by iteration."""
    try:
        normal = NormalSolver.of(example.expression.operator, example.weight.operator, RTOL)
    except SpecError as error:
        if "no known square root" not in str(error):
            raise
        return False
    solves(example, M, normal)
    return not normal.exact


def solves(example: Example, M: Tensor, normal: NormalSolver) -> None:
    """(AᴴWA + ρI)⁻¹ and the data step, one ρ a sample, to their backward error, and their gradients."""
    A, W = normal.operator, normal.weight
    weight = torch.eye(A.out_size).to(M) if W is None else example.weight.matrix
    whole = example.complex_data or A.is_complex() or (W is not None and W.is_complex())
    dtype = torch.complex128 if whole else torch.float64
    M, weight = M.to(dtype), (weight if whole else weight.real).to(dtype)
    G = M.mH @ weight @ M
    top = torch.linalg.matrix_norm(G, 2)
    # a weight that leaves nothing of A but rounding
    top = top.clamp(
        min=1e-6 * float(example.expression.bound.max()) ** 2 * float(torch.linalg.matrix_norm(weight, 2).max())
    )
    damping = example.damping if normal.exact else max(example.damping, 1.0)
    rho = (torch.where(top > 0, top, 1.0) * damping).requires_grad_()
    N = G + rho.detach()[..., None, None] * torch.eye(A.in_size).to(M)
    given = vectors(example, top.shape, dtype, A.in_shape, A.in_shape, A.in_shape, A.out_shape)
    b, c, v, y = (x.requires_grad_() for x in given)
    before = [x.detach().clone() for x in (b, c, v, y)]
    allowed = 1e-12 if normal.exact else 10 * RTOL

    def solved(z: Tensor, right: Tensor, allowed: float = allowed) -> None:
        assert (z.dtype, z.shape) == (dtype, b.shape)
        residual = torch.linalg.vector_norm(times(N, z, A.in_shape) - right, dim=-1)
        scale = (top + rho) * length(z, A.in_shape) + torch.linalg.vector_norm(right, dim=-1)
        within(residual, allowed, scale)

    z = normal(rho, b)
    solved(z, flat(b, A.in_shape))
    slope, steep = torch.autograd.grad((c.conj() * z).real.sum(), (b, rho))
    solved(slope, flat(c, A.in_shape))
    along = -(slope.conj() * z).real.flatten(z.ndim - len(A.in_shape)).sum(-1)
    close(steep[..., None], along[..., None], length(slope, A.in_shape) * length(z, A.in_shape), 100 * allowed, axes=1)

    AWy = times(M.mH @ weight, y, A.out_shape)
    if normal.exact:
        solved(normal(rho, AWy.reshape(b.shape).detach()), AWy)
    z = normal.prox(rho, v, y)
    # AAᴴ divides by ρ what of y is outside the range of A, and with it the rounding of what Aᴴ makes of that; so does
    # the oracle with the rounding of AᴴA
    solved(z, rho[..., None] * flat(v, A.in_shape) + AWy, max(allowed, 1e-15 / damping))
    if normal.exact:  # the gradient of one iterative solve, above, will do
        tolerance = max(100 * allowed, 1e-15 / damping)
        of_v, of_y = torch.autograd.grad((c.conj() * z).real.sum(), (v, y))
        expected = torch.linalg.solve(N, flat(c, A.in_shape))
        gain = length(c, A.in_shape)
        close(flat(of_v, A.in_shape), rho[..., None] * expected, gain, tolerance, axes=1)
        gain = gain * (torch.linalg.matrix_norm(weight, 2) / rho).sqrt()
        tolerance = max(tolerance, 1e-15 / damping**1.5)  # rounding by WA of that solution, against ‖W^½‖/ρ^½
        close(flat(of_y, A.out_shape), times(weight @ M, expected, (A.in_size,)), gain, tolerance, axes=1)
    assert all(torch.equal(x, copy) for x, copy in zip((b, c, v, y), before, strict=True))


def parameter_gradients(example: Example, size: Tensor) -> None:
    """Of ⟨c, (AᴴA + ρI)⁻¹ b⟩ in the tensors of A, against those through a dense solve."""

    def own(t: Tensor, _: int) -> Tensor:
        return t.clone().requires_grad_() if t.is_floating_point() or t.is_complex() else t

    A = example.expression.operator._map_tensors(own)
    parameters = [t for t, _ in A._tensors() if t.requires_grad]
    if not parameters:
        return
    rho = torch.where(size > 0, size**2, 1.0) * max(example.damping, 1.0)
    dtype = torch.complex128 if example.complex_data or A.is_complex() else torch.float64
    b, c = vectors(example, size.shape, dtype, A.in_shape, A.in_shape)
    normal = NormalSolver.of(A, rtol=RTOL / 100)  # the gradient is small where c and b are far from the range of AᴴA
    value = (c.conj() * normal(rho, b)).real.sum()
    got = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    dense = A.to_dense().to(dtype)
    N = dense.mH @ dense + rho[..., None, None] * torch.eye(A.in_size).to(dense)
    value = (flat(c, A.in_shape).conj() * torch.linalg.solve(N, flat(b, A.in_shape))).real.sum()
    expected = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    largest = max(float(g.abs().max()) for g in expected)
    for one, other in zip(got, expected, strict=True):
        assert float((one - other).abs().max()) <= (1e-8 if normal.exact else 100 * RTOL) * largest + 1e-12


def pseudoinverse(example: Example, M: Tensor, singular: Tensor, normal: NormalSolver) -> None:
    """The four Moore–Penrose conditions where no singular value is near the cut, projections and the adjoint of A⁺;
    what the spectrum says: determinant, singular values, condition number."""
    A = normal.operator
    largest = singular[..., :1]
    rho = torch.where(largest > 0, largest**2, 1.0)[..., 0] * max(example.damping, 0.01)
    expected = torch.log(singular**2 + rho[..., None]).sum(-1) + (A.in_size - singular.shape[-1]) * torch.log(rho)
    rounding = 1e-13 * A.in_size / max(example.damping, 0.01)  # of the eigenvalues, against ρ
    close(normal.logdet(rho)[..., None], expected[..., None], 1.0 + expected.abs(), 1e-12 + rounding, axes=1)
    try:
        close(normal.singular_values(), singular, largest[..., 0], 1e-7, axes=1)
    except SpecError:
        assert "margin" in normal.method
    if bool(((singular > 1e-9 * largest) & (singular < 1e-4 * largest)).any()) or not bool((largest > 0).all()):
        return
    least = torch.where(singular > 1e-6 * largest, singular, torch.inf).amin(-1)
    close(normal.condition_number()[..., None], (largest[..., 0] / least)[..., None], largest[..., 0] / least, 1e-6, 1)
    basis = torch.eye(A.out_size).to(M).reshape(A.out_size, *(1,) * largest[..., 0].ndim, *A.out_shape)
    columns = normal.pinv(basis.expand(A.out_size, *largest.shape[:-1], *A.out_shape))
    X = flat(columns, A.in_shape).movedim(0, -1)
    gain, one = torch.linalg.matrix_norm(X, 2), torch.ones(largest.shape[:-1]).to(largest)
    close(M @ X @ M, M, largest[..., 0], 1e-8)
    close(X @ M @ X, X, gain, 1e-8)
    close(M @ X, (M @ X).mH, one, 1e-8)
    close(X @ M, (X @ M).mH, one, 1e-8)
    x, y, c = vectors(example, largest.shape[:-1], M.dtype, A.in_shape, A.out_shape, A.in_shape)
    close(flat(normal.range_projection(x), A.in_shape), times(X @ M, x, A.in_shape), length(x, A.in_shape), 1e-8, 1)
    close(normal.null_projection(x), x - normal.range_projection(x), length(x, A.in_shape), 1e-8, len(A.in_shape))
    y.requires_grad_()
    (slope,) = torch.autograd.grad((c.conj() * normal.pinv(y)).real.sum(), y)
    close(flat(slope, A.out_shape), times(X.mH, c, A.in_shape), gain * length(c, A.in_shape), 1e-8, 1)


def test_the_leaves_are_many_and_take_common_shapes() -> None:
    made = [make(normal_numbers(0), (3, 3, 4, 4)) for make in LEAVES]
    assert sum(A is not None for A in made) >= 40
    assert len({type(A) for A in made if A is not None}) >= 15
    assert all(from_text(text, 0, (3, 3, 4, 4)) is not None for text in TEXTS)
