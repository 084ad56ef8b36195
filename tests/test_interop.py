"""Operators from and for other libraries, against these libraries."""

from __future__ import annotations

import pickle

import numpy as np
import pylops
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from optional import import_deepinv
from zoo import Animal, animal, normal_numbers
from zoo.paths import KINDS, asked_of

from linops_video import BoxMean, Convolution, Diagonal, Identity, LinearOperator, NormalSolver, Select, kron
from linops_video.errors import ShapeError, SpecError
from linops_video.interop import (
    from_deepinv,
    from_functions,
    from_pylops,
    from_scipy,
    to_deepinv,
    to_pylops,
    to_scipy,
)
from linops_video.testing import check_operator

SHAPE = (3, 5, 4)


def arrays(seed: int = 0):
    return np.random.default_rng(seed)


def kernel() -> np.ndarray:
    return arrays().standard_normal((3, 2))


PYLOPS = {
    "diagonal": lambda: pylops.Diagonal(arrays().standard_normal(SHAPE)),
    "first derivative": lambda: pylops.FirstDerivative(SHAPE, axis=1, kind="forward"),
    "gradient": lambda: pylops.Gradient((6, 5)),
    "convolution": lambda: pylops.signalprocessing.ConvolveND(SHAPE, kernel(), offset=(1, 1), axes=(1, 2)),
    "restriction": lambda: pylops.Restriction(SHAPE, [0, 3], axis=1),
    "matrix": lambda: pylops.MatrixMult(arrays().standard_normal((7, 5)), otherdims=(4,)),
    "Fourier": lambda: pylops.signalprocessing.FFTND((4, 6), axes=(0, 1), norm="ortho", dtype=np.complex128),
    "FFT of real signals": lambda: pylops.signalprocessing.FFT((4, 5), axis=0, real=True),
    "complex matrix": lambda: pylops.MatrixMult(
        arrays().standard_normal((3, 5)) + 1j * arrays(1).standard_normal((3, 5)), dtype=np.complex128
    ),
}
every_pylops = pytest.mark.parametrize("name", PYLOPS)


def dense(L) -> torch.Tensor:
    """The matrix, of real unit vectors, which are all that some operators take."""
    return torch.as_tensor(np.asarray(L @ np.eye(L.shape[1]))).to(torch.as_tensor(np.zeros((), L.dtype)).dtype)


def sparse(seed: int = 0):
    matrix = scipy.sparse.random_array((6, 20), density=0.3, rng=seed, dtype=np.float64)
    return scipy.sparse.linalg.aslinearoperator(matrix)


def random_like(A: LinearOperator, shape, seed: int = 0) -> torch.Tensor:
    r = normal_numbers(seed)
    return torch.complex(r(*shape), r(*shape)) if A.is_complex() else r(*shape)


# --- from other libraries --------------------------------------------------------------------------------------------


@every_pylops
def test_pylops_operators_come_in(name):
    L = PYLOPS[name]()
    A = from_pylops(L)
    assert A.in_shape == tuple(L.dims)
    assert A.out_shape == tuple(L.dimsd)
    assert A.is_complex() == np.issubdtype(L.dtype, np.complexfloating)
    torch.testing.assert_close(A.to_dense(torch.complex128 if A.is_complex() else torch.float64), dense(L))
    assert "cg" in check_operator(A, dtype=torch.complex128 if A.is_complex() else torch.float64).method


def test_scipy_operators_come_in():
    L = sparse()
    for A in (from_scipy(L), from_scipy(L, (4, 5), (2, 3))):
        torch.testing.assert_close(A.to_dense(), dense(L))
        check_operator(A)


@pytest.mark.parametrize("order", [">f8", "longdouble", "clongdouble", "int64", "reversed", "columns"])
def test_arrays_of_all_kinds_go_to_scipy_and_come_back(order):
    """What SciPy's operators and their matrices return need not be as torch has it."""
    x = np.arange(1.0, 4.0)
    given = x[::-1] if order == "reversed" else np.stack((x, x), 1)[:, 0] if order == "columns" else x.astype(order)
    A = Diagonal(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), (3,))
    np.testing.assert_allclose(to_scipy(A).matvec(given), [1, 2, 3] * given)

    def matmat(columns):
        y = np.asarray([1, 2, 3])[:, None] * columns
        return y[::-1].copy()[::-1] if order == "reversed" else y.astype(order) if order != "columns" else y

    dtype = complex if order == "clongdouble" else float
    L = scipy.sparse.linalg.LinearOperator((3, 3), matmat, matmat, matmat, dtype, matmat)  # type: ignore[call-arg]
    torch.testing.assert_close(from_scipy(L)(torch.from_numpy(x)).real, A(torch.from_numpy(x)))


def test_no_columns_and_16_bits_go_to_scipy():
    L = to_scipy(BoxMean(2, (4, 4)))
    assert (L.matmat(np.ones((16, 0))).shape, L.rmatmat(np.ones((4, 0))).shape) == ((4, 0), (16, 0))
    half = to_scipy(Diagonal(torch.tensor([1.0, 2.0], dtype=torch.bfloat16), (2,)))
    assert half.dtype == half.matvec(np.array([1, 2])).dtype == np.float32


def test_operators_without_an_adjoint_are_told_when_they_come_in():
    with pytest.raises(SpecError, match="needs an adjoint, and rmatvec of this one fails"):
        from_scipy(scipy.sparse.linalg.LinearOperator((3, 3), lambda x: 2 * x, None, None, float))  # type: ignore[call-arg]


@pytest.mark.parametrize("M", [np.eye(3), 1j * np.eye(3), scipy.sparse.eye_array(3).tocsr()])
def test_operators_can_be_pickled(M):
    A = pickle.loads(pickle.dumps(from_scipy(M)))
    torch.testing.assert_close(A.to_dense(), from_scipy(M).to_dense())
    L = pickle.loads(pickle.dumps(to_scipy(Diagonal(torch.ones(3), (3,)))))
    assert L.matvec([1, 2, 3]).tolist() == [1, 2, 3]


def test_real_operators_take_complex_tensors():
    A = from_pylops(PYLOPS["convolution"]())
    r = normal_numbers(0)
    re, im = r(2, *SHAPE), r(2, *SHAPE)
    torch.testing.assert_close(A(torch.complex(re, im)), torch.complex(A(re), A(im)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_precision_and_batch_axes_are_kept(dtype):
    L = PYLOPS["convolution"]()
    A = from_pylops(L)
    x = normal_numbers(0)(2, 3, *SHAPE).to(dtype)
    y = A(x)
    assert (y.dtype, y.shape) == (dtype, x.shape)
    for i in range(2):
        for j in range(3):
            expected = torch.from_numpy(L @ x[i, j].double().numpy())
            torch.testing.assert_close(
                y[i, j], expected.to(dtype), rtol=2 * torch.finfo(dtype).eps, atol=1e-2 if dtype.itemsize == 2 else 1e-5
            )


@pytest.mark.parametrize("name", ["convolution", "Fourier", "complex matrix", "FFT of real signals"])
def test_gradients_flow_through(name):
    A = from_pylops(PYLOPS[name]())
    x = random_like(A, (2, *A.in_shape)).requires_grad_()
    y = random_like(A, (2, *A.out_shape)).requires_grad_()
    for f, t in ((A, x), (A.H, y)):
        assert torch.autograd.gradcheck(f, t, check_forward_ad=True, fast_mode=True)
        assert torch.autograd.gradgradcheck(f, t, fast_mode=True)
    real = normal_numbers(3)(*A.in_shape).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: torch.view_as_real(A(x) + 0j), real, fast_mode=True)


@pytest.mark.parametrize("name", ["convolution", "Fourier"])
def test_function_transforms(name):
    A = from_pylops(PYLOPS[name]())
    x, t = random_like(A, (4, 2, *A.in_shape)), random_like(A, (4, 2, *A.in_shape), 1)
    torch.testing.assert_close(torch.func.vmap(A)(x), A(x))
    torch.testing.assert_close(torch.func.vmap(A, in_dims=1)(x), A(x.movedim(1, 0)))
    torch.testing.assert_close(torch.func.vmap(torch.func.vmap(A))(x), A(x))
    value, tangent = torch.func.jvp(A, (x,), (t,))[:2]
    torch.testing.assert_close(value, A(x))
    torch.testing.assert_close(tangent, A(t))
    g = random_like(A, (4, 2, *A.out_shape), 2)
    torch.testing.assert_close(torch.func.vjp(A, x)[1](g)[0], A.H(g))


def test_a_pylops_operator_in_an_expression():
    """mask ⊗ identity ∘ PyLops + ours, and its normal solve by conjugate gradients with gradients."""
    r = normal_numbers(0)
    blur = from_pylops(PYLOPS["convolution"]())
    mask = Diagonal((r(2, *SHAPE) > 0).double(), (2, *SHAPE))
    A = mask @ kron(Identity((2,)), blur) + 0.5 * Identity((2, *SHAPE))
    M = A.to_dense()
    normal = NormalSolver.of(A)
    assert "cg" in normal.method
    b = r(3, 2, *SHAPE)
    expected = torch.linalg.solve(M.mT @ M + 0.3 * torch.eye(len(M.mT), dtype=M.dtype), b.flatten(1).mT).mT
    torch.testing.assert_close(normal(0.3, b).flatten(1), expected, rtol=1e-4, atol=1e-5)
    v = r(2, *SHAPE).requires_grad_()
    y = A(r(2, *SHAPE))
    normal.prox(0.3, v, y).square().sum().backward()
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()


def test_functions_without_autograd():
    """The gradient is the adjoint, even for functions that autograd cannot see into."""

    def forward(x):
        return torch.from_numpy(np.ascontiguousarray(x.detach().numpy()[:, ::2]))

    def adjoint(y):
        values = y.detach().numpy()
        x = np.zeros((len(y), 5), values.dtype)
        x[:, ::2] = values
        return torch.from_numpy(x)

    A = from_functions(forward, adjoint, (5,), (3,))
    check_operator(A)
    assert torch.autograd.gradcheck(A, normal_numbers(0)(2, 5).requires_grad_())
    torch.testing.assert_close(A.to_dense(), Select((0, 2, 4), 0, (5,)).to_dense())


def test_real_functions_act_on_real_and_imaginary_parts():
    def forward(x):
        return torch.fft.fft(x).real

    A = from_functions(forward, forward, (3,), (3,))  # a symmetric matrix of cosines
    x = torch.tensor([1j, 1, 0])
    torch.testing.assert_close(A(x), torch.complex(forward(x.real), forward(x.imag)))
    torch.testing.assert_close(A.H(x), A(x))


@pytest.mark.parametrize("kind", [np.array, scipy.sparse.csr_array])
def test_matrices_come_in(kind):
    M = arrays().standard_normal((4, 6))
    torch.testing.assert_close(from_scipy(kind(M)).to_dense(), torch.from_numpy(M))


def test_bad_shapes_are_told():
    with pytest.raises(ShapeError, match="6 rows and 20 columns"):
        from_scipy(sparse(), (4, 4))
    wrong = from_functions(lambda x: x[:, :2], lambda y: y, (5,), (3,))
    with pytest.raises(ShapeError, match="a function of this operator gave"):
        wrong(torch.ones(5))
    with pytest.raises(ShapeError, match="needs an input of shape"):
        wrong(torch.ones(4))


# --- to other libraries ----------------------------------------------------------------------------------------------


@asked_of(KINDS)
def test_scipy_gets_the_matrix(entry: Animal):
    """The dense matrix, or the block-diagonal one of all samples; one vector and many, forward and adjoint."""
    A = animal(entry)
    L = to_scipy(A)
    M = A.to_dense()
    blocks = torch.block_diag(*M.reshape(-1, *M.shape[-2:])).numpy()
    assert L.shape == blocks.shape
    x = arrays().standard_normal((L.shape[1], 3))
    y = arrays(1).standard_normal((L.shape[0], 3))
    np.testing.assert_allclose(L.matmat(x), blocks @ x, atol=1e-10)
    np.testing.assert_allclose(L.rmatmat(y), blocks.conj().T @ y, atol=1e-10)
    np.testing.assert_allclose(L.matvec(x[:, 0]), blocks @ x[:, 0], atol=1e-10)
    np.testing.assert_allclose(L.rmatvec(y[:, 0]), blocks.conj().T @ y[:, 0], atol=1e-10)


def test_scipy_solves_with_it():
    A = BoxMean(2, (2, 6, 4)) @ Convolution(normal_numbers(0)(3, 3), (2, 6, 4), "circular")
    b = normal_numbers(1)(*A.out_shape)
    solution = scipy.sparse.linalg.lsqr(to_scipy(A), b.numpy().ravel(), damp=np.sqrt(0.3), atol=1e-13, btol=1e-13)[0]
    expected = NormalSolver.of(A)(0.3, A.H(b))
    np.testing.assert_allclose(solution.reshape(A.in_shape), expected.numpy(), atol=1e-9)


def test_integer_arrays_and_precision():
    L = to_scipy(Diagonal(torch.tensor([1.0, 2.0]), (2,)))
    assert L.dtype == np.float32
    assert L.matvec(np.array([1, 2])).dtype == np.float32
    assert L.matvec(np.array([1.0, 2.0])).dtype == np.float64
    assert to_scipy(Identity((2,))).dtype == np.float64


@pytest.mark.parametrize(
    "A",
    [
        BoxMean(2, (2, 6, 4)),
        Convolution(normal_numbers(0)(3, 3), (2, 6, 4), "circular"),
        Diagonal(normal_numbers(0)(2, 3, 4), (3, 4)),
        Diagonal(torch.complex(normal_numbers(0)(3, 4), normal_numbers(1)(3, 4)), (3, 4)),
    ],
    ids=["box mean", "blur", "one mask a sample", "complex"],
)
def test_pylops_gets_operators(A):
    L = to_pylops(A)
    assert tuple(L.dims) == (*A.batch_shape, *A.in_shape)
    assert tuple(L.dimsd) == (*A.batch_shape, *A.out_shape)
    assert pylops.utils.dottest(L, rtol=1e-10, complexflag=3 if A.is_complex() else 0)
    x = random_like(A, L.dims)
    np.testing.assert_allclose(np.asarray(L @ x.numpy()), A(x).numpy(), atol=1e-12)
    chained = L.H @ pylops.Identity(L.shape[0], dtype=L.dtype) @ L
    np.testing.assert_allclose(chained.matvec(x.numpy().ravel()).reshape(L.dims), A.H(A(x)).numpy(), atol=1e-10)


@every_pylops
def test_there_and_back(name):
    A = from_pylops(PYLOPS[name]())
    if not A.is_complex():  # a wrapped operator does not know its precision, so that complex ones come back as such
        torch.testing.assert_close(from_pylops(to_pylops(A)).to_dense(), A.to_dense())


# --- deepinv ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deepinv():
    """CONTRIBUTING.md says how to run these tests: deepinv is not installed by default."""
    try:
        return import_deepinv()
    except ImportError:
        pytest.skip("deepinv is not installed")


def physics_of(deepinv, name: str):
    physics = deepinv.physics
    filter = physics.functional.blur.gaussian_blur(sigma=(1.0, 1.0))
    made = {
        "blur": lambda: physics.Blur(filter=filter, padding="circular"),
        "valid blur": lambda: physics.Blur(filter=filter, padding="valid"),
        "downsampling": lambda: physics.Downsampling(img_size=(3, 16, 12), filter=filter, factor=2, padding="circular"),
        "inpainting": lambda: physics.Inpainting((3, 16, 12), mask=0.5),
    }
    return made[name]()


@pytest.mark.parametrize("name", ["blur", "valid blur", "downsampling", "inpainting"])
def test_deepinv_physics_come_in(deepinv, name):
    physics = physics_of(deepinv, name)
    A = from_deepinv(physics, (3, 16, 12))
    x = torch.rand(2, 5, 3, 16, 12, generator=torch.Generator().manual_seed(0))
    for i in range(5):
        torch.testing.assert_close(A(x)[:, i], physics.A(x[:, i]))
    y = torch.rand(2, *A.out_shape)
    torch.testing.assert_close(A.H(y), physics.A_adjoint(y))
    leaf = x.clone().requires_grad_()
    A(leaf).square().sum().backward()
    torch.testing.assert_close(leaf.grad, 2 * A.H(A(x)), rtol=1e-4, atol=1e-4)
    masked = Select((0, 2), 0, A.out_shape) @ A
    assert "cg" in NormalSolver.of(masked).method


def operators_for_deepinv() -> list[LinearOperator]:
    g = torch.Generator().manual_seed(0)
    shape = (3, 16, 12)
    mask = Diagonal((torch.rand(2, *shape, generator=g) > 0.5).float(), shape)
    blur = Convolution(torch.rand(3, 3, generator=g) / 9, shape, "circular")
    return [mask, blur, BoxMean(2, shape), BoxMean(2, shape) @ blur]


@pytest.mark.parametrize("index", range(4))
def test_deepinv_gets_operators(deepinv, index):
    A = operators_for_deepinv()[index]
    physics = to_deepinv(A)
    x = torch.rand(2, *A.in_shape, generator=torch.Generator().manual_seed(1))
    y = physics(x)
    torch.testing.assert_close(y, A(x))
    assert abs(float(physics.adjointness_test(x))) < 1e-3
    gamma, z = 3.0, x.flip(-1)
    ours = physics.prox_l2(z, y, gamma)
    reference = deepinv.physics.LinearPhysics(A=A, A_adjoint=A.H, solver="CG", max_iter=500, tol=1e-7)
    torch.testing.assert_close(ours, reference.prox_l2(z, y, gamma), rtol=1e-4, atol=1e-4)
    per_sample = torch.tensor([3.0, 0.5])
    both = physics.prox_l2(z, y, per_sample.reshape(2, 1, 1, 1))
    torch.testing.assert_close(both[0], ours[0])
    torch.testing.assert_close(physics.A(physics.A_dagger(y)), y, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(physics.prox_l2(None, y, gamma), physics.prox_l2(torch.zeros_like(x), y, gamma))


def test_deepinv_moves_operators(deepinv):
    physics = to_deepinv(operators_for_deepinv()[0]).to(torch.float64)
    assert physics.operator.dtype == torch.float64
    x = torch.rand(2, 3, 16, 12, dtype=torch.float64)
    assert physics.prox_l2(x, physics.A(x), 2.0).dtype == torch.float64


def test_physics_of_several_measurements_are_refused(deepinv):
    stacked = deepinv.physics.stack(physics_of(deepinv, "inpainting"), physics_of(deepinv, "blur"))
    with pytest.raises(SpecError, match="one tensor"):
        from_deepinv(stacked, (3, 16, 12))
