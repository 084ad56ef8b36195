"""The normal solve where it is not covered by the zoo's laws: iterative solves, large frames, gradients, float32."""

from __future__ import annotations

import math

import pytest
import torch
from torch.autograd import gradcheck

from linops_video import (
    AxisMatrix,
    BoxMean,
    ConvergenceWarning,
    Convolution,
    Dense,
    Diagonal,
    Flip,
    Identity,
    NormalSolver,
    Select,
    Stack,
    forward_model,
)
from linops_video.algebra.krylov import conjugate_gradient
from linops_video.algebra.parameters import like
from linops_video.errors import SpecError
from linops_video.inverses.inverse import IterativeInverse
from linops_video.operators.kernels import disk


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def masked_blur(shape: tuple[int, ...]) -> Diagonal:
    mask = (random(*shape) > 0).double()
    return Diagonal(mask, shape) @ Convolution(disk(4, 2.0).double(), shape, "circular")  # type: ignore[return-value]


def test_iterative_solve_reports_its_residual_per_sample() -> None:
    A = masked_blur((2, 8, 8))
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    b = random(3, 2, 8, 8)
    rho = torch.tensor([1e-2, 1.0, 10.0], dtype=torch.float64)
    solved = normal.solve(rho, b)
    assert solved.iterations.shape == solved.residual.shape == (3,)
    assert bool((solved.iterations > 0).all())
    assert int(solved.iterations[0]) > int(solved.iterations[2])
    z = solved.x
    residual = torch.linalg.vector_norm(A.H(A(z)) + rho.reshape(3, 1, 1, 1) * z - b, dim=(1, 2, 3))
    assert torch.allclose(residual / torch.linalg.vector_norm(b, dim=(1, 2, 3)), solved.residual, rtol=1e-6)
    assert bool((solved.residual <= 1e-6).all())


def test_a_batch_is_not_one_system() -> None:
    A = masked_blur((2, 8, 8))
    normal, b = NormalSolver.of(A), random(3, 2, 8, 8) * torch.tensor([1e-6, 1.0, 1e6]).reshape(3, 1, 1, 1)
    together = normal.solve(0.1, b)
    for i in range(3):
        alone = normal.solve(0.1, b[i])
        assert torch.allclose(together.x[i], alone.x, rtol=1e-9, atol=0)
        assert int(together.iterations[i]) == int(alone.iterations)


def test_exact_solves_report_a_residual_too() -> None:
    normal = NormalSolver.of(forward_model("sr2", (2, 1, 8, 8)).operator)
    solved = normal.solve(0.3, random(2, 1, 8, 8))
    assert int(solved.iterations) == 0
    assert float(solved.residual) < 1e-14


def test_same_convolution_is_exact_when_small_and_preconditioned_when_large() -> None:
    small = Convolution(disk(4, 2.0), (1, 1, 32, 32), "same")
    assert NormalSolver.of(small).method == "exact: eigh of 1024×1024, from the Gram"
    large = Convolution(disk(4, 2.0), (1, 1, 144, 176), "same")
    normal = NormalSolver.of(large)
    assert normal.method == "cg, preconditioned by FFT"
    b = random(1, 1, 144, 176, dtype=torch.float32)
    preconditioned = normal.solve(1e-3, b)
    plain = NormalSolver(large, "cg", IterativeInverse(large, "cg", None, 1e-6)).solve(1e-3, b)
    assert float(preconditioned.residual) <= 1e-5
    assert int(preconditioned.iterations) < 0.6 * int(plain.iterations)


@pytest.mark.parametrize("boundary", ["full", "valid"])
def test_large_frames_are_inverted_exactly(boundary: str) -> None:
    A = Convolution(disk(4, 2.0).double(), (1, 1, 144, 176), boundary)  # type: ignore[arg-type]
    normal = NormalSolver.of(A)
    assert "cg" not in normal.method
    for rho in (1e-6, 1e-3, 1.0):
        solved = normal.solve(rho, random(1, 1, 144, 176))
        growth = float(torch.linalg.vector_norm(solved.x)) / 144  # ‖x‖/‖b‖, and ‖A‖ = 1: the backward error's scale
        assert float(solved.residual) < 1e-13 * growth + 1e-13


@pytest.mark.parametrize("boundary", ["same", "reflect", "symmetric", "full"])
def test_separable_kernels_are_exact_on_large_frames_in_both_precisions(boundary: str) -> None:
    line = torch.exp(-((torch.arange(7) - 2.7) ** 2) / 4)
    kernel = torch.outer(line, line.flip(0)) / line.sum() ** 2
    for dtype, bar in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        own = kernel if dtype == torch.float32 else torch.outer(line.double(), line.double())
        A = Convolution(own, (1, 1, 90, 110), boundary)  # type: ignore[arg-type]
        normal = NormalSolver.of(A)
        assert normal.exact
        b, norm = random(1, 1, 90, 110, dtype=dtype), float(A.norm())
        for rho in (1e-6 * norm**2, 0.1 * norm**2):
            z = normal(rho, b).double()
            residual = A.to(dtype=torch.float64).gram()(z) + rho * z - b
            assert float(residual.norm() / ((norm**2 + rho) * z.norm() + b.norm())) <= bar


def test_too_few_steps_warn() -> None:
    A = Convolution(disk(7, 3.5), (1, 1, 96, 96), "same")
    with pytest.warns(ConvergenceWarning, match="relative residual"):
        NormalSolver.of(A)(1e-9, random(1, 1, 96, 96, dtype=torch.float32))


def test_implicit_gradient_of_the_iterative_solve() -> None:
    A = masked_blur((1, 4, 4))
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    rho = torch.tensor([0.5, 2.0], dtype=torch.float64, requires_grad=True)
    b = random(2, 1, 4, 4).requires_grad_()
    assert gradcheck(normal, (rho, b), atol=1e-4, rtol=1e-4)
    y, v = random(2, 1, 4, 4, seed=1).requires_grad_(), random(2, 1, 4, 4, seed=2).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["pid", "sr2", "cs", "vcs", "dd", "tdd", "md", "fi2", "color"])
def test_gradient_of_the_exact_data_step(name: str) -> None:
    shape = (2, 3, 4, 4)
    A = forward_model(name, shape).operator.to(dtype=torch.float64)
    normal = NormalSolver.of(A)
    rho = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    v, y = random(*shape).requires_grad_(), random(*A.out_shape).requires_grad_()
    assert gradcheck(normal.prox, (rho, v, y))


@pytest.mark.parametrize("rho", [1e-4, 1e-2, 1.0, 100.0])
@pytest.mark.parametrize("name", ["pid", "sr4", "cs", "vcs", "dd", "tdd", "md", "fi2", "color"])
def test_float32_data_step_keeps_its_digits(name: str, rho: float) -> None:
    shape = (4, 3, 16, 16)
    A = forward_model(name, shape).operator
    v, y = random(*shape, dtype=torch.float32), random(*A.out_shape, seed=1, dtype=torch.float32)
    exact = A.to(dtype=torch.float64)
    rho *= float(exact.norm()) ** 2
    single = NormalSolver.of(A).prox(rho, v, y).double()
    double = NormalSolver.of(exact).prox(rho, v.double(), y.double())
    assert float((single - double).norm() / double.norm()) <= 1e-5


def test_noise_free_deblurring_at_the_size_of_a_video() -> None:
    model = forward_model("dd", (2, 3, 144, 176))
    video = torch.nn.functional.interpolate(torch.rand(2, 3, 9, 11), (144, 176), mode="bicubic", align_corners=False)
    problem = model.measure(video)
    error = (NormalSolver.of(problem.operator).pinv(problem.y) - video).square().mean()
    assert float(-10 * torch.log10(error)) > 95


def test_conjugate_gradient_on_a_dense_system() -> None:
    M = random(6, 6)
    G = M @ M.mT + torch.eye(6, dtype=torch.float64)
    b = random(2, 6)
    solved = conjugate_gradient(lambda x: x @ G, b, event_ndim=1, rtol=1e-12)
    assert torch.allclose(solved.x, torch.linalg.solve(G, b.mT).mT, rtol=1e-8)
    zero = conjugate_gradient(lambda x: x @ G, torch.zeros(2, 6, dtype=torch.float64), event_ndim=1)
    assert bool((zero.iterations == 0).all())
    assert not bool(zero.x.any())


def test_parameters_follow_the_precision_of_the_data() -> None:
    assert like(torch.ones(1), torch.ones(1, dtype=torch.float64)).dtype == torch.float64
    assert like(torch.ones(1, dtype=torch.complex64), torch.ones(1, dtype=torch.float64)).dtype == torch.complex128
    assert like(2.0, torch.ones(1)) == 2.0


SMALL = (2, 3, 4, 4)
KERNEL = torch.tensor([[0.1, 0.2, 0.0], [0.2, 0.3, 0.1], [0.0, 0.1, 0.1]], dtype=torch.float64)


def keep_most(*shape: int) -> torch.Tensor:
    return (random(*shape, seed=5) > -0.5).double()


TRAINABLE = {
    "mask": (lambda t: Diagonal(t, SMALL), random(*SMALL, seed=1).abs() + 0.3),
    "box mean of a mask": (lambda t: BoxMean(2, SMALL) @ Diagonal(t, SMALL), random(*SMALL, seed=1).abs() + 0.3),
    "circular kernel": (lambda t: Convolution(t, SMALL, "circular"), KERNEL),
    "box mean of a circular kernel": (lambda t: BoxMean(2, SMALL) @ Convolution(t, SMALL, "circular"), KERNEL),
    "full kernel": (lambda t: Convolution(t, SMALL, "full"), KERNEL[:2]),
    "symmetric kernel": (lambda t: Convolution(t, SMALL, "symmetric"), KERNEL + KERNEL.flip(0)),
    "matrix": (lambda t: AxisMatrix(t, 1, SMALL), random(2, 3, seed=2)),
    "wide matrix": (lambda t: Dense(t, SMALL, (5,)), random(5, 96, seed=2)),
    "mask of a kernel": (lambda t: Diagonal(keep_most(*SMALL), SMALL) @ Convolution(t, SMALL, "circular"), KERNEL),
}


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradient_with_respect_to_the_operators_own_tensors(name: str) -> None:
    make, start = TRAINABLE[name]
    parameter = start.clone().requires_grad_()
    iterative = not NormalSolver.of(make(start)).exact
    atol, rtol = (1e-4, 1e-4) if iterative else (1e-5, 1e-3)
    A = make(start)
    rho = torch.tensor(0.6, dtype=torch.float64, requires_grad=True)
    b = random(*SMALL, seed=3).requires_grad_()
    y = random(*A.out_shape, seed=4).requires_grad_()

    def solver(t: torch.Tensor) -> NormalSolver:
        return NormalSolver.of(make(t), rtol=1e-10)

    assert gradcheck(lambda t, x: make(t)(x), (parameter, b), fast_mode=True)
    assert gradcheck(lambda t, y: make(t).H(y), (parameter, y), fast_mode=True)
    assert gradcheck(lambda t, x: make(t).gram()(x), (parameter, b), fast_mode=True)
    assert gradcheck(lambda t, rho, b: solver(t)(rho, b), (parameter, rho, b), atol=atol, rtol=rtol, fast_mode=True)
    assert gradcheck(
        lambda t, rho, v, y: solver(t).prox(rho, v, y), (parameter, rho, b, y), atol=atol, rtol=rtol, fast_mode=True
    )
    if not iterative:
        assert gradcheck(lambda t, y: solver(t).pinv(y), (parameter, y), fast_mode=True)
        assert gradcheck(lambda t, x: solver(t).range_projection(x), (parameter, b), fast_mode=True)


def test_the_value_of_a_trainable_solve_is_that_of_the_fixed_one() -> None:
    A = TRAINABLE["circular kernel"][0](KERNEL.clone().requires_grad_())
    x = random(*SMALL)
    assert torch.equal(NormalSolver.of(A)(0.3, x), NormalSolver.of(A.detach())(0.3, x))


WEIGHTED = {
    "box mean, inverse variances": (BoxMean(2, SMALL), Diagonal(random(2, 3, 2, 2).abs(), (2, 3, 2, 2)), "pointwise"),
    "mask, a weight of zeros": (Diagonal(random(*SMALL), SMALL), Diagonal(keep_most(*SMALL), SMALL), "pointwise"),
    "circular blur, coloured noise": (
        Convolution(KERNEL, SMALL, "circular"),
        Convolution(KERNEL[:2, :2], SMALL, "circular").gram(),
        "FFT",
    ),
    "matrix, a full covariance": (
        Dense(random(5, 96), SMALL, (5,)),
        Dense(random(7, 5), (5,), (7,)).gram(),
        "eigh of 5×5",
    ),
    "blur, a covariance in time": (
        Convolution(KERNEL, SMALL, "circular"),
        AxisMatrix(random(3, 2), 0, SMALL).gram(),
        "FFT",
    ),
    "frames, a sum of covariances": (
        Select((0,), 0, SMALL),
        Stack((AxisMatrix(random(3, 3), 1, (1, 3, 4, 4)), Diagonal(random(1, 1, 4, 4), (1, 3, 4, 4)))).gram(),
        "eigh of 3×3 at every place",
    ),
    "one number a sample": (
        BoxMean(2, SMALL),
        torch.tensor([0.5, 2.0], dtype=torch.float64) * Identity((2, 3, 2, 2)),
        "scalar",
    ),
    "stack, a noise level a part": (
        Stack((BoxMean(2, SMALL), Diagonal(random(*SMALL), SMALL))),
        Diagonal(torch.cat((torch.full((24,), 2.0), torch.full((96,), 0.3))).double(), (120,)),
        "cg",
    ),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_least_squares(name: str) -> None:
    A, W, way = WEIGHTED[name]
    normal = NormalSolver.of(A, weight=W, rtol=1e-12)
    assert way in normal.method
    M, weight = A.to_dense(), W.to_dense()
    G = M.mT @ weight @ M
    eye = torch.eye(G.shape[-1], dtype=torch.float64)
    batch = W.batch_shape
    v, y = random(*batch, *SMALL), random(*batch, *A.out_shape, seed=1)
    for rho in (1e-3, 0.5):
        solved = torch.linalg.solve(G + rho * eye, v.flatten(len(batch))[..., None])[..., 0]
        assert torch.allclose(normal(rho, v).flatten(len(batch)), solved, rtol=1e-8, atol=1e-8)
        b = rho * v.flatten(len(batch)) + ((M.mT @ weight) @ y.flatten(len(batch))[..., None])[..., 0]
        expected = torch.linalg.solve(G + rho * eye, b[..., None])[..., 0]
        assert torch.allclose(normal.prox(rho, v, y).flatten(len(batch)), expected, rtol=1e-8, atol=1e-8)
    if normal.exact:
        values, vectors = torch.linalg.eigh(weight)
        root = vectors @ torch.diag_embed(values.clamp(min=0).sqrt()) @ vectors.mT
        expected = torch.linalg.pinv(root @ M, rtol=1e-6) @ (root @ y.flatten(len(batch))[..., None])
        assert torch.allclose(normal.pinv(y).flatten(len(batch)), expected[..., 0], rtol=1e-7, atol=1e-7)


def test_gradient_with_respect_to_the_weight() -> None:
    weights = keep_most(2, 3, 2, 2).requires_grad_()
    v, y = random(*SMALL).requires_grad_(), random(2, 3, 2, 2, seed=1).requires_grad_()

    def prox(w: torch.Tensor, v: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return NormalSolver.of(BoxMean(2, SMALL), Diagonal(w, (2, 3, 2, 2))).prox(0.4, v, y)

    positive = (weights.detach() + 0.1).requires_grad_()
    assert gradcheck(prox, (positive, v, y))
    assert torch.isfinite(torch.autograd.grad(prox(weights, v, y).sum(), weights)[0]).all()


def test_weights_that_are_none() -> None:
    with pytest.raises(SpecError, match="eigenvalue"):
        NormalSolver.of(BoxMean(2, SMALL), Diagonal(random(2, 3, 2, 2), (2, 3, 2, 2)))
    masked = Diagonal(keep_most(*SMALL), SMALL) @ Convolution(KERNEL, SMALL, "circular")
    with pytest.raises(SpecError, match="square root"):
        NormalSolver.of(Identity(SMALL), masked.gram())


def neighbours(n: int) -> torch.Tensor:
    """1 beside the diagonal."""
    upper = torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    return upper + upper.T


def test_a_weight_of_terms_that_are_not_positive_one_by_one() -> None:
    """The precision of a Gaussian Markov random field: I − 0.24 · (neighbours along both axes)."""
    n = 6
    shape, M = (n, n), neighbours(n)
    W = Identity(shape) - 0.24 * AxisMatrix(M, 0, shape) - 0.24 * AxisMatrix(M, 1, shape)
    normal, b = NormalSolver.of(Identity(shape), weight=W), random(n, n)
    expected = torch.linalg.solve(W.to_dense() + 0.1 * torch.eye(n * n, dtype=torch.float64), b.flatten())
    torch.testing.assert_close(normal(0.1, b).flatten(), expected, rtol=1e-12, atol=1e-13)
    smallest = torch.linalg.eigvalsh(W.to_dense())[0]
    torch.testing.assert_close(normal.eigenvalues().min(), smallest, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "weight",
    [
        Flip((0,), (4,)),
        Identity((4, 4)) - 0.6 * AxisMatrix(neighbours(4), 0, (4, 4)) - 0.6 * AxisMatrix(neighbours(4), 1, (4, 4)),
        AxisMatrix(neighbours(4), 0, (4, 3)) + Diagonal(random(1, 3).abs(), (4, 3)),
    ],
    ids=["flip", "sum", "blocks"],
)
def test_a_weight_with_a_negative_eigenvalue_is_refused(weight) -> None:
    with pytest.raises(SpecError, match=r"has the eigenvalue -|no known square root"):
        NormalSolver.of(Identity(weight.in_shape), weight=weight)


def test_a_weight_without_a_known_root_is_refused() -> None:
    kernel = torch.tensor([[0.0, 0.1, 0.0], [0.1, 1.0, 0.1], [0.0, 0.1, 0.0]])
    with pytest.raises(SpecError, match="no known square root"):
        NormalSolver.of(Identity((1, 6, 6)), weight=Convolution(kernel, (1, 6, 6), "same"))


def test_warm_start_and_tolerance() -> None:
    A = masked_blur((2, 8, 8))
    normal, b = NormalSolver.of(A, rtol=1e-9), random(2, 8, 8)
    cold = normal.solve(0.01, b)
    assert float(cold.residual) <= 1e-9
    near = b + 1e-4 * random(2, 8, 8, seed=1)
    assert int(normal.solve(0.01, near, start=cold.x).iterations) < int(normal.solve(0.01, near).iterations)
    assert int(NormalSolver.of(A, rtol=1e-2).solve(0.01, b).iterations) < int(cold.iterations)


def test_what_is_known_of_the_spectrum() -> None:
    with pytest.raises(SpecError, match="iteration"):
        NormalSolver.of(masked_blur((2, 8, 8))).eigenvalues()
    with pytest.raises(SpecError, match="eigenvalues"):
        NormalSolver.of(Convolution(KERNEL, SMALL, "full")).singular_values()


def test_data_step_sees_singular_values_that_the_gram_rounds_to_zero() -> None:
    singular, rho = torch.tensor([1.0, 1e-3, 1e-9], dtype=torch.float64), 1e-2
    for seed in range(8):
        numbers = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        left, right = torch.linalg.qr(numbers).Q
        normal = NormalSolver.of(Dense(left * singular @ right.mT, (3,), (3,)))
        gains = right.mT @ normal.prox(rho, torch.zeros_like(singular), left.sum(-1))
        assert float((gains - singular / (singular**2 + rho)).abs().max()) <= 1e-12


def test_solve_from_the_outer_product_near_the_cut_of_the_pseudoinverse() -> None:
    numbers = torch.randn(2, 24, 24, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    left, right = torch.linalg.qr(numbers[0, :6, :6]).Q, torch.linalg.qr(numbers[1]).Q[:6]
    singular = torch.logspace(0, -5.9, 6, dtype=torch.float64)
    M = left * singular @ right
    normal = NormalSolver.of(AxisMatrix(M, 0, (24, 2)))
    assert normal.method == "exact: eigh of 6×6, from the outer product"
    b = random(24, 2)
    for rho in (1e-6, 0.1, 10.0):
        x = normal(rho, b)
        residual = torch.linalg.vector_norm(M.mT @ (M @ x) + rho * x - b)
        assert float(residual) <= 1e-12 * float((1 + rho) * torch.linalg.vector_norm(x) + torch.linalg.vector_norm(b))


def test_data_step_of_a_complex_operator_and_a_real_measurement() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = NormalSolver.of(Diagonal(torch.randn(6, dtype=torch.complex128, generator=generator), (6,)))
    y, v = torch.rand(2, 6, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(normal.data_step(0.3, y)(v), normal.prox(0.3, v, y), rtol=0, atol=1e-12)


@pytest.mark.parametrize("condition", [1e3, 1e5])
def test_the_outer_product_loses_no_digits_to_its_condition(condition: float) -> None:
    left, right = (torch.linalg.qr(random(n, 8, seed=n)).Q for n in (20, 8))
    singular = torch.logspace(0, -math.log10(condition), 8, dtype=torch.float64)
    normal = NormalSolver.of(Dense(right * singular @ left.mT, (20,), (8,)))
    assert "from the outer product" in normal.method
    y, v, rho = random(8), random(20), 0.01 * float(singular[-1]) ** 2
    filters = singular / (singular**2 + rho)
    wanted = {"pinv": left @ (right.mT @ y / singular)}
    wanted["prox"] = v + left @ (filters * (right.mT @ (y - normal.operator(v))))
    for name, found in (("pinv", normal.pinv(y)), ("prox", normal.prox(rho, v, y))):
        assert float((found - wanted[name]).norm() / wanted[name].norm()) <= 1e-15 * condition


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool])
def test_data_steps_of_masks_keep_the_precision_of_the_data(dtype: torch.dtype) -> None:
    normal = NormalSolver.of(Diagonal((random(2, 1, 4, 4) > 0).to(dtype), (2, 1, 4, 4)))
    v, y = random(2, 1, 4, 4, seed=1), random(2, 1, 4, 4, seed=2)
    torch.testing.assert_close(normal.data_step(0.1, y)(v), normal.prox(0.1, v, y), rtol=0, atol=1e-14)


def test_data_steps_in_the_spectrum_take_complex_videos() -> None:
    normal = NormalSolver.of(Convolution(disk(3, 1.5).double(), (2, 1, 6, 6), "circular"))
    v, y = torch.complex(random(2, 1, 6, 6), random(2, 1, 6, 6, seed=1)), random(2, 1, 6, 6, seed=2)
    torch.testing.assert_close(normal.data_step(0.1, y)(v), normal.prox(0.1, v, y), rtol=0, atol=1e-12)
