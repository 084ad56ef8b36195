"""Long videos in windows and large frames in tiles: spans that overlap, and the blend of what was solved in them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linops_video import InverseProblem, Solution
from linops_video.errors import CutError, SpecError
from linops_video.films.cut import Bounds, cut_problem, whole
from linops_video.films.heap import release_freed_memory
from linops_video.solvers.iteration import OnStep, Solver, check_problem, run

TILE = (320, 448)
"""Most rows and columns of a tile: matrix products along an axis cost more per pixel the longer it is, and
large tensors are given new pages each time. A whole 240p frame, 240 × 424, is one tile."""

MARGIN = 32
"""Rows and columns that neighbouring tiles share."""

EDGE = 8
"""Of these, at each side, those that count for the neighbour alone."""

ALIGNMENT = 8
"""Tiles start at multiples of 8: box means of 2, 4 and 8, colour mosaics and the scales of the networks fit in."""

ONE_PIECE = 3 * 32 * TILE[0] * TILE[1]
"""Most entries of a video larger than a tile that is solved in one piece: those of a window of one tile."""

Span = tuple[int, int]

Tile = tuple[Bounds, Tensor, InverseProblem]
"""Where it lies, its weights, shape (rows, columns), and its problem, which views the measurements of the whole."""


def spans(n: int, size: int, overlap: int, multiple: int = 1) -> list[Span]:
    """Spans (start, stop) of at most `size` that cover 0 … n − 1, as equal as can be, the fewest that there can be.

    Neighbours share `overlap` entries or a few more; starts are multiples of `multiple`, stops too but the last one.

    Raises `SpecError` unless 3·overlap ≤ size, with both multiples of `multiple`: so no entry lies in three spans.

    Example:
        >>> spans(100, 40, 8), spans(30, 40, 8)
        ([(0, 39), (30, 69), (61, 100)], [(0, 30)])
    """
    if overlap < 0 or 3 * overlap > size or size < 1 or size % multiple or overlap % multiple:
        raise SpecError(
            f"spans overlap by a third of their size at most, both multiples of {multiple}; got {overlap} and {size}"
        )
    if n <= size:
        return [(0, n)]
    units, length, shared = -(-n // multiple), size // multiple, overlap // multiple
    count = -(-(units - shared) // (length - shared))
    length = -(-(units + (count - 1) * shared) // count)
    starts = [round(i * (units - length) / (count - 1)) for i in range(count)]
    return [(start * multiple, min(n, (start + length) * multiple)) for start in starts]


def ramp(all_spans: Sequence[Span], index: int, edge: int = 0) -> Tensor:
    """The weights of one span: 1, falling linearly where it overlaps with a neighbour; those of all spans add up to 1.

    The outermost `edge` entries, which measurements may be missing for that reach beyond the span, have weight 0.

    Example:
        >>> ramp([(0, 4), (2, 6)], 0)
        tensor([1.0000, 1.0000, 0.7500, 0.2500])
    """
    start, stop = all_spans[index]
    weights = torch.ones(stop - start)

    def rise(shared: int) -> Tensor:
        return ((torch.arange(shared) + 0.5 - edge) / (shared - 2 * edge)).clamp(0, 1)

    if index > 0:
        shared = all_spans[index - 1][1] - start
        weights[:shared] = rise(shared)
    if index + 1 < len(all_spans):
        shared = stop - all_spans[index + 1][0]
        weights[len(weights) - shared :] = 1 - rise(shared)
    return weights


def tiles_of(height: int, width: int) -> tuple[list[Span], list[Span]]:
    """Spans of rows and of columns for frames of a size."""
    rows, columns = TILE
    return spans(height, rows, MARGIN, ALIGNMENT), spans(width, columns, MARGIN, ALIGNMENT)


def run_in_tiles(solver: Solver, problem: InverseProblem, on_step: OnStep | None = None) -> Solution:
    """`run`, but frames larger than `TILE` are solved in overlapping tiles and blended, so that time and memory per
    pixel do not grow with the frame.

    Each tile is the problem that its own measurements pose (`cut`): nothing is approximated there, and a measurement
    that sees two tiles is used in the overlap only if it lies within one of them. A problem that cannot be cut is
    solved whole, and up to `ONE_PIECE` entries by a solver without iterations, whose answer is to be exact. What is
    solved in tiles has no `state` and no `residuals`.

    Raises what `run` raises.

    Example:
        >>> from linops_video import forward_model
        >>> from linops_video.solvers import Pinv
        >>> problem = forward_model("sr4", (1, 3, 64, 512)).measure(torch.rand(1, 3, 64, 512))
        >>> run_in_tiles(Pinv(), problem).x.shape
        torch.Size([1, 3, 64, 512])
    """
    return run_tiles(solver, problem, cut_in_tiles(solver, problem), on_step)


def run_tiles(
    solver: Solver, problem: InverseProblem, tiles: Sequence[Tile], on_step: OnStep | None = None
) -> Solution:
    """`run_in_tiles` for tiles that are cut already, by `cut_in_tiles`."""
    if len(tiles) == 1:
        return run(solver, problem, on_step)
    check_problem(problem)
    first = tiles[0][2]
    back = first.operator.H(first.y)  # made first, in one piece of memory, not amid what the tiles leave
    total, statuses, steps = back.new_zeros(*problem.batch_shape, *problem.operator.in_shape), [], 0
    del back
    for number, (box, weight, cut) in enumerate(tiles):
        part = run(solver, cut, _shifted(on_step, number * solver.max_steps))
        total[(..., *(slice(a, b) for a, b in box))] += weight.to(part.x) * part.x
        statuses.append(part.status)
        steps = max(steps, part.steps)
        del part  # with its state, several times as large: gone before the next tile is solved
        if getattr(solver, "hands_back", False):
            release_freed_memory()
    status = "max_steps" if "max_steps" in statuses else statuses[0]
    of_whole = getattr(solver, "of_whole", None)
    return Solution(total if of_whole is None else of_whole(first, total), status, steps)


def cut_in_tiles(solver: Solver, problem: InverseProblem) -> list[Tile]:
    """The tiles of a problem; one for frames that are small, cannot or need not be cut."""
    shape = problem.operator.in_shape
    alone = [(whole(shape), torch.ones(()), problem)]
    direct = solver.max_steps == 0 and math.prod(shape) <= ONE_PIECE
    if len(shape) != 4 or isinstance(problem.y, tuple) or direct:
        return alone
    rows, columns = tiles_of(*shape[-2:])
    tiles = []
    try:
        for i, j in itertools.product(range(len(rows)), range(len(columns))):
            box = (*whole(shape[:2]), rows[i], columns[j])
            weight = ramp(rows, i, EDGE).unsqueeze(1) * ramp(columns, j, EDGE)
            tiles.append((box, weight, cut_problem(problem, box)))
    except CutError:
        return alone
    return tiles


def _shifted(on_step: OnStep | None, done: int) -> OnStep | None:
    """Steps of later tiles count on from those of the tiles before."""
    if on_step is None:
        return None

    def shifted(step: int, state: Any, residual: float) -> None:
        on_step(done + step, state, residual)

    return shifted
