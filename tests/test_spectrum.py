"""What an exact inverse knows, and how exact it is."""

from __future__ import annotations

import math

import pytest
import torch
from zoo import Animal, animal, dense, norm, normal_numbers, pseudoinverse, singular_values, solver
from zoo.paths import PATHS, asked_of

from linops_video import BoxMean, Convolution, Diagonal, LinearOperator, NormalSolver
from linops_video.algebra.parameters import per_sample
from linops_video.errors import SpecError

every_exact = asked_of(PATHS, exact=True)


def vectors(A: LinearOperator, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    r = normal_numbers(seed)
    parts = [r(*A.batch_shape, *shape) for shape in (A.in_shape, A.out_shape)]
    if A.is_complex():
        parts = [torch.complex(part, r(*part.shape)) for part in parts]
    return parts[0], parts[1]


def length(x: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.linalg.vector_norm(x.flatten(x.ndim - len(shape)), dim=-1).double()


@every_exact
def test_eigenvalues_determinant_and_condition(entry: Animal) -> None:
    normal, expected = solver(entry), singular_values(entry)
    A, largest = normal.operator, expected[..., :1]
    torch.testing.assert_close(norm(entry), expected[..., 0], rtol=1e-6, atol=0)
    kept = torch.where(expected > 1e-6 * largest, expected, torch.inf).amin(-1)
    torch.testing.assert_close(normal.condition_number(), expected[..., 0] / kept, rtol=1e-3, atol=0)
    for rho in (0.3, torch.full(A.batch_shape, 0.02, dtype=torch.float64)):
        surplus = A.in_size - expected.shape[-1]
        shifted = torch.log(expected**2 + (rho[..., None] if isinstance(rho, torch.Tensor) else rho)).sum(-1)
        target = shifted + surplus * torch.log(torch.as_tensor(rho, dtype=torch.float64))
        torch.testing.assert_close(normal.logdet(rho), target, rtol=1e-9, atol=1e-9)
    try:
        found = normal.singular_values()
    except SpecError:
        assert "margin" in entry.method
        return
    assert found.shape == expected.shape
    assert float(((found - expected).abs() / largest).max()) <= 1e-7
    assert normal.eigenvalues().shape == (*A.batch_shape, A.in_size)


@pytest.mark.parametrize(
    "A", [Diagonal(torch.zeros(3), (3,)), 0.0 * BoxMean(2, (4, 4)), Convolution(torch.zeros(3, 3), (1, 8, 9), "full")]
)
def test_the_condition_of_zero_is_infinite(A: LinearOperator) -> None:
    assert torch.all(NormalSolver.of(A).condition_number() == torch.inf)


@every_exact
def test_projections(entry: Animal) -> None:
    normal = solver(entry)
    A, P = normal.operator, pseudoinverse(entry) @ dense(entry)
    x = vectors(A, 3)[0]
    seen = (P @ x.flatten(x.ndim - len(A.in_shape))[..., None])[..., 0].reshape(x.shape)
    scale = float(length(x, A.in_shape).max())
    assert float((normal.range_projection(x) - seen).abs().max()) <= 1e-9 * scale
    assert float((normal.null_projection(x) - (x - seen)).abs().max()) <= 1e-9 * scale


@every_exact
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_backward_error_of_exact_solves(entry: Animal, dtype: torch.dtype, bar: float) -> None:
    """With a number for ρ, and with one a sample."""
    normal = solver(entry) if dtype == torch.float64 else NormalSolver.of(animal(entry).to(dtype=dtype))
    A, exact = normal.operator, normal.operator.to(dtype=torch.float64)
    size = norm(entry) ** 2 if dtype == torch.float64 else exact.norm() ** 2
    x, y = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in vectors(exact, 4))
    x, y = (t.to(torch.promote_types(t.dtype, dtype)) for t in (x, y))
    b = torch.stack((x, A.H(y)))  # any, and one in the range of Aᴴ
    least = 1e-6 * float(size.max()) or 1.0
    each = torch.tensor([1e3, 1e6, 1e9], dtype=torch.float64) * least
    for rho, right in ((least, b), (each.reshape(-1, 1, *(1,) * size.ndim), b.expand(3, *b.shape))):
        z = normal(rho, right)
        assert z.dtype == b.dtype
        wide, target = (t.to(torch.promote_types(t.dtype, torch.float64)) for t in (z, right))
        error = length(exact.H(exact(wide)) + per_sample(rho, len(A.in_shape)) * wide - target, A.in_shape)
        scale = (size + rho) * length(z, A.in_shape) + length(right, A.in_shape)
        assert float((error / scale).max()) <= bar, rho


@every_exact
def test_data_step_in_single_precision(entry: Animal) -> None:
    A = animal(entry).to(dtype=torch.float32)
    exact = A.to(dtype=torch.float64)
    v, y = vectors(exact, 5)
    v, y = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in (v, y))
    single, double = NormalSolver.of(A), NormalSolver.of(exact)
    wide = [t.to(torch.promote_types(t.dtype, torch.float64)) for t in (v, y)]
    size = float(exact.norm().max()) ** 2 or 1.0
    each = torch.tensor([1e-4, 1.0, 1e2]).reshape(-1, *(1,) * len(A.batch_shape)) * size
    for rho, count in ((1e-2 * size, ()), (each, (3,))):
        expected = double.prox(rho, *(t.expand(*count, *t.shape) for t in wide))
        found = single.prox(rho, *(t.expand(*count, *t.shape) for t in (v, y)))
        error = length(found - expected, A.in_shape) / length(expected, A.in_shape)
        assert float(error.max()) <= 1e-5, rho


def test_single_values_of_known_operators() -> None:
    from linops_video import BoxMean, Identity, Select

    assert torch.equal(NormalSolver.of(Select((0,), 0, (3,))).eigenvalues(), torch.tensor([1.0, 0, 0]).double())
    assert float(NormalSolver.of(2.0 * Identity((3,))).logdet(1.0)) == pytest.approx(3 * math.log(5))
    assert NormalSolver.of(BoxMean(2, (4, 4))).singular_values().tolist() == pytest.approx([0.5] * 4)
