"""An operator cut to a part of the video is what its measurements say that see nothing else."""

import random

import pytest
import torch
from zoo import ZOO, Animal, animal, normal_numbers
from zoo.paths import asked_of

from linops_video import BoxMean, Convolution, Dense, Diagonal, Identity, forward_model
from linops_video.algebra.operator import Compose
from linops_video.errors import CutError, ShapeError
from linops_video.films.cut import Bounds, cut, cut_problem, shape_of, whole
from linops_video.operators.select import Slice

UNCUT = {"cs", "vcs"}


def sample(x: torch.Tensor, box: Bounds) -> torch.Tensor:
    return x[(..., *(slice(a, b) for a, b in box))]


def boxes(shape: tuple[int, ...], seed: int, number: int = 12) -> list[Bounds]:
    """Random boxes, most of them whole along some axes."""
    draw = random.Random(seed)

    def ends(n: int) -> tuple[int, int]:
        a, b = sorted(draw.sample(range(n + 1), 2))
        return (0, n) if draw.random() < 0.4 else (a, b)

    return [tuple(ends(n) for n in shape) for _ in range(number)]


def check(A, box: Bounds) -> bool:
    """The law, where the operator can be cut there: equal measurements, whatever lies outside the box."""
    try:
        part, outputs = cut(A, box)
    except CutError:
        return False
    assert part.in_shape == shape_of(box)
    assert part.out_shape == shape_of(outputs)
    r = normal_numbers(3)
    for _ in range(2):
        x = r(*A.batch_shape, *A.in_shape)
        expected, got = sample(A(x), outputs), part(sample(x, box))
        assert got.shape == expected.shape
        assert (got - expected).abs().max() <= 1e-10 * max(1, expected.abs().max())
    return True


@asked_of()
def test_a_cut_operator_measures_its_part(entry: Animal):
    A = animal(entry)
    assert check(A, whole(A.in_shape))
    for box in boxes(A.in_shape, seed=len(entry.name)):
        check(A, box)


def test_most_operators_are_cut_somewhere():
    """So that the law above says something."""
    animals = [animal(entry) for entry in ZOO]
    assert sum(any(check(A, box) for box in boxes(A.in_shape, seed=0)) for A in animals) > 0.7 * len(animals)


@pytest.mark.parametrize("boundary", ["full", "same", "valid", "circular"])
@pytest.mark.parametrize("kernel", [(3, 3), (4, 2), (1, 5)])
def test_a_convolution_keeps_the_measurements_that_see_the_tile_and_nothing_beyond_the_frame(boundary, kernel):
    A = Convolution(normal_numbers(0)(*kernel), (1, 12, 11), boundary)
    for box in [((0, 1), *rows_columns) for rows_columns in boxes((12, 11), seed=1, number=40)]:
        rows, columns = (b - a - k + 1 for (a, b), k in zip(box[1:], kernel, strict=True))
        assert check(A, box) == (rows > 0 and columns > 0) or box[1:] == ((0, 12), (0, 11))
        if check(A, box) and box[1:] != ((0, 12), (0, 11)):
            assert cut(A, box)[0].out_shape == (1, rows, columns)
            assert getattr(cut(A, box)[0], "boundary", None) == "valid"


@pytest.mark.parametrize("spec", ["pid", "bi", "si", "sr2", "sr4", "dd", "md", "tdd", "fi2", "fi4", "color", "denoise"])
@pytest.mark.parametrize("box", [((3, 11), (0, 3), (8, 28), (0, 32)), ((0, 16), (0, 3), (0, 20), (9, 32))])
def test_named_problems_are_cut(spec, box):
    A = forward_model(spec, (16, 3, 32, 32)).operator.to(dtype=torch.float64)
    assert check(A, box)


def test_aligned_tiles_keep_their_kind():
    part, _ = cut(BoxMean(4, (8, 3, 64, 64)), ((2, 6), (0, 3), (16, 48), (0, 32)))
    assert isinstance(part, BoxMean)
    part, _ = cut(BoxMean(4, (8, 3, 64, 64)), ((2, 6), (0, 3), (17, 48), (0, 32)))
    assert isinstance(part, Compose)
    part, _ = cut(Convolution(torch.ones(3, 3), (8, 1, 64, 64), "full"), ((0, 8), (0, 1), (8, 32), (8, 32)))
    assert isinstance(part, Convolution)
    assert part.boundary == "valid"


@pytest.mark.parametrize("spec", sorted(UNCUT))
def test_measurements_of_the_whole_film_are_refused(spec):
    A = forward_model(spec, (8, 1, 8, 8)).operator
    with pytest.raises(CutError, match="cannot be cut to a window or tile"):
        cut(A, ((0, 4), (0, 1), (0, 8), (0, 8)))


def test_a_part_without_measurements_is_refused():
    A = forward_model("fp50", (16, 1, 8, 8)).operator
    with pytest.raises(CutError, match="no measurement that sees this part"):
        cut(A, ((8, 16), (0, 1), (0, 8), (0, 8)))
    with pytest.raises(CutError, match="no measurement"):
        cut(Convolution(torch.ones(5, 5), (1, 16, 16), "valid"), ((0, 1), (0, 4), (0, 16)))
    with pytest.raises(CutError, match="each of its rows sees others too"):
        cut(Dense(torch.ones(3, 8), (8,), (3,)), ((0, 4),))


@pytest.mark.parametrize("box", [((0, 4),), ((0, 0), (0, 4)), ((0, 5), (0, 4)), ((-1, 2), (0, 4))])
def test_boxes_must_lie_inside(box):
    with pytest.raises(ShapeError, match="empty, or not inside"):
        cut(Identity((4, 4)), box)


def test_a_problem_is_cut_with_its_measurements():
    video = torch.rand(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    problem = forward_model("pid", (2, 8, 3, 16, 16), seed=3).measure(video)
    part = cut_problem(problem, ((2, 8), (0, 3), (0, 8), (4, 16)))
    assert (part.noise_std, part.name) == (0.1, "pid")
    assert torch.equal(part.y, problem.y[:, 2:8, :, 0:8, 4:16])
    assert torch.equal(part.operator(video[:, 2:8, :, 0:8, 4:16]), problem.operator(video)[:, 2:8, :, 0:8, 4:16])
    assert isinstance(part.operator, Diagonal)


def test_slices_that_keep_every_second_entry_keep_their_phase():
    A = Slice((slice(1, None, 2),), (9,))
    for start in range(7):
        for stop in range(start + 2, 10):
            assert check(A, ((start, stop),))
