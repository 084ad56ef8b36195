"""What torch's transformations need of an operator: `torch.compile` without graph breaks, vmap, jvp and vjp."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from zoo import Animal, animal, normal_numbers, solver
from zoo.paths import KINDS, PATHS, asked_of

from linops_video import Convolution, Diagonal, LinearOperator, NormalSolver, Select
from linops_video.errors import SpecError

Maps = dict[str, tuple[Callable[[Tensor], Tensor], Tensor]]


def random_like(A: LinearOperator, shape: tuple[int, ...], seed: int) -> Tensor:
    r = normal_numbers(seed)
    return torch.complex(r(*shape), r(*shape)) if A.is_complex() else r(*shape)


def maps(normal: NormalSolver) -> Maps:
    """Apply, adjoint, and where it is exact the normal solve, each with a tensor to apply it to."""
    A = normal.operator
    x, y = random_like(A, (*A.batch_shape, *A.in_shape), 1), random_like(A, (*A.batch_shape, *A.out_shape), 2)
    found: Maps = {"apply": (A, x), "adjoint": (A.H, y)}
    if normal.exact:
        found["normal solve"] = (lambda b: normal(0.3, b), x)
        found["pinv"] = (normal.pinv, y)
    return found


def close(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@asked_of(PATHS)
def test_vmap_jvp_and_vjp(entry: Animal):
    normal = solver(entry)
    A, found = normal.operator, maps(normal)
    transposed = {"apply": A.H, "adjoint": A, "normal solve": found.get("normal solve", (A, None))[0]}
    for name, (map, x) in found.items():
        tangent = x.flip(-1)
        straight, image = map(x), map(tangent)
        batch = torch.stack((x, tangent), -1)
        close(torch.func.vmap(map, in_dims=-1, out_dims=1)(batch), torch.stack((straight, image), 1))
        value, derivative = torch.func.jvp(map, (x,), (tangent,))[:2]
        close(value, straight)
        close(derivative, image)
        if name in transposed:
            close(torch.func.vjp(map, x)[1](image)[0], transposed[name](image))


def test_a_norm_found_by_iteration_in_vmap():
    shape, kernel, weights = (2, 1, 8, 8), normal_numbers(1)(3, 3), normal_numbers(2)(3, 2, 1, 8, 8)
    A = Convolution(kernel, shape) @ Diagonal(weights[0], shape)
    close(torch.func.vmap(lambda x: A(x) / A.norm())(weights), A(weights) / A.norm())
    with pytest.raises(SpecError, match=r"an iteration that torch.func.vmap cannot go over: give .* batch axes"):
        torch.func.vmap(lambda d: (Convolution(kernel, shape) @ Diagonal(d, shape)).norm())(weights)


def test_a_solve_by_iteration_says_in_vmap_that_it_has_none():
    shape, kernel, weights = (2, 1, 8, 8), normal_numbers(1)(3, 3), normal_numbers(2)(3, 2, 1, 8, 8)
    blur = Convolution(kernel, shape, "circular")
    with pytest.raises(
        SpecError, match=r"solves by iteration.* cannot be transformed .* batch axes in the place of vmap"
    ):
        torch.func.vmap(lambda d: NormalSolver.of(Diagonal(d, shape) @ blur)(0.3, weights[0]))(weights)


@asked_of(KINDS)
def test_compiles_to_one_graph(entry: Animal):
    """A data step: apply, adjoint and, where it is exact, the normal solve."""
    A = animal(entry)
    normal = NormalSolver.of(A)

    def step(v: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return A.H(y), normal.prox(0.3, v, y) if normal.exact else A(v)

    v = random_like(A, (*A.batch_shape, *A.in_shape), 1)
    y = A(v.flip(-1))
    torch.compiler.reset()
    compiled = torch.compile(step, fullgraph=True, backend="eager")(v, y)
    for got, expected in zip(compiled, step(v, y), strict=True):
        close(got, expected)


@asked_of(PATHS)
def test_tensors_stay_on_their_device(entry: Animal):
    """On "meta", where nothing is computed, but any tensor made elsewhere is refused."""
    A = animal(entry).to(device="meta")
    x, y = (random_like(A, (*A.batch_shape, *shape), 1).to("meta") for shape in (A.in_shape, A.out_shape))
    for map, given, like in ((A, x, y), (A.H, y, x)):
        got = map(given)
        assert (got.device.type, got.shape, got.dtype) == ("meta", like.shape, like.dtype)


@pytest.mark.slow  # half a minute for the first call of the compiler
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning")
@pytest.mark.skipif(not shutil.which("g++") or sys.platform == "win32", reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("name", ["mask", "circular blur", "every second frame of a mask"])
def test_inductor(name: str):
    r, shape = normal_numbers(0), (4, 3, 8, 8)
    mask = Diagonal((r(*shape) > 0).double(), shape)
    A = {
        "mask": mask,
        "circular blur": Convolution(r(3, 3), shape, "circular"),
        "every second frame of a mask": Select((0, 2), 0, shape) @ mask,
    }[name]
    normal = NormalSolver.of(A)
    x, y = r(2, *A.in_shape), r(2, *A.out_shape)
    step = torch.compile(lambda v, y: normal.prox(0.3, v, y), fullgraph=True)
    close(step(x, y), normal.prox(0.3, x, y))
