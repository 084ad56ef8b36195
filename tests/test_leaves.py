"""Every leaf against its definition, written with numpy and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from linops_video import (
    AxisMatrix,
    BlockDiagonal,
    BoxMean,
    Convolution,
    Cosine,
    Dense,
    Diagonal,
    Difference,
    Flip,
    Fourier,
    Hadamard,
    Identity,
    LinearOperator,
    Select,
    Shape,
    Stack,
    Wavelet,
    circulant,
    kron,
    parse,
    scale,
)
from linops_video.algebra.operator import scalar
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.operators.dense import DenseGram
from linops_video.testing import OperatorError, check_operator


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def equal(got: torch.Tensor, expected: np.ndarray, tolerance: float = 1e-12) -> None:
    np.testing.assert_allclose(got.numpy(), expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=40, deadline=None)
@given(
    boundary=st.sampled_from(["full", "same", "valid", "circular"]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)),
)
def test_convolution_is_scipys(boundary: str, kernel: tuple[int, int], size: tuple[int, int]) -> None:
    h, x = random(*kernel), random(2, 3, *size, seed=1)
    y = Convolution(h, (2, 3, *size), boundary)(x)  # type: ignore[arg-type]
    for t in range(2):
        for c in range(3):
            mode = "same" if boundary == "circular" else boundary
            edge = "wrap" if boundary == "circular" else "fill"
            equal(y[t, c], scipy.signal.convolve2d(x[t, c].numpy(), h.numpy(), mode=mode, boundary=edge), 1e-11)


def test_one_kernel_a_sample() -> None:
    h, x = random(3, 2, 2), random(3, 4, 5, 5, seed=1)
    y = Convolution(h, (4, 5, 5))(x)
    for i in range(3):
        equal(y[i], Convolution(h[i], (4, 5, 5))(x[i]).numpy())


def test_circulant_is_the_circular_convolution() -> None:
    h, x = random(4, 5), random(2, 4, 5, seed=1)
    expected = [scipy.signal.convolve2d(np.tile(f, (2, 2)), h.numpy(), mode="full")[4:8, 5:10] for f in x.numpy()]
    equal(circulant(h, (2, 4, 5))(x), np.stack(expected), 1e-11)


@settings(max_examples=25, deadline=None)
@given(k=st.integers(1, 4), height=st.integers(4, 9), width=st.integers(4, 9))
def test_box_mean(k: int, height: int, width: int) -> None:
    x = random(2, height, width)
    rows, columns = height // k, width // k
    boxes = x.numpy()[:, : rows * k, : columns * k].reshape(2, rows, k, columns, k)
    equal(BoxMean(k, (2, height, width))(x), boxes.mean((2, 4)))


def test_axis_operators() -> None:
    x = random(4, 3, 5, 6)
    M = random(2, 3)
    equal(AxisMatrix(M, 1, (4, 3, 5, 6))(x), np.einsum("mc,tchw->tmhw", M, x))
    equal(Difference(2, (4, 3, 5, 6))(x), np.diff(x.numpy(), axis=2))
    equal(Select((3, 1), 0, (4, 3, 5, 6))(x), x.numpy()[[3, 1]])
    equal(Select((0, 2, 4), 2, (4, 3, 5, 6))(x), x.numpy()[:, :, ::2])
    equal(Flip((0, 3), (4, 3, 5, 6))(x), x.numpy()[::-1, :, :, ::-1])


def test_kronecker_product_is_numpys() -> None:
    A, B, C = random(2, 3), random(4, 6, seed=1), random(3, 2, seed=2)
    product = kron(Dense(A, (3,), (2,)), Dense(B, (2, 3), (4,)), Dense(C, (2,), (3,)))
    assert (product.in_shape, product.out_shape) == ((3, 2, 3, 2), (2, 4, 3))
    equal(product.to_dense(), np.kron(np.kron(A, B), C))
    one_a_sample = kron(Dense(random(5, 2, 3), (3,), (2,)), Identity((2,)), Dense(random(5, 2, 4), (4,), (2,)))
    x = random(5, 3, 2, 4)
    expected = np.einsum("bij,bkl,bjcl->bick", random(5, 2, 3), random(5, 2, 4), x)
    equal(one_a_sample(x), expected)


def test_containers() -> None:
    A, B = Dense(random(3, 4), (4,), (3,)), Dense(random(3, 4, seed=1), (4,), (3,))
    M, N = A.to_dense(), B.to_dense()
    equal((A + B).to_dense(), (M + N).numpy())
    equal((A - B).to_dense(), (M - N).numpy())
    equal((-2 * A).to_dense(), (-2 * M).numpy())
    equal((A.T @ B).to_dense(), (M.T @ N).numpy())
    equal(Stack((A, B)).to_dense(), np.concatenate([M, N]))
    blocks, D = BlockDiagonal((A, B)), scipy.linalg.block_diag(M, N)
    equal(blocks.to_dense(), D)
    turned = BlockDiagonal((A, A.T))  # square as a whole, its parts are not
    n, line = turned.in_size, random(turned.in_size)
    for other in (Identity((n,)), Diagonal(line, (n,)), Diagonal(line[:1], (n,)), turned, turned.H):
        E = other.to_dense(torch.float64)
        equal((turned + other).to_dense(), (turned.to_dense() + E).numpy())
        equal((turned @ other).to_dense(), (turned.to_dense() @ E).numpy())
        equal((other @ turned).to_dense(), (E @ turned.to_dense()).numpy())
    per_sample = scale(torch.tensor([1.0, 3.0], dtype=torch.float64), A)
    equal(per_sample(random(2, 4)), (random(2, 4) @ M.T * torch.tensor([[1.0], [3.0]])).numpy())
    x = random(4)
    assert torch.equal(A @ x, A(x))


def test_simplifications() -> None:
    I = Identity((2, 3))  # noqa: E741
    D = Diagonal(random(2, 3), (2, 3))
    assert isinstance(D @ D, Diagonal)
    assert (I @ D) is D
    assert (D @ I) is D
    assert D.T is D
    A = Dense(random(3, 6), (2, 3), (3,))
    assert A.T.T.in_shape == A.in_shape
    assert isinstance(A.T @ A, DenseGram)  # not a matrix of 6×6
    assert isinstance(A.T @ Dense(random(3, 6), (2, 3), (3,)), Dense)
    C = Convolution(random(2, 2), (4, 4))
    assert C.T.T is C
    assert scalar(2.0 * I + 3.0 * I) == 5.0
    signs = torch.tensor([[1.0, -1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]])
    for U in (Cosine((0,), (2, 4)), Fourier((1,), (2, 4)), Hadamard(signs, (2, 4)), Wavelet((2, 4), "haar", (0, 1))):
        assert isinstance(U.H @ U, Identity)
        assert isinstance(U @ U.H, Identity)
    assert isinstance(kron(Identity((2,)), Identity((3,))), Identity)
    assert isinstance(kron(Identity((2,)), Diagonal(random(3), (3,))), Diagonal)


def test_errors_name_operator_need_and_gift() -> None:
    A = BoxMean(2, (3, 8, 8))
    with pytest.raises(ShapeError, match=r"BoxMean\(\(3×8×8\) → \(3×4×4\)\) needs an input of shape .* got \(3×8×9\)"):
        A(random(3, 8, 9))
    with pytest.raises(ShapeError, match="the right operator gives"):
        _ = A @ A
    with pytest.raises(ShapeError, match="must have the same shapes"):
        _ = A + Identity((3, 8, 8))
    with pytest.raises(ShapeError, match="batch of shape"):
        Diagonal(random(2, 4), (4,))(random(3, 4))
    with pytest.raises(SpecError, match="distinct indices"):
        Select((0, 0), 0, (3,))
    with pytest.raises(SpecError, match="boundary must be one of full"):
        Convolution(random(2, 2), (4, 4), "reflective")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="no larger than the frame"):
        Convolution(random(5, 5), (4, 4), "valid")
    with pytest.raises(ShapeError, match="on one input shape"):
        Stack((Identity((2,)), Identity((3,))))
    with pytest.raises(DtypeError, match="use its adjoint"):
        _ = Diagonal(random(2).to(torch.complex128), (2,)).T


def _gram_of_twice(self, weight=None):
    return scale(4.0, Identity(self.in_shape) if weight is None else weight)


def _gram_if_full(self, weight=None):
    full = isinstance(weight, Diagonal) and weight.diagonal.shape[-1] == self.in_shape[-1]
    return _gram_of_twice(self, weight if full or scalar(weight) is not None else None)


def _gram_of_the_first(self, weight=None):
    if isinstance(weight, Diagonal) and weight.batch_shape:
        weight = Diagonal(weight.diagonal[0], weight.in_shape)
    return _gram_of_twice(self, weight)


def _gram_of_diagonals(self, weight=None):
    return _gram_of_twice(self, weight if isinstance(weight, Diagonal) or scalar(weight) is not None else None)


def _one_batch_axis(self, x):
    return 2 * x.reshape(x.shape[0], 1, *self.in_shape).reshape(x.shape) if x.ndim > 2 else 2 * x


def _of_first_samples(self, x):
    return 2 * (x[:, :1].expand(x.shape) if x.ndim == 4 else x)


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "adjoint that writes into y": ("changes its input in Aᴴ y", {"adjoint": lambda self, y: y.mul_(2)}),
    "norm of 7": ("“norm”", {"_known_norm": lambda self: torch.tensor(7.0, dtype=torch.float64)}),
    "norm of 1.01": ("“norm”", {"_known_norm": lambda self: torch.tensor(2.02, dtype=torch.float64)}),
    "norm() of 1e20": ("“norm”", {"norm": lambda self: torch.tensor(1e20, dtype=torch.float64)}),
    "norm that hides an adjoint": (
        "dot test",
        {"norm": lambda self: torch.tensor(1e20, dtype=torch.float64), "adjoint": lambda self, y: 3 * y},
    ),
    "H that is right, _apply_adjoint not": (
        "“H is _apply_adjoint”",
        {"H": property(lambda self: scale(2.0, Identity(self.in_shape))), "adjoint": lambda self, y: 3 * y},
    ),
    "gram of full diagonals": (r"“gram\(thin diagonal\)”", {"gram": _gram_if_full}),
    "gram of the first weight": (r"“gram\(batch of diagonals\)”", {"gram": _gram_of_the_first}),
    "gram of diagonals": (r"“gram\(neighbours\)”", {"gram": _gram_of_diagonals}),
    "one batch axis": ("“batch of samples, A”.*is invalid", {"apply": _one_batch_axis}),
    "a batch of first samples": ("“batch of samples, A”", {"apply": _of_first_samples}),
    "adjoint of first samples": ("“batch of samples, Aᴴ”", {"adjoint": _of_first_samples}),
    "view": ("“other strides, A”.*view size", {"apply": lambda self, x: 2 * x.view(*x.shape[:-2], 20).view(x.shape)}),
    "constant in float64": (
        r"data in torch\.float32 should have",
        {"apply": lambda self, x: x * torch.full((5,), 2.0, dtype=torch.float64)},
    ),
    "adjoint of the real part": (
        "“complex data, Aᴴ”",
        {"adjoint": lambda self, y: torch.complex(2 * y.real, 0 * y.real) if y.is_complex() else 2 * y},
    ),
    "cut gradient": ("“gradient is the adjoint”.*no gradient flows", {"apply": lambda self, x: 2 * x.detach()}),
    "NumPy": ("“gradient is the adjoint”.*numpy", {"apply": lambda self, x: torch.from_numpy(2 * x.numpy())}),
    "cut gradient of the adjoint": ("“gradient of Aᴴ y is A”", {"adjoint": lambda self, y: 2 * y.detach()}),
    "NaN": ("A x of finite data has NaN", {"apply": lambda self, x: torch.full_like(x, torch.nan)}),
    "infinite": ("Aᴴ y of finite data has NaN or infinite", {"adjoint": lambda self, y: y / 0}),
    "real part": ("“complex data, A”", {"apply": lambda self, x: 2 * (x.real if x.is_complex() else x)}),
}


class TestAnOwnOperator:
    """What a user gets who writes only `_apply`, and what `check_operator` says of a wrong adjoint."""

    def test_adjoint_is_derived(self) -> None:
        A = own_operator(lambda self, x: x.cumsum(-1))
        equal(A.H.to_dense(), np.triu(np.ones((5, 5))))
        assert "cg" in check_operator(A).method

    def test_a_slightly_wrong_adjoint_is_found(self) -> None:
        A = own_operator(lambda self, x: x.cumsum(-1), lambda self, y: 1.0005 * y.flip(-1).cumsum(-1).flip(-1))
        with pytest.raises(OperatorError, match="dot test"):
            check_operator(A)

    def test_other_defects_are_found(self) -> None:
        with pytest.raises(OperatorError, match=r"linearity|dot test"):
            check_operator(own_operator(lambda self, x: x.abs(), lambda self, y: y))
        with pytest.raises(OperatorError, match="changes its input"):
            check_operator(own_operator(lambda self, x: x.mul_(2), lambda self, y: 2 * y))
        with pytest.raises(OperatorError, match="should have shape"):
            check_operator(own_operator(lambda self, x: x[..., :4], lambda self, y: y))

    @pytest.mark.parametrize("name", WRONG)
    def test_each_wrong_part_is_found_under_its_name(self, name: str) -> None:
        words, parts = WRONG[name]
        right = {
            "shape": (4, 5),
            "apply": lambda self, x: 2 * x,
            "adjoint": lambda self, y: 2 * y,
            "gram": _gram_of_twice,
        }
        check_operator(own_operator(**right))
        with pytest.raises(OperatorError, match=words):
            check_operator(own_operator(**{**right, **parts}))

    def test_an_operator_may_refuse_complex_data(self) -> None:
        def real_only(self, x):
            if x.is_complex():
                raise DtypeError("real data only")
            return x.cumsum(-1)

        assert "complex data, A" not in check_operator(own_operator(real_only)).errors


def own_operator(apply, adjoint=None, shape=(5,), **body: Any) -> Any:
    from dataclasses import dataclass

    body |= {"_apply": apply, **({"_apply_adjoint": adjoint} if adjoint else {})}
    body |= {"__annotations__": {"in_shape": Shape}, "out_shape": property(lambda self: self.in_shape)}
    kind: Any = dataclass(frozen=True, eq=False, repr=False)(type("Own", (LinearOperator,), body))
    return kind(shape)


@pytest.mark.parametrize("shape", [(), (5,), (4, 5), (2, 4, 5), (3, 4, 2), (7, 2, 3, 5)])
def test_a_diagonal_has_the_axes_of_its_event(shape):
    with pytest.raises(ShapeError, match="3×4×5"):
        Diagonal(torch.ones(shape), (3, 4, 5))


def test_only_tensors_are_taken():
    A = BoxMean(2, (4, 4))
    for x in (np.zeros((4, 4)), [[0.0] * 4] * 4, 0.5, None):
        with pytest.raises(DtypeError, match="needs a torch tensor"):
            A(x)  # type: ignore[arg-type]
        with pytest.raises(DtypeError, match="needs a torch tensor"):
            A @ x  # type: ignore[operator]


def test_quotients_and_sums_as_python_writes_them():
    A, B = BoxMean(2, (4, 4)), Select((0, 2), 0, (4, 2)) @ Select((1, 3), 1, (4, 4))
    equal((A / 4).to_dense(), A.to_dense().numpy() / 4)
    equal((A / torch.tensor([2.0, 4.0]))(torch.ones(2, 4, 4)), np.stack((np.full((2, 2), 0.5), np.full((2, 2), 0.25))))
    equal((Fourier((0,), (4, 4)) / 2j).to_dense(), Fourier((0,), (4, 4)).to_dense().numpy() / 2j)
    assert str(parse("sr(2)", (4, 4)) / 4) == "0.25 * sr(2)"
    total = sum([A, B, A])
    assert isinstance(total, LinearOperator)
    equal(total.to_dense(), (2 * A.to_dense() + B.to_dense()).numpy())
    assert sum([A]) is A
    with pytest.raises(ZeroDivisionError):
        _ = A / 0


@pytest.mark.parametrize("spec", ["sr(2)", "grayscale", "mask(0.5)", "blur(gaussian, 1, circular)"])
def test_integer_videos_are_refused(spec: str) -> None:
    shape = (1, 3, 8, 8)
    with pytest.raises(DtypeError, match="divide 8-bit values by 255"):
        parse(spec, shape)(torch.full(shape, 250, dtype=torch.uint8))


def test_integer_factors_are_refused_and_masks_of_bool_add_up() -> None:
    with pytest.raises(DtypeError, match="bool, real or complex factors"):
        Diagonal(torch.tensor([20, 0, 255], dtype=torch.uint8), (3,))
    with pytest.raises(DtypeError, match="real or complex kernel"):
        Convolution(torch.ones(3, 3, dtype=torch.int64), (1, 1, 4, 4), "same")
    m, n = torch.tensor([True, False, True]), torch.tensor([True, True, False])
    both = Diagonal(m, (3,)) + Diagonal(n, (3,))
    assert both(torch.ones(3)).tolist() == [2, 1, 1]
    assert (both.gram())(torch.ones(3)).tolist() == [4, 1, 1]
    assert Diagonal(m, (3,)).gram()(torch.ones(3)).tolist() == [1, 0, 1]
