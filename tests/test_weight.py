"""Weighted least squares: covariances of the noise, weights of zeros, and weights that are refused."""

from __future__ import annotations

import pytest
import torch
from small import KERNEL, SMALL, keep_most, random
from torch.autograd import gradcheck

from linops_video import AxisMatrix, BoxMean, Convolution, Dense, Diagonal, Flip, Identity, NormalSolver, Select, Stack
from linops_video.errors import SpecError

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
    assert gradcheck(prox, (positive, v, y), fast_mode=True)
    assert torch.isfinite(torch.autograd.grad(prox(weights, v, y).sum(), weights)[0]).all()


@pytest.mark.parametrize("shape", [(7, 3), (3, 7)], ids=str)
@pytest.mark.parametrize("method", ["pinv", "null_projection"])
def test_gradient_of_the_pseudoinverse_with_respect_to_the_weight(shape: tuple[int, int], method: str) -> None:
    """Of rank two, at a weight of zero too: there, of one side."""
    m, n = shape
    matrix, weights = random(m, 2) @ random(2, n, seed=1), random(m, seed=2).abs() + 0.1
    data = random(m if method == "pinv" else n, seed=3)

    def value(w: torch.Tensor, matrix: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
        return getattr(NormalSolver.of(Dense(matrix, (n,), (m,)), Diagonal(w, (m,))), method)(data)

    leaves = [t.clone().requires_grad_() for t in (weights, matrix, data)]
    assert gradcheck(lambda w, y: value(w, matrix, y), (leaves[0], leaves[2]), check_forward_ad=True, fast_mode=True)
    # along matrices of the same rank, where A⁺ is smooth
    left, right = random(m, m, seed=4), random(n, n, seed=5)
    (slope,) = torch.autograd.grad(value(*leaves).sum(), leaves[1])
    ends = [
        value(weights, torch.matrix_exp(h * left) @ matrix @ torch.matrix_exp(h * right), data) for h in (1e-6, -1e-6)
    ]
    wanted = float((ends[0] - ends[1]).sum()) / 2e-6
    assert float((slope * (left @ matrix + matrix @ right)).sum()) == pytest.approx(wanted, rel=1e-5)
    zeroed = weights.clone()
    zeroed[0] = 0
    start = zeroed.clone().requires_grad_()
    (slope,) = torch.autograd.grad(value(start, matrix, data).sum(), start)
    for i in range(m):
        moved = zeroed.clone()
        moved[i] += 1e-7
        difference = float((value(moved, matrix, data) - value(zeroed, matrix, data)).sum()) / 1e-7
        assert float(slope[i]) == pytest.approx(difference, rel=1e-5, abs=1e-6)


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


@pytest.mark.parametrize(
    "weight",
    [
        Convolution(torch.tensor([[2.0, 1.0]]).double(), (4, 4), "circular"),
        Dense(torch.tensor([[2.0, 1.0], [0.0, 2.0]]).double(), (2,), (2,)),
        Diagonal(torch.tensor([1 + 1j, 2]), (2,)),
        BoxMean(2, (4, 4)),
    ],
    ids=["circulant", "dense", "complex", "shape"],
)
def test_a_weight_is_self_adjoint(weight) -> None:
    with pytest.raises(SpecError, match=r"is not self-adjoint|changes their shape"):
        NormalSolver.of(Identity(weight.in_shape), weight=weight)
