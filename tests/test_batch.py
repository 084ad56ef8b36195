"""Different operators for the samples of a batch: everything as if each sample were alone."""

from __future__ import annotations

import pytest
import torch
from zoo import normal_numbers

from linops_video import (
    PROBLEMS,
    AxisMatrix,
    Batch,
    BlockDiagonal,
    BoxMean,
    Convolution,
    Dense,
    Diagonal,
    Flip,
    Identity,
    InverseProblem,
    LinearOperator,
    NormalSolver,
    Select,
    Stack,
    batch,
    collate,
    forward_model,
    kron,
)
from linops_video.batch import BatchNormal, Ragged
from linops_video.errors import MeasurementError, ShapeError
from linops_video.solvers import AdmmTV, AdmmWavelet, OneNet, Pinv, run, solve
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.unrolled import Unrolled

SHAPE = (4, 3, 6, 5)


def operators(dtype: torch.dtype = torch.float64) -> list[LinearOperator]:
    """Exact from the Gram, from the outer product, by FFT, by a small eigh, and iterative."""
    r = normal_numbers(0)
    mask = Diagonal((r(*SHAPE) > 0).double(), SHAPE)
    blur = Convolution(r(3, 3), SHAPE, "circular")
    kinds = [mask, BoxMean(2, SHAPE), blur, AxisMatrix(r(6, 4), 0, SHAPE), Select((0, 2), 0, SHAPE), mask @ blur]
    return [A.to(dtype=dtype) for A in kinds]


def vectors(A: Batch, *more: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, Ragged]:
    r = normal_numbers(1)
    y = Ragged(r(*more, *shape).to(dtype) for shape in A.out_shape)
    return r(*more, *A.batch_shape, *A.in_shape).to(dtype), y


def normal_of(A: Batch) -> BatchNormal:
    normal = NormalSolver.of(A)
    assert isinstance(normal, BatchNormal)
    return normal


def each(A: Batch, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return x.unbind(-len(A.in_shape) - 1)


def same(got: torch.Tensor, parts: list[torch.Tensor], tolerance: float = 0.0) -> None:
    torch.testing.assert_close(got, torch.stack(parts, -len(SHAPE) - 1), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("more", [(), (2, 3)])
def test_forward_and_adjoint_are_those_of_the_samples(more):
    A = batch(operators())
    x, y = vectors(A, *more)
    measured = A(x)
    assert isinstance(measured, tuple)
    for B, part, got in zip(A.operators, each(A, x), measured, strict=True):
        torch.testing.assert_close(got, B(part), rtol=0, atol=0)
    same(A.H(y), [B.H(part) for B, part in zip(A.operators, y, strict=True)])
    assert isinstance(A.T, type(A.H))
    assert A.H.H is A
    same(A.H(tuple(y)), [B.H(part) for B, part in zip(A.operators, y, strict=True)])


def test_dot_test():
    A = batch(operators())
    x, y = vectors(A)
    left = sum(float((a * b).sum()) for a, b in zip(A(x), y, strict=True))
    assert left == pytest.approx(float((x * A.H(y)).sum()), rel=1e-12)


def test_one_video_for_all_samples():
    A = batch(operators())
    x = normal_numbers(2)(*SHAPE)
    for B, got in zip(A.operators, A(x), strict=True):
        torch.testing.assert_close(got, B(x), rtol=0, atol=0)


@pytest.mark.parametrize("more", [(), (2,)])
@pytest.mark.parametrize("rho", [0.3, torch.linspace(0.1, 2, 6, dtype=torch.float64)], ids=["one", "per sample"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normal_solves_are_those_of_the_samples(more, rho, dtype):
    A = batch(operators(dtype))
    x, y = vectors(A, *more, dtype=dtype)
    normal = normal_of(A)
    rhos = [float(rho) if isinstance(rho, float) else rho[i].to(dtype) for i in range(len(A.operators))]
    rho = rho if isinstance(rho, float) else rho.to(dtype)
    solvers = [NormalSolver.of(B) for B in A.operators]
    assert normal.method == "; ".join(dict.fromkeys(s.method for s in solvers))
    same(normal(rho, x), [s(r, b) for s, r, b in zip(solvers, rhos, each(A, x), strict=True)])
    pairs = list(zip(solvers, rhos, each(A, x), y, strict=True))
    same(normal.prox(rho, x, y), [s.prox(r, v, part) for s, r, v, part in pairs])
    same(normal.pinv(y), [s.pinv(part) for s, _, _, part in pairs])
    result = normal.solve(rho, x)
    assert result.iterations.shape == result.residual.shape == (*more, 6)
    assert (result.iterations[..., :5] == 0).all()
    assert (result.iterations[..., 5] > 0).all()


def test_set_up_is_shared_by_equal_objects():
    dense, mask = Dense(normal_numbers(0)(7, 360), SHAPE, (7,)), operators()[0]
    normal = normal_of(batch([dense, mask, dense]))
    assert normal.solvers[0] is normal.solvers[2]


def test_prox_is_differentiable_in_rho_video_and_measurements():
    A = batch(operators()[:5])
    normal, (v, y) = normal_of(A), vectors(A)
    rho = torch.linspace(0.5, 1.5, 5, dtype=torch.float64)
    inputs = [t.requires_grad_() for t in (rho, v, *y)]
    assert torch.autograd.gradcheck(lambda rho, v, *y: normal.prox(rho, v, y), inputs, fast_mode=True)


def test_a_composition_with_one_operator_and_multiples_stay_batches():
    A, blur = batch(operators()[:2]), operators()[2]
    both = A @ blur
    assert isinstance(both, Batch)
    x = normal_numbers(3)(2, *SHAPE)
    for B, part, got in zip(A.operators, x, both(x), strict=True):
        torch.testing.assert_close(got, B(blur(part)))
    factors = torch.tensor([2.0, -3.0], dtype=torch.float64)
    for c, a, b in zip(factors, A(x), (factors * A)(x), strict=True):
        torch.testing.assert_close(b, c * a)
    same((A.H @ A)(x), [B.H(B(part)) for B, part in zip(A.operators, x, strict=True)])
    torch.testing.assert_close(A.norm(), torch.stack([B.norm() for B in A.operators]))


def test_a_composition_with_operators_of_the_samples_is_that_of_each_sample():
    r = normal_numbers(4)
    A, M = batch(operators()[1:3]), Diagonal(r(2, *SHAPE), SHAPE)
    both = A @ M
    assert isinstance(both, Batch)
    each_one = [B @ Diagonal(d, SHAPE) for B, d in zip(A.operators, M.diagonal, strict=True)]
    x = r(2, *SHAPE)
    for B, part, got in zip(each_one, x, both(x), strict=True):
        torch.testing.assert_close(got, B(part))
    torch.testing.assert_close(both.norm(), torch.stack([B.norm() for B in each_one]))
    assert normal_of(both).method == "; ".join(NormalSolver.of(B).method for B in each_one)
    torch.testing.assert_close((M @ A.H)(both(x)), both.H(both(x)))  # type: ignore[arg-type]
    assert isinstance(A @ Diagonal(r(1, *SHAPE), SHAPE), Batch)
    below = (A @ (A.gram() + M))(x)  # a batch inside the other operator
    for B, part, d, got in zip(A.operators, x, M.diagonal, below, strict=True):
        torch.testing.assert_close(got, B(B.gram()(part) + d * part))


def test_the_gram_of_a_batch_is_an_operator_on_tensors():
    A, r = batch(operators()[1:3]), normal_numbers(5)
    dense = torch.stack([B.gram().to_dense() for B in A.operators])
    torch.testing.assert_close(A.gram().to_dense(), dense)
    torch.testing.assert_close(A.gram().norm(), torch.linalg.matrix_norm(dense, 2), rtol=1e-6, atol=0)
    b = r(2, *SHAPE)
    got = NormalSolver.of(Stack((A.gram(), Identity(SHAPE))), rtol=1e-12)(0.3, b)
    system = dense @ dense + 1.3 * torch.eye(dense.shape[-1], dtype=torch.float64)
    expected = torch.linalg.solve(system, b.flatten(1).unsqueeze(-1)).reshape(b.shape)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)


def test_kronecker_products_and_matrices_keep_the_samples_of_a_batch():
    """The sample is not one of the axes of the other factors, before or behind, nor a row of the matrix."""
    r = normal_numbers(6)
    A = batch([Dense(r(m, 4), (4,), (m,)) for m in (2, 3, 3)])
    G, other, rows = A.gram(), Dense(r(3, 2), (2,), (3,)), r(5, 4)
    dense, side = G.to_dense().contiguous(), other.to_dense().contiguous()
    for made, expected in (
        (kron(Identity((3,)), G), torch.stack([torch.kron(torch.eye(3).double(), part) for part in dense])),
        (kron(G, other), torch.stack([torch.kron(part, side) for part in dense])),
        (kron(other, G).gram(), torch.stack([torch.kron(side.mT @ side, part.mT @ part) for part in dense])),
        (Dense(rows, (4,), (5,)).outer(G), rows @ dense @ rows.mT),
    ):
        torch.testing.assert_close(made.to_dense(), expected, rtol=0, atol=1e-10)


def test_measurements_are_a_vector():
    y = Ragged((torch.ones(2), torch.ones(1, 2)))
    for got, want in (
        (torch.tensor([1.0, 10.0]) * y, (1, 10)),
        (y / torch.tensor([1.0, 2.0]), (1, 0.5)),
        (y / 4, (0.25, 0.25)),
        (sum([y, y]), (2, 2)),
        (tuple(y) + y, (2, 2)),
    ):
        assert isinstance(got, Ragged)
        for part, one, c in zip(got, y, want, strict=True):
            assert torch.equal(part, c * one)
    more = Ragged((torch.ones(3, 2), torch.ones(3, 1, 2)))
    factors = torch.arange(6.0).reshape(3, 2)
    for i, part in enumerate(factors * more):
        assert torch.equal(part, factors[:, i].reshape(3, *(1,) * (part.ndim - 1)).expand(part.shape))
    with pytest.raises(ShapeError, match=r"one number, or one a sample, got \(3\)"):
        _ = torch.ones(3) * y


def test_precision_follows():
    A = batch(operators()).to(dtype=torch.float32)
    assert A.dtype == torch.float32
    assert A(torch.rand(6, *SHAPE)).dtype == torch.float32


# --- problems and solvers --------------------------------------------------------------------------------------------


def mixed(names=tuple(PROBLEMS), shape=(4, 3, 12, 12)) -> tuple[InverseProblem, list[InverseProblem]]:
    r = torch.Generator().manual_seed(0)
    problems = [
        forward_model(name, shape, seed=i).measure(torch.rand(shape, generator=r), i) for i, name in enumerate(names)
    ]
    return collate(problems), problems


SOLVERS = [
    Pinv(),
    AdmmWavelet(max_steps=8, tol=0.02, wavelet="db4", levels=2),
    AdmmTV(max_steps=8, tol=0.02),
    OneNet(),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=lambda solver: type(solver).__name__)
@pytest.mark.usefixtures("short_starts")
def test_solvers_take_all_named_problems_in_one_batch(solver):
    problem, problems = mixed()
    assert problem.batch_shape == (len(PROBLEMS),)
    together, alone = run(solver, problem), [run(solver, p) for p in problems]
    for name, got, solution in zip(PROBLEMS, together.x, alone, strict=True):
        torch.testing.assert_close(got, solution.x, rtol=0, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    assert together.steps == max(solution.steps for solution in alone)


def test_solve_by_name_and_plain_tuples():
    A = batch([A.to(dtype=torch.float32) for A in operators()[:3]])
    y = tuple(torch.rand(shape) for shape in A.out_shape)
    x = solve(InverseProblem(operator=A, y=y, noise_std=torch.tensor([0.1, 0.0, 0.02])), "admm-tv").x
    assert x.shape == (3, *SHAPE)


@pytest.mark.parametrize("form", ["onenet", "videoonet"])
@pytest.mark.usefixtures("short_starts")
def test_the_networks_train_on_mixed_problems(form):
    problem, problems = mixed(("sr2", "pid", "vcs", "fi2", "dd"))
    network = Unrolled(Config(form=form, steps=2, features=8, coarse=1, fine=1))
    together = network(problem)
    for got, sample in zip(together, problems, strict=True):
        torch.testing.assert_close(got, network(sample), rtol=0, atol=1e-5)
    together.square().mean().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())
    assert any(p.grad is not None and p.grad.any() for p in network.parameters())


def test_samples_and_collate_undo_each_other():
    problem, problems = mixed(("sr2", "pid"))
    for got, expected in zip(problem.samples(), problems, strict=True):
        torch.testing.assert_close(got.y, expected.y)
        assert float(got.noise_std) == pytest.approx(expected.noise_std)
        assert got.operator is expected.operator
        assert got.name == expected.name
    assert problem.to(dtype=torch.float64).samples()[1].name == "pid"
    assert problems[0].samples() == (problems[0],)
    double = problem.to(dtype=torch.float64)
    assert {part.dtype for part in double.y} == {torch.float64}


def test_bad_input_is_told():
    good = operators()[:2]
    with pytest.raises(ShapeError, match="at least one"):
        batch([])
    with pytest.raises(ShapeError, match="one input shape"):
        batch([good[0], BoxMean(2, (4, 3, 8, 8))])
    with pytest.raises(ShapeError, match="batch of shape"):
        batch([good[0], Diagonal(torch.ones(2, *SHAPE), SHAPE)])
    A = batch(good)
    for made in (
        lambda: Stack((A,)),
        lambda: Stack((A.H,)),
        lambda: BlockDiagonal((A, good[0])),
        lambda: BlockDiagonal((A.H,)),
        lambda: kron(A, Identity((2,))),
        lambda: kron(Identity((2,)), A.H),
    ):
        with pytest.raises(ShapeError, match="measurements of several shapes, and no one matrix"):
            made()
    _, y = vectors(A)
    for wrong in ((y[0],), y[0]):
        with pytest.raises(ShapeError, match="tuple of 2 measurements"):
            A.H(wrong)  # type: ignore[arg-type]
        with pytest.raises(ShapeError, match="tuple of 2 measurements"):
            InverseProblem(A, wrong)
    with pytest.raises(ShapeError, match="needs an input"):
        A.H((y[1], y[0]))
    with pytest.raises(ShapeError, match="batch of shape"):
        A(torch.ones(3, *SHAPE))
    with pytest.raises(ShapeError, match="gives measurements"):
        run(Pinv(), InverseProblem(A, (y[1], y[0])))
    with pytest.raises(MeasurementError, match="NaN"):
        run(Pinv(), InverseProblem(A, (y[0], y[1] * torch.nan)))


def test_the_outer_product_of_a_batch_is_that_of_each_sample():
    A, r = batch(operators()[:3]), normal_numbers(7)
    _, y = vectors(A, 2)
    H = A.outer()
    norms = torch.stack([B.norm() ** 2 for B in A.operators])
    torch.testing.assert_close(H.norm(), norms, rtol=1e-6, atol=0)
    torch.testing.assert_close((2.0 * H + H).norm(), 3 * norms, rtol=1e-6, atol=0)
    twice = A(A.H(y))  # type: ignore[arg-type]
    weighted = A.outer(Diagonal(r(*SHAPE).abs(), SHAPE))
    for got, expected in (
        (H(y), twice),  # type: ignore[arg-type]
        (H.H(y), twice),  # type: ignore[arg-type]
        ((H @ A)(A.H(y)), H(twice)),  # type: ignore[arg-type]
        ((A.H @ H)(y), A.H(twice)),  # type: ignore[arg-type]
        ((H @ H)(y), H(twice)),  # type: ignore[arg-type]
        (weighted.H(y), weighted(y)),  # type: ignore[arg-type]
    ):
        for one, other in zip(got, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-10)
    for made in (lambda: kron(H, Identity((2,))), lambda: Stack((H,)), lambda: H.to_dense()):
        with pytest.raises(ShapeError, match="measurements of several shapes, and no one matrix"):
            made()
    with pytest.raises(ShapeError, match="no normal solve"):
        NormalSolver.of(H)
    with pytest.raises(ShapeError, match="tuple of 3 measurements"):
        H(y[:1])  # type: ignore[arg-type]


def test_adjoints_of_a_batch_are_added_multiplied_and_composed():
    A = batch([BoxMean(2, (4, 1, 8, 8)), Diagonal(torch.rand(4, 1, 8, 8), (4, 1, 8, 8))])
    flip, y = Flip((2,), A.in_shape), A(torch.rand(2, 4, 1, 8, 8))
    back = A.H(y)  # type: ignore[arg-type]
    torch.testing.assert_close((2.0 * A.H)(y), 2 * back)
    torch.testing.assert_close((A.H + A.H)(y), 2 * back)
    torch.testing.assert_close((flip @ A.H)(y), flip(back))
    with pytest.raises(ShapeError, match="tuple of 2 measurements"):
        NormalSolver.of(A).prox(0.1, back, y[:1])  # type: ignore[arg-type]


@pytest.mark.parametrize("solver", ["pinv", "tikhonov", "cgls", "admm-tv"])
def test_a_batch_of_one_sample_is_a_batch(solver):
    problem = forward_model("pid", (4, 3, 8, 8)).measure(torch.rand(4, 3, 8, 8))
    alone, one = solve(problem, solver).x, solve(collate([problem]), solver).x
    torch.testing.assert_close(one, alone.unsqueeze(0))


def test_measurements_for_another_batch_than_the_operators_are_told():
    problem = InverseProblem(Diagonal(torch.rand(2, 4, 1, 4, 4), (4, 1, 4, 4)), torch.rand(3, 4, 1, 4, 4))
    with pytest.raises(ShapeError, match=r"batch of shape \(2\), got measurements for \(3\)"):
        solve(problem, "pinv")
