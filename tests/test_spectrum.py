"""What an exact inverse knows, and how exact it is, for every operator of the zoo."""

from __future__ import annotations

import math

import pytest
import torch
from zoo import ZOO, Animal, animal, dense, normal_numbers

from linops_video import BoxMean, Convolution, Diagonal, LinearOperator, NormalSolver
from linops_video.errors import SpecError

every_exact = pytest.mark.parametrize("entry", [e for e in ZOO if "cg" not in e.method], ids=lambda entry: entry.name)


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
    A = animal(entry)
    normal, M = NormalSolver.of(A), dense(entry)
    expected = torch.linalg.svdvals(M)
    largest = expected[..., :1]
    torch.testing.assert_close(A.norm(), expected[..., 0], rtol=1e-6, atol=0)
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
    A = animal(entry)
    normal, M = NormalSolver.of(A), dense(entry)
    x = vectors(A, 3)[0]
    P = torch.linalg.pinv(M, rtol=1e-6) @ M
    seen = (P @ x.flatten(x.ndim - len(A.in_shape))[..., None])[..., 0].reshape(x.shape)
    scale = float(length(x, A.in_shape).max())
    assert float((normal.range_projection(x) - seen).abs().max()) <= 1e-9 * scale
    assert float((normal.null_projection(x) - (x - seen)).abs().max()) <= 1e-9 * scale


@every_exact
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=str)
def test_backward_error_of_exact_solves(entry: Animal, dtype: torch.dtype, bar: float) -> None:
    A = animal(entry).to(dtype=dtype)
    exact = A.to(dtype=torch.float64)
    normal, norm, back = NormalSolver.of(A), exact.norm(), exact.H
    x, y = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in vectors(exact, 4))
    x, y = (t.to(torch.promote_types(t.dtype, dtype)) for t in (x, y))
    b_in_range = A.H(y)
    for share in (1e-6, 1e-3, 1.0, 1e3):
        rho = share * float(norm.max()) ** 2 or 1.0
        for b in (x, b_in_range):
            z = normal(rho, b)
            assert z.dtype == b.dtype
            wide, target = (t.to(torch.promote_types(t.dtype, torch.float64)) for t in (z, b))
            error = length(back(exact(wide)) + rho * wide - target, A.in_shape)
            scale = (norm**2 + rho) * length(z, A.in_shape) + length(b, A.in_shape)
            assert float((error / scale).max()) <= bar, (share, b is x)


@every_exact
def test_data_step_in_single_precision(entry: Animal) -> None:
    A = animal(entry).to(dtype=torch.float32)
    exact = A.to(dtype=torch.float64)
    v, y = vectors(exact, 5)
    v, y = (t.to(torch.complex64 if t.is_complex() else torch.float32) for t in (v, y))
    single, double, norm = NormalSolver.of(A), NormalSolver.of(exact), float(exact.norm().max())
    wide = [t.to(torch.promote_types(t.dtype, torch.float64)) for t in (v, y)]
    for share in (1e-4, 1e-2, 1.0, 1e2):
        rho = share * norm**2 or 1.0
        expected = double.prox(rho, *wide)
        error = length(single.prox(rho, v, y) - expected, A.in_shape) / length(expected, A.in_shape)
        assert float(error.max()) <= 1e-5, share


def test_single_values_of_known_operators() -> None:
    from linops_video import BoxMean, Identity, Select

    assert torch.equal(NormalSolver.of(Select((0,), 0, (3,))).eigenvalues(), torch.tensor([1.0, 0, 0]).double())
    assert float(NormalSolver.of(2.0 * Identity((3,))).logdet(1.0)) == pytest.approx(3 * math.log(5))
    assert NormalSolver.of(BoxMean(2, (4, 4))).singular_values().tolist() == pytest.approx([0.5] * 4)
