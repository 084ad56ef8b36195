"""Constants of transforms that are kept from one call to the next."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from linops_video import Cosine, Hadamard, LinearOperator, Wavelet
from linops_video.algebra import constants

SHAPE = (6, 1, 8, 8)


@pytest.fixture
def kept(monkeypatch) -> dict:
    """What is kept, nothing at first."""
    found: dict = {}
    monkeypatch.setattr(constants, "_KEPT", found)
    return found


@pytest.mark.parametrize(
    "A",
    [Cosine((0, 2), SHAPE), Wavelet(SHAPE, "db2", (0, 0, 1, 1)), Hadamard(torch.ones(SHAPE), SHAPE)],
    ids=lambda A: type(A).__name__,
)
@pytest.mark.parametrize("first", ["inference", "vmap", "fake"])
def test_what_is_made_in_a_mode_is_of_use_outside(kept: dict, A: LinearOperator, first: str):
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    if first == "inference":
        with torch.inference_mode():
            A(x)
        assert kept
    elif first == "vmap":
        torch.func.vmap(A)(x)
        assert not kept
    else:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            A(mode.from_tensor(x))
        assert not kept
    y = A(x.requires_grad_())
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    torch.testing.assert_close(gradient, 2 * x.detach(), rtol=0, atol=1e-5)  # A is orthonormal
    assert kept
    assert all(type(t) is torch.Tensor and not t.is_inference() and not t.requires_grad for t in kept.values())


def test_few_are_kept_and_each_in_its_precision(kept: dict):
    for n in range(2, 2 + 2 * constants.MOST):
        Cosine((0,), (n % 90 + 2,))(torch.rand(n % 90 + 2))
        assert len(kept) <= constants.MOST
    single, double = (Cosine((0,), (5,)).to_dense(dtype) for dtype in (torch.float32, torch.float64))
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(double @ double.T, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-14)
