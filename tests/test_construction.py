"""What operators, normal solves and solvers are made of: lists serve as tuples, and what cannot be is refused."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch.autograd import forward_ad
from zoo import normal_numbers

from linops_video import (
    BlockDiagonal,
    BoxMean,
    Convolution,
    Dense,
    Diagonal,
    Fourier,
    Identity,
    InverseProblem,
    LinearOperator,
    Mosaic,
    NormalSolver,
    Patches,
    Select,
    Stack,
    batch,
    forward_model,
    kron,
)
from linops_video.errors import DtypeError, LinopsError, ShapeError, SpecError
from linops_video.operators.convolution import Boundary
from linops_video.solvers import Admm, AdmmTV, run, solve
from linops_video.solvers.registry import SOLVERS
from linops_video.solvers.tuning import tune
from linops_video.testing import OperatorError, check_operator

SHAPE = (2, 3, 8, 8)
VIDEO = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_lists_serve_as_tuples() -> None:
    mask = (VIDEO > 0.5).double()
    A = Stack([BoxMean(2, list(SHAPE), [-1, -2]), Diagonal(mask, list(SHAPE))])  # type: ignore[arg-type]
    B = Stack((BoxMean(2, SHAPE, (-1, -2)), Diagonal(mask, SHAPE)))
    assert A.in_shape == SHAPE
    assert A.operators[1].in_shape == SHAPE
    assert torch.equal(A(VIDEO), B(VIDEO))
    assert A.to(dtype=torch.float32).dtype == torch.float32  # the tensors below a list are seen
    check_operator(A)


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        (BoxMean(np.int64(2), (np.int64(4), 4)), BoxMean(2, (4, 4))),  # type: ignore[arg-type]
        (Select(torch.tensor([0, 2]), 0, (4,)), Select((0, 2), 0, (4,))),  # type: ignore[arg-type]
        (Select((np.int64(0), np.int64(2)), np.int64(0), (4,)), Select((0, 2), 0, (4,))),  # type: ignore[arg-type]
        (Mosaic(torch.tensor([[0, 1]]), (2, 3, 4, 4)), Mosaic(((0, 1),), (2, 3, 4, 4))),  # type: ignore[arg-type]
        (Mosaic([[0, 1]], (2, 3, 4, 4)), Mosaic(((0, 1),), (2, 3, 4, 4))),  # type: ignore[arg-type]
        (np.float32(0.5) * Identity((4,)), 0.5 * Identity((4,))),
    ],
)
def test_numbers_of_numpys_and_whole_tensors_serve_as_pythons(given, plain) -> None:
    fields = [[getattr(A, f.name) for f in dataclasses.fields(A) if f.name != "operator"] for A in (given, plain)]
    assert repr(fields[0]) == repr(fields[1])
    assert torch.equal(given.to_dense(), plain.to_dense())


def test_tensors_below_a_list_carry_batch_axes_and_gradients() -> None:
    masks = torch.rand(5, *SHAPE, dtype=torch.float64, requires_grad=True)
    A = Stack([Diagonal(masks, SHAPE), Identity(SHAPE)])  # type: ignore[arg-type]
    assert A.batch_shape == (5,)
    normal = NormalSolver.of(A)
    (gradient,) = torch.autograd.grad(normal(0.1, A.H(A(VIDEO))).sum(), masks)
    assert gradient.abs().sum() > 0


MAKERS = {
    "mask": (SHAPE, lambda t: Diagonal(t, SHAPE)),
    "full convolution": ((3, 3), lambda t: Convolution(t, SHAPE, "full")),
    "circular convolution": ((3, 3), lambda t: Convolution(t, SHAPE, "circular")),
    "wide matrix": ((7, 384), lambda t: Dense(t, SHAPE, (7,))),
    "by conjugate gradients": (SHAPE, lambda t: Convolution(BLUR, SHAPE, "valid") @ Diagonal(t, SHAPE)),
}
BLUR = torch.rand(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("name", MAKERS)
def test_derivatives_forwards_are_the_adjoint_of_those_backwards(name) -> None:
    shape, make = MAKERS[name]
    r = torch.Generator().manual_seed(2)
    t, tangent = (torch.rand(shape, generator=r, dtype=torch.float64) + 0.2 for _ in range(2))
    y = torch.rand(make(t).out_shape, generator=r, dtype=torch.float64)
    solves = {
        "normal": lambda t: NormalSolver.of(make(t), rtol=1e-13)(0.3, VIDEO),
        "prox": lambda t: NormalSolver.of(make(t), rtol=1e-13).prox(0.3, VIDEO, y),
        "pinv": lambda t: NormalSolver.of(make(t)).pinv(y),
    }
    for solve_name, fn in solves.items():
        if "conjugate" in name and solve_name == "pinv":
            continue  # to 1e-6 only
        leaf = t.clone().requires_grad_()
        x = fn(leaf)
        (back,) = torch.autograd.grad(x, leaf, VIDEO)
        with forward_ad.dual_level():
            ahead = forward_ad.unpack_dual(fn(forward_ad.make_dual(t, tangent))).tangent
        assert ahead is not None
        scale = float(back.norm() * tangent.norm())
        assert abs(float((ahead * VIDEO).sum() - (back * tangent).sum())) < 1e-10 * scale, solve_name


@pytest.mark.parametrize("boundary", get_args(Boundary))
def test_derivatives_forwards_of_a_kernel_of_rank_one_leave_its_rank(boundary) -> None:
    box, tangent = torch.full((3, 3), 1 / 9, dtype=torch.float64), BLUR
    frame, out = VIDEO[0, 0, :6, :7], Convolution(box, (6, 7), boundary).out_shape
    for fn in (
        lambda k: Convolution(k, (6, 7), boundary).gram()(frame),
        lambda k: Convolution(k, (6, 7), boundary).outer()(torch.ones(out, dtype=torch.float64)),
        lambda k: Convolution(k, (2, 6, 7), boundary).norm(),
    ):
        ahead, back = torch.func.jvp(fn, (box,), (tangent,))[1], torch.func.jacrev(fn)(box)
        assert torch.allclose(ahead, (back * tangent).sum((-2, -1)), rtol=1e-8, atol=1e-10)


def test_second_derivatives_in_an_operator_are_refused_forwards_over_backwards() -> None:
    leaf = torch.rand(SHAPE, dtype=torch.float64, requires_grad=True)
    with forward_ad.dual_level(), pytest.raises(SpecError, match="first derivatives"):
        NormalSolver.of(Diagonal(forward_ad.make_dual(leaf, VIDEO), SHAPE))(0.1, VIDEO)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Diagonal([1.0, 2.0], (2,)), DtypeError, "needs a torch tensor as its diagonal, got list"),  # type: ignore
        (lambda: Diagonal(diagonal=np.ones(2), in_shape=(2,)), DtypeError, "got ndarray"),  # type: ignore
        (lambda: Dense([[1.0]], (1,), (1,)), DtypeError, "got list"),  # type: ignore
        (lambda: BoxMean(2.0, SHAPE), SpecError, "a whole number as its factor"),  # type: ignore
        (lambda: Patches(0, 1, SHAPE), SpecError, "1 or more, got 0 and 1"),
        (lambda: Patches(2, 0, SHAPE), SpecError, "1 or more, got 2 and 0"),
        (lambda: BlockDiagonal(()), ShapeError, "at least one operator"),
        (lambda: kron(Identity((2,)), 3), DtypeError, "kron needs operators, got int"),  # type: ignore
        (lambda: Diagonal(torch.ones(2), (2,)).to(torch.float64), DtypeError, r"write to\(dtype=torch.float64\)"),  # type: ignore
        (lambda: Identity((2,)).to(torch.float64), DtypeError, r"write to\(dtype=torch.float64\)"),  # type: ignore
        (lambda: type("Plain", (LinearOperator,), {})(), SpecError, r"Plain needs to be a dataclass: write @dataclass"),
        (lambda: Admm(()), SpecError, "at least one prior"),
        (lambda: Admm(rho="a"), SpecError, "rho must be a positive number, got a"),  # type: ignore
        (lambda: AdmmTV(weight=torch.tensor([0.1, 0.2])), SpecError, "weight must be one finite number"),  # type: ignore
    ],
)
def test_what_cannot_be_is_refused(make, error: type[LinopsError], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_numbers_of_another_batch_are_refused() -> None:
    A = Convolution(torch.rand(3, 3, dtype=torch.float64), SHAPE, "circular")
    normal, videos = NormalSolver.of(A), VIDEO.expand(4, *SHAPE)
    assert normal(torch.rand(4) + 0.1, videos).shape == videos.shape
    for call in (
        lambda rho: normal(rho, videos),
        lambda rho: normal.prox(rho, videos, A(videos)),
        lambda rho: normal.data_step(rho, A(videos)),
    ):
        with pytest.raises(ShapeError, match=r"rho needs one number for each sample of a batch \(4\), got shape \(3\)"):
            call(torch.ones(3))
    problem = forward_model("sr2", SHAPE).measure(videos)
    with pytest.raises(ShapeError, match=r"noise_std needs a number for each sample of a batch \(4\), got \(3\)"):
        run(AdmmTV(max_steps=1), dataclasses.replace(problem, noise_std=torch.ones(3)))


@pytest.mark.parametrize("A", [BoxMean(2, SHAPE), Convolution(torch.rand(3, 3), SHAPE), Fourier((2, 3), SHAPE)])
def test_a_batch_of_no_samples_is_refused(A) -> None:
    with pytest.raises(ShapeError, match="of one sample or more, got shape"):
        A(torch.zeros(0, *A.in_shape))
    with pytest.raises(ShapeError, match="of one sample or more, got shape"):
        NormalSolver.of(A)(0.1, torch.zeros(2, 0, *A.in_shape))


def test_a_set_up_of_old_values_is_refused() -> None:
    mask = torch.rand(SHAPE, dtype=torch.float64, requires_grad=True)
    normal = NormalSolver.of(Diagonal(mask, SHAPE))
    before = normal(0.1, VIDEO)
    torch.optim.SGD([mask], lr=0.1).zero_grad()
    before.sum().backward()
    torch.optim.SGD([mask], lr=0.1).step()
    with pytest.raises(SpecError, match=r"changed in place after NormalSolver\.of: make the solver anew"):
        normal(0.1, VIDEO)
    assert torch.allclose(NormalSolver.of(Diagonal(mask, SHAPE))(0.1, VIDEO), VIDEO / (mask**2 + 0.1), atol=1e-12)


def test_a_set_up_notices_tensors_that_change_without_a_gradient() -> None:
    mask = torch.ones(SHAPE, dtype=torch.float64)
    normal = NormalSolver.of(Diagonal(mask, SHAPE))
    mask.mul_(2)
    calls = (lambda: normal.prox(0.1, VIDEO, VIDEO), lambda: normal.null_projection(VIDEO), normal.condition_number)
    for call in (*calls, lambda: normal.range_projection(VIDEO), normal.eigenvalues, lambda: normal.logdet(0.1)):
        with pytest.raises(SpecError, match="changed in place"):
            call()
    for copied in (copy.deepcopy(normal), pickle.loads(pickle.dumps(normal))):  # of what it is now
        assert copied.operator.diagonal.max() == 2  # type: ignore[attr-defined]
        copied(0.1, VIDEO)
    with torch.inference_mode():
        inside = torch.ones(SHAPE)
        NormalSolver.of(Diagonal(inside, SHAPE))(0.1, inside)


@pytest.mark.parametrize("name", ["admm-tv", "primal-dual", "primal-dual-fft", "fista", "cgls"])
def test_a_pickled_solution_is_gone_on_from(name) -> None:
    problem = forward_model("pid", SHAPE).measure(VIDEO)
    first = solve(problem, name, max_steps=2)
    kept = pickle.loads(pickle.dumps(first))
    again = [solve(problem, name, max_steps=2, start=start).x for start in (first, kept)]
    torch.testing.assert_close(*again, rtol=0, atol=1e-12)


def test_derivatives_that_would_be_wrong_are_refused() -> None:
    mask = torch.rand(SHAPE, dtype=torch.float64, requires_grad=True)
    normal = NormalSolver.of(Diagonal(mask, SHAPE))
    with pytest.raises(SpecError, match="gradient in rho alone"):
        normal.logdet(0.1)
    with torch.no_grad():
        assert torch.allclose(normal.logdet(0.1), torch.log(mask**2 + 0.1).sum())
    with pytest.raises(SpecError, match="first derivatives only"):
        torch.autograd.grad(normal(0.1, VIDEO).square().sum(), mask, create_graph=True)


def test_vmap_over_rho_of_a_full_frame_blur() -> None:
    A = Convolution(torch.rand(5, 5, dtype=torch.float64), (1, 80, 80), "full")
    normal = NormalSolver.of(A)
    assert "margin" in normal.method or "Toeplitz" in type(A.gram()).__name__
    b, rhos = torch.rand(1, 80, 80, dtype=torch.float64), torch.tensor([0.1, 1.0], dtype=torch.float64)
    each = torch.func.vmap(lambda rho: normal(rho, b))(rhos)
    assert torch.allclose(each, torch.stack([normal(float(rho), b) for rho in rhos]), atol=1e-12)


@pytest.mark.parametrize("boundary", ["circular", "same", "reflect", "symmetric", "full", "valid"])
def test_vmap_over_the_kernels_and_weights_of_a_solve(boundary) -> None:
    r = normal_numbers(0)
    shape, kernels = (2, 1, 5, 6), torch.cat((r(2, 3, 3), r(1, 3, 1) * r(3)))  # one of rank one
    out = Convolution(kernels[0], shape, boundary).out_shape
    v, y, weights = r(*shape), r(*out), r(3, *out).square() + 0.1

    def solves(kernel, weight):
        A, mask = Convolution(kernel, shape, boundary), Diagonal(y, out)
        normal, weighted = NormalSolver.of(A), NormalSolver.of(mask, Diagonal(weight, out))
        results = normal(0.3, v), normal.prox(0.3, v, y), normal.pinv(y), weighted.prox(0.3, y, y)
        return torch.cat([x.flatten() for x in results])

    expected = torch.stack([solves(kernel, weight) for kernel, weight in zip(kernels, weights, strict=True)])
    torch.testing.assert_close(torch.func.vmap(solves)(kernels, weights), expected, rtol=1e-8, atol=1e-8)


def test_torch_func_is_refused_where_it_cannot_go() -> None:
    mask = Diagonal((VIDEO > 0.5).double(), SHAPE)
    iterative = NormalSolver.of(mask @ Convolution(torch.ones(3, 3, dtype=torch.float64), SHAPE, "circular"))
    exact, matrix = NormalSolver.of(mask), VIDEO[0, 0]
    trained = NormalSolver.of(Diagonal(VIDEO.clone().requires_grad_(), SHAPE))
    refused = (
        lambda: torch.func.grad(lambda b: iterative(0.3, b).sum())(VIDEO),
        lambda: torch.func.vmap(lambda b: iterative.prox(0.3, b, b))(VIDEO[None]),
        lambda: torch.func.vmap(iterative.pinv)(VIDEO[None]),
        lambda: torch.func.jvp(iterative.null_projection, (VIDEO,), (VIDEO,)),
        lambda: torch.func.grad(lambda b: trained(0.3, b).sum())(VIDEO),
        lambda: torch.func.grad(lambda m: NormalSolver.of(Dense(m, (8,), (8,)))(0.3, m[0]).sum())(matrix),
    )
    for call in refused:
        with pytest.raises(SpecError, match=r"use torch\.autograd for derivatives"):
            call()
    wanted = exact(0.3, torch.ones_like(VIDEO))
    assert torch.allclose(torch.func.grad(lambda b: exact(0.3, b).sum())(VIDEO), wanted)
    assert torch.func.grad(lambda x: (x * iterative(0.3, VIDEO)).sum())(VIDEO).equal(iterative(0.3, VIDEO))


def test_spectra_of_a_batch_are_those_of_its_samples() -> None:
    A = batch([BoxMean(2, SHAPE), Select((1,), 0, SHAPE)])
    normal = NormalSolver.of(A)
    alone = [NormalSolver.of(B) for B in A.operators]
    assert torch.equal(normal.eigenvalues(), torch.stack([s.eigenvalues() for s in alone]))
    assert torch.equal(normal.condition_number(), torch.stack([s.condition_number() for s in alone]))
    for got, s in zip(normal.singular_values(), alone, strict=True):
        assert torch.equal(got, s.singular_values())
    rho = torch.tensor([0.1, 0.2], dtype=torch.float64)
    assert torch.equal(normal.logdet(rho), torch.stack([s.logdet(r) for s, r in zip(alone, rho, strict=True)]))
    assert torch.equal(normal.logdet(0.3), torch.stack([s.logdet(0.3) for s in alone]))


def test_batches_add_and_have_no_one_matrix() -> None:
    A = batch([BoxMean(2, SHAPE), Select((1,), 0, SHAPE)])
    twice, videos = A + A, VIDEO.expand(2, *SHAPE)
    for got, one in zip(twice(videos), A(videos), strict=True):
        assert torch.equal(got, 2 * one)
    for call in (A.to_dense, A.H.to_dense):
        with pytest.raises(ShapeError, match="no one matrix: take one of its `operators`"):
            call()
    with pytest.raises(OperatorError, match="check its `operators` one by one"):
        check_operator(A)


@pytest.mark.parametrize("name", [n for n in SOLVERS if n not in ("pinv", "cgls")])
def test_solvers_of_videos_say_that_they_need_videos(name) -> None:
    A = Dense(torch.rand(3, 6), (6,), (3,))
    with pytest.raises(ShapeError, match=r"T, C, H, W"):
        solve(InverseProblem(A, A(torch.rand(6)), 0.0), name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", SOLVERS)
def test_half_precision_is_kept_by_every_solver(name, dtype) -> None:
    problem = forward_model("si", SHAPE).measure(VIDEO.float())
    fields: dict[str, Any] = {} if name in ("pinv", "tikhonov", "onenet", "videoonet") else {"max_steps": 5}
    got = solve(dataclasses.replace(problem, y=problem.y.to(dtype)), name, **fields).x
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), solve(problem, name, **fields).x, rtol=0, atol=0.02)


def test_tuning_needs_lists_that_fit() -> None:
    problem = forward_model("pid", SHAPE).measure(VIDEO)
    solver, axes = AdmmTV(max_steps=1), {"weight": [0.01, 0.1]}
    with pytest.raises(SpecError, match="a list of at least one problem"):
        tune(problem, solver, axes)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="values to try for weight, got none"):
        tune([problem], solver, {"weight": []})
    with pytest.raises(ShapeError, match="is a video of"):
        tune([problem], solver, axes, [VIDEO[:1]])
