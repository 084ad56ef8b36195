"""The laws of a linear operator and of its inverse, for the operators of the zoo, against a dense float64 oracle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from zoo import (
    Animal,
    animal,
    dense,
    norm,
    normal_numbers,
    pseudoinverse,
    singular_values,
    solver,
)
from zoo.paths import PATHS, asked_of

from linops_video import Diagonal, Identity, LinearOperator
from linops_video.errors import DtypeError, ShapeError
from linops_video.testing import check_operator

every_animal, every_path = asked_of(), asked_of(PATHS)
TOLERANCE = 1e-10


def flat(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return x.flatten(x.ndim - len(shape))


def close(got: torch.Tensor, expected: torch.Tensor, tolerance: float = TOLERANCE, name: str = "") -> None:
    scale = expected.abs().max().clamp(min=1e-3)
    assert got.shape == expected.shape, name
    assert float((got - expected).abs().max() / scale) <= tolerance, name


def vectors(A: LinearOperator, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y, complex if A is."""
    r = normal_numbers(seed)
    x, y = r(*A.batch_shape, *A.in_shape), r(*A.batch_shape, *A.out_shape)
    return complexify(x, r) if A.is_complex() else x, complexify(y, r) if A.is_complex() else y


def complexify(x: torch.Tensor, r: Callable[..., torch.Tensor]) -> torch.Tensor:
    return torch.complex(x, r(*x.shape))


@every_animal
def test_conforms(entry: Animal) -> None:
    """With data as real or complex as its matrix."""
    conforms(animal(entry), torch.float64)


@every_path
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64], ids=str)
def test_conforms_with_other_data(entry: Animal, dtype: torch.dtype) -> None:
    """In single precision, and complex data for an operator that makes real ones of real ones."""
    conforms(animal(entry).to(dtype=torch.float32), dtype)


def conforms(A: LinearOperator, dtype: torch.dtype) -> None:
    report = check_operator(A, dtype=dtype)
    for law in ("dot test, y random", "dot test, y = A x"):
        assert report.errors[law] <= (1e-14 if torch.finfo(dtype).bits == 64 else 1e-6), law


@every_path
def test_adjoint_gram_and_outer_are_those_of_the_matrix(entry: Animal) -> None:
    A, M = animal(entry), dense(entry)
    close(A.H.to_dense(), M.mH)
    close(A.gram().to_dense(), M.mH @ M)
    close(A.outer().to_dense(), M @ M.mH)
    assert A.H.H.in_shape == A.in_shape
    close(A.H.H.to_dense(), M)


@every_path
def test_weighted_gram_and_outer(entry: Animal) -> None:
    """With a diagonal for W, and with AAᴴ and AᴴA, whose matrices are MMᴴ and MᴴM by the law above."""
    A, M, r = animal(entry), dense(entry), normal_numbers(2)
    d = r(*A.out_shape).abs()
    close(A.gram(Diagonal(d, A.out_shape)).to_dense(), M.mH @ (d.reshape(-1, 1) * M))
    close(A.gram(A.outer()).to_dense(), (M.mH @ M) @ (M.mH @ M))
    d = r(*A.in_shape).abs()
    close(A.outer(Diagonal(d, A.in_shape)).to_dense(), (M * d.flatten()) @ M.mH)
    close(A.outer(A.gram()).to_dense(), (M @ M.mH) @ (M @ M.mH))
    for square in (A.gram, A.outer):
        with pytest.raises(ShapeError, match=r"needs a weight from .*, got Identity\(\(7×2\)"):
            square(Identity((7, 2)))
        with pytest.raises(DtypeError, match=r"a weight must be an operator, such as .*, got Tensor"):
            square(torch.ones(A.out_shape))  # type: ignore[arg-type]


@every_animal
def test_the_inverse_that_is_found(entry: Animal) -> None:
    assert solver(entry).method == entry.method


@asked_of(PATHS, exact=True)
def test_exact_normal_solve(entry: Animal) -> None:
    normal, M = solver(entry), dense(entry)
    A, gram = normal.operator, M.mH @ M
    x, y = vectors(A)
    back = A.H(y)
    b = torch.stack((x, back))
    for rho in (1e-3, 0.3, 30.0):
        G = gram + rho * torch.eye(M.shape[-1], dtype=M.dtype, device=M.device)
        solved = flat(normal(rho, b), A.in_shape)
        residual = torch.linalg.vector_norm((G @ solved[..., None])[..., 0] - flat(b, A.in_shape), dim=-1)
        scale = (norm(entry) ** 2 + rho) * torch.linalg.vector_norm(solved, dim=-1)
        scale = scale + torch.linalg.vector_norm(flat(b, A.in_shape), dim=-1)
        assert float((residual / scale).max()) <= 1e-12, rho
        right, found = back + rho * x, normal.prox(rho, x, y)
        expected = torch.linalg.solve(G, flat(right, A.in_shape)[..., None])[..., 0]
        close(flat(found, A.in_shape), expected, name=f"prox, rho = {rho}")
        close(found, normal(rho, right), name=f"prox and solve, rho = {rho}")


@asked_of(PATHS, exact=True)
def test_gradient_in_a_small_rho(entry: Animal) -> None:
    """d⟨c, z⟩/dρ = −⟨(AᴴA + ρI)⁻¹c, z⟩ for z = (AᴴA + ρI)⁻¹b."""
    normal = solver(entry)
    A = normal.operator
    rho = (1e-6 * norm(entry) ** 2).requires_grad_()
    (b, _), (c, _) = vectors(A), vectors(A, 2)
    z, s = (flat(normal(rho, x), A.in_shape) for x in (b, c))
    (steep,) = torch.autograd.grad((flat(c, A.in_shape).conj() * z).real.sum(), rho)
    size = torch.linalg.vector_norm(z, dim=-1) * torch.linalg.vector_norm(s, dim=-1)
    assert bool(((steep + (s.conj() * z).real.sum(-1)).abs() <= TOLERANCE * size).all())


@every_path
def test_pinv(entry: Animal) -> None:
    normal = solver(entry)
    A = normal.operator
    _, y = vectors(A)
    expected = pseudoinverse(entry) @ flat(y, A.out_shape)[..., None]
    close(flat(normal.pinv(y), A.in_shape), expected[..., 0], 1e-8 if "cg" not in normal.method else 1e-3)


@every_path
def test_norm(entry: Animal) -> None:
    assert norm(entry).dtype == torch.float64
    close(norm(entry), singular_values(entry)[..., 0], 1e-5)


@every_path
def test_batches_and_precision_are_kept(entry: Animal) -> None:
    A = animal(entry).to(dtype=torch.float32)
    x = torch.randn(3, *A.batch_shape, *A.in_shape, generator=torch.Generator().manual_seed(0)).to(A.device)
    before = x.clone()
    y = A(x)
    assert torch.equal(x, before)
    assert y.dtype == (torch.complex64 if A.is_complex() else torch.float32)
    assert y.shape == (3, *A.batch_shape, *A.out_shape)
    for i in range(3):
        close(y[i], A(x[i]), 1e-5)


@every_path
def test_half_precision(entry: Animal) -> None:
    """Apply and adjoint, parameters in half precision or not, near the result in float32 with the same numbers."""
    single = animal(entry).to(dtype=torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        half, r = single.to(dtype=dtype), normal_numbers(1)
        for A, rounded in ((single, single), (half, half.to(dtype=torch.float32))):
            gain = float(A.norm().max())
            for B, exact in ((A, rounded), (A.H, rounded.H)):
                x = r(*A.batch_shape, *B.in_shape).to(dtype)
                y, expected = B(x), exact(x.float())
                assert y.dtype == (torch.complex64 if A.is_complex() else dtype)
                size = gain * float(x.float().norm()) / x.numel() ** 0.5
                gap = float((y.to(expected.dtype) - expected).abs().max())
                assert gap <= 4 * torch.finfo(dtype).eps * size, (dtype, A is single, B is A)


@every_path
def test_solve_is_differentiable(entry: Animal) -> None:
    normal = solver(entry)
    A = normal.operator
    x, y = vectors(A)
    rho = torch.full(A.batch_shape, 0.7, dtype=torch.float64, device=A.device, requires_grad=True)
    v, y = x.requires_grad_(), y.requires_grad_()
    tolerance = 1e-4 if "cg" in normal.method else 1e-6

    def value(rho: torch.Tensor, v: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (normal.prox(rho, v, y).abs() ** 2).sum()

    direction = [
        torch.randn(t.shape, generator=torch.Generator().manual_seed(3), dtype=t.dtype).to(A.device)
        for t in (rho, v, y)
    ]
    value(rho, v, y).backward()
    gradients = zip((rho, v, y), direction, strict=True)
    slope = sum(float((t.grad.conj() * d).real.sum()) for t, d in gradients if t.grad is not None)
    h = 1e-4
    with torch.no_grad():
        moved = [[t + s * h * d for t, d in zip((rho, v, y), direction, strict=True)] for s in (1, -1)]
        difference = float(value(*moved[0]) - value(*moved[1])) / (2 * h)
    assert slope == pytest.approx(difference, rel=max(tolerance, 1e-6), abs=1e-6)
