"""The named problems: their definitions, seeds and noise, and the accuracy of their inverses at the paper's sizes."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import lru_cache

import pytest
import torch

from linops_video import PROBLEMS, ForwardModel, LinearOperator, NormalSolver, batch, collate, forward_model
from linops_video.errors import MemoryLimitError, ShapeError, SpecError
from linops_video.operators.kernels import disk, motion_line, motion_line_3

PAPER_SIZES = [(9, 1, 14, 14), (4, 3, 16, 16), (4, 3, 32, 32)]
SMALL = (9, 1, 14, 14)
every_problem = pytest.mark.parametrize("name", PROBLEMS)


def length(x: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(x.double()))


@lru_cache(maxsize=1)
def with_norm(name: str, shape: tuple[int, ...]) -> tuple[LinearOperator, float]:
    """In float64, once for both precisions."""
    A = forward_model(name, shape).operator.to(dtype=torch.float64)
    return A, float(A.norm())


@pytest.mark.parametrize(("dtype", "adjoint_bar", "bar"), [(torch.float64, 1e-14, 1e-12), (torch.float32, 1e-6, 1e-6)])
@pytest.mark.parametrize("shape", PAPER_SIZES, ids=str)
@every_problem
def test_adjoint_and_inverse(
    name: str, shape: tuple[int, ...], dtype: torch.dtype, adjoint_bar: float, bar: float
) -> None:
    exact, norm = with_norm(name, shape)
    A = exact.to(dtype=dtype)
    normal = NormalSolver.of(A)
    assert "cg" not in normal.method
    generator = torch.Generator().manual_seed(1)
    x, v = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    y = torch.randn(A.out_shape, generator=generator, dtype=dtype)
    measured, back = A(x), A.T(y)

    for other, adjoint in ((y, back), (measured, A.T(measured))):
        products = float((measured.double() * other.double()).sum()), float((x.double() * adjoint.double()).sum())
        assert abs(products[0] - products[1]) <= adjoint_bar * norm * length(x) * length(other)

    solved, of_y = [], exact.T(y.double())
    for rho in (1e-3, 0.3, 30.0):
        solved += [(rho, b.double(), normal(rho, b).double()) for b in (x, back)]
        solved.append((rho, of_y + rho * v.double(), normal.prox(rho, v, y).double()))
    grams = exact.T(exact(torch.stack([z for _, _, z in solved])))
    for (rho, b, z), gram in zip(solved, grams, strict=True):
        assert length(gram + rho * z - b) <= bar * ((norm**2 + rho) * length(z) + length(b))


@every_problem
def test_pinv_gives_back_what_was_measured(name: str) -> None:
    A = forward_model(name, SMALL).operator.to(dtype=torch.float64)
    y = A(torch.rand(SMALL, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    z = NormalSolver.of(A).pinv(y)
    assert length(A(z) - y) <= 1e-8 * length(y)


@every_problem
def test_one_operator_a_sample(name: str) -> None:
    batch = forward_model(name, (2, 4, 3, 8, 8), seed=3).operator.to(dtype=torch.float64)
    x = torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rho = torch.tensor([0.01, 2.0], dtype=torch.float64)
    z = NormalSolver.of(batch)(rho, x)
    for i in range(2):
        own = batch if not batch.batch_shape else batch._map_tensors(lambda t, n, i=i: t[i] if t.ndim > n else t)
        assert torch.allclose(batch(x)[i], own(x[i]), rtol=1e-12, atol=1e-12)
        assert torch.allclose(z[i], NormalSolver.of(own)(float(rho[i]), x[i]), rtol=1e-10, atol=1e-10)
    random = {"pid", "si", "cs", "vcs", "md", "md3"}
    assert (batch.batch_shape == (2,)) == (name in random)


@every_problem
def test_a_seed_decides(name: str) -> None:
    video = torch.rand(SMALL, generator=torch.Generator().manual_seed(0))
    first, again, other = (forward_model(name, SMALL, seed).measure(video, seed) for seed in (5, 5, 6))
    assert torch.equal(first.y, again.y)
    if name in {"pid", "si", "cs", "vcs", "md", "denoise"}:
        assert not torch.equal(first.y, other.y)


@pytest.mark.parametrize("spec", ["identity", "transpose(t, c, h, w)", "resize(8, 8, bicubic)", "wavelet(haar, 0)"])
def test_a_measurement_is_not_the_video_itself(spec: str) -> None:
    video, model = torch.rand(4, 3, 8, 8), forward_model(spec, (4, 3, 8, 8))
    kept = video.clone()
    problem = model.measure(video)
    problem.y.add_(1)
    for part in ForwardModel(batch([model.operator])).measure(video).y:
        part.add_(1)
    assert torch.equal(video, kept)
    assert torch.equal(problem.y, model.operator(video) + 1)


def test_noise_is_white_and_of_the_stated_size() -> None:
    model = forward_model("denoise", (32, 3, 32, 32))
    noise = model.measure(torch.zeros(32, 3, 32, 32)).y
    assert float(noise.std()) == pytest.approx(0.1, rel=0.01)
    assert abs(float(noise.mean())) < 1e-3
    half = forward_model("pid", (32, 3, 32, 32)).operator(torch.ones(32, 3, 32, 32))
    assert float(half.mean()) == pytest.approx(0.5, abs=0.01)
    correlation = torch.corrcoef(torch.stack([half.flatten(), noise.flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.02


def test_shapes_of_the_paper() -> None:
    def shape(name: str, frames: int = 9) -> tuple[int, ...]:
        return forward_model(name, (frames, 1, 14, 14)).operator.out_shape

    assert [shape("fi2")[0], shape("fi4")[0], shape("fi2", 4)[0], shape("fi4", 4)[0]] == [4, 2, 2, 1]
    assert [shape(f"fp{p}")[0] for p in (25, 50, 75)] == [7, 5, 3]
    assert [shape(f"fp{p}", 4)[0] for p in (25, 50, 75)] == [3, 2, 1]
    assert shape("sr4") == (9, 1, 3, 3)
    assert shape("dd") == (9, 1, 17, 17)
    assert shape("tdd") == (12, 1, 14, 14)
    assert shape("cs") == (176,)
    assert shape("vcs") == (14 * 14 + 8 * 20,)


def test_masks_of_the_paper() -> None:
    ones = torch.ones(9, 1, 14, 14)
    block = forward_model("bi", (9, 1, 14, 14)).operator(ones)
    assert float((block == 0).sum()) == 9 * 5**2
    assert bool((block[:, :, 4:9, 4:9] == 0).all())
    scattered = forward_model("si", (9, 3, 20, 30)).operator(torch.ones(9, 3, 20, 30))
    hidden = (scattered == 0).sum((-2, -1))
    assert bool((hidden >= 16).all())
    assert bool((hidden <= 160).all())
    assert bool((hidden[:, :1] == hidden).all()), "a square is missing in all channels"
    assert not torch.equal(scattered[0], scattered[1]), "squares move from frame to frame"


def test_colour_is_luma_and_the_identity_on_grey() -> None:
    rgb = torch.rand(2, 3, 4, 4)
    expected = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    assert torch.allclose(forward_model("color", (2, 3, 4, 4)).operator(rgb), expected)
    assert torch.equal(forward_model("color", (2, 1, 4, 4)).operator(rgb[:, :1]), rgb[:, :1])


def test_kernels() -> None:
    corners = disk(4, 2.0)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert bool((corners == 0).all())
    assert torch.allclose(disk(4, 2.0)[disk(4, 2.0) > 0], torch.tensor(1 / 12))
    angles = torch.linspace(0, 360, 100)
    for kernels in (motion_line(angles), motion_line_3(angles)):
        assert torch.allclose(kernels.sum((-2, -1)), torch.ones(100, dtype=torch.float64))
        assert bool((kernels >= 0).all())
    level, upright = motion_line(torch.tensor([0.0, 90.0]))
    assert torch.allclose(level[3], torch.full((7,), 1 / 7, dtype=torch.float64))
    assert torch.allclose(upright, level.T, atol=1e-12)
    assert torch.allclose(motion_line(torch.tensor(30.0)), motion_line(torch.tensor(210.0)), atol=1e-12)
    assert torch.allclose(motion_line_3(torch.tensor(0.0))[2], torch.full((3,), 1 / 3, dtype=torch.float64))


def test_differences_of_the_video_compressive_sensing() -> None:
    A = forward_model("vcs", (3, 2, 4, 4)).operator
    x = torch.rand(3, 2, 4, 4)
    first, rest = A.split(A(x))  # type: ignore[attr-defined]
    assert torch.equal(first, x[:1])
    still = A.split(A(x[:1].expand(3, -1, -1, -1)))[1]  # type: ignore[attr-defined]
    assert float(still.abs().max()) == 0
    assert rest.shape == (2, 2, 2)


def test_errors() -> None:
    with pytest.raises(SpecError, match=r"unknown name 'sr3': did you mean sr, sr4 or sr2"):
        forward_model("sr3", SMALL)
    with pytest.raises(SpecError, match=r"known are .* pid, "):
        forward_model("zzzzzzz", SMALL)
    with pytest.raises(ShapeError, match=r"\(T, C, H, W\)"):
        forward_model("sr2", (14, 14))
    with pytest.raises(ShapeError, match="at least 4 frames, got 3"):
        forward_model("fi4", (3, 1, 8, 8))
    with pytest.raises(ShapeError, match="at least 4×4, got 3×8"):
        forward_model("sr4", (3, 1, 3, 8))
    with pytest.raises(ShapeError, match="3 channels"):
        forward_model("color", (3, 2, 8, 8))
    with pytest.raises(MemoryLimitError, match=r"needs \d+\.\d GB in float32"):
        forward_model("cs", (300, 3, 1080, 1920))


@pytest.mark.parametrize(("height", "width"), list(itertools.product((13, 16), (11, 16))))
@every_problem
def test_any_frame_size(name: str, height: int, width: int) -> None:
    shape = (5, 3, height, width)
    problem = forward_model(name, shape).measure(torch.rand(shape))
    z = NormalSolver.of(problem.operator).prox(0.1, torch.zeros(shape), problem.y)
    assert z.shape == shape
    assert math.isfinite(float(z.sum()))


def test_noise_may_be_another_one_for_each_sample():
    """Also of a batch of operators, and where problems with one and with several are put together."""
    std, videos = torch.tensor([0.0, 0.1, 0.2], dtype=torch.float64), torch.rand(3, *SMALL)
    model = forward_model("sr2", SMALL)
    one, each = (replace(model, noise_std=s).measure(videos, 3) for s in (0.1, std))
    A = model.operator
    torch.testing.assert_close(each.y - A(videos), 10 * std.float().reshape(3, 1, 1, 1, 1) * (one.y - A(videos)))
    assert replace(model, noise_std=std).measure(videos[0]).y.shape == each.y.shape
    many = batch([A, forward_model("pid", SMALL).operator, A])
    y = ForwardModel(many, std).measure(videos, 3).y
    assert torch.equal(y[0], A(videos[0]))
    assert float((y[2] - A(videos[2])).std()) == pytest.approx(0.2, rel=0.1)
    both = collate([replace(model, noise_std=0.3).measure(videos), each])
    assert torch.as_tensor(both.noise_std).tolist() == torch.stack((torch.full((3,), 0.3), std.float()), -1).tolist()
    with pytest.raises(ShapeError, match=r"a number for each sample of a batch \(3\), got \(2\)"):
        replace(model, noise_std=std[:2]).measure(videos)
