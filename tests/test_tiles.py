"""Frames in tiles: the parts cover everything, and give what the whole frame gives."""

import itertools

import pytest
import torch
from videos import film_clip

from linops_video import forward_model
from linops_video.errors import SpecError
from linops_video.metrics import psnr
from linops_video.solvers import AdmmTV, VideoOneNet, run
from linops_video.solvers.tiles import ALIGNMENT, cut_in_tiles, ramp, run_in_tiles, spans


@pytest.mark.parametrize(
    ("size", "overlap", "multiple"), [(32, 8, 4), (448, 32, 8), (320, 32, 8), (24, 8, 8), (9, 3, 1), (7, 0, 1)]
)
def test_spans_cover_everything_with_weights_that_add_up_to_one(size, overlap, multiple):
    for n in range(1, 6 * size + 3, 1 if size < 40 else 13):
        parts = spans(n, size, overlap, multiple)
        total = torch.zeros(n)
        for index, (start, stop) in enumerate(parts):
            assert 0 < stop - start <= size
            assert start % multiple == 0
            weights = ramp(parts, index)
            assert weights.min() > 0
            total[start:stop] += weights
        assert (total - 1).abs().max() < 1e-6
        assert parts[-1][1] == n
        assert all(stop - start >= overlap for (_, stop), (start, _) in itertools.pairwise(parts))
        assert all(later[0] >= earlier[1] for earlier, later in zip(parts, parts[2:], strict=False))


def test_the_edges_of_tiles_count_nothing_where_they_overlap():
    parts, edge = spans(200, 64, 20, 4), 3
    total, weights = torch.zeros(200), [ramp(parts, index, edge) for index in range(len(parts))]
    for index, (start, stop) in enumerate(parts):
        total[start:stop] += weights[index]
        assert index == 0 or not weights[index][:edge].any()
        assert index + 1 == len(parts) or not weights[index][-edge:].any()
    torch.testing.assert_close(total, torch.ones(200))


def test_spans_that_would_meet_in_threes_are_refused():
    with pytest.raises(SpecError, match="by a third of their size at most"):
        spans(100, 20, 8)


@pytest.mark.parametrize("spec", ["sr2", "sr4", "pid", "dd", "color", "fi2"])
def test_tiles_give_what_the_whole_frame_gives(monkeypatch, spec):
    video = film_clip(4, 90, 101)
    problem = forward_model(spec, tuple(video.shape), seed=1).measure(video)
    solver = AdmmTV(rho=0.05, weight=0.005, max_steps=15, tol=0)
    whole = run(solver, problem).x
    monkeypatch.setattr("linops_video.solvers.tiles.TILE", (56, 56))
    monkeypatch.setattr("linops_video.solvers.tiles.MARGIN", 16)
    steps = []
    tiled = run_in_tiles(solver, problem, lambda step, state, residual: steps.append(step))
    assert len(cut_in_tiles(solver, problem)) == 6
    assert steps == list(range(1, 6 * 15 + 1))
    assert (tiled.status, tiled.steps) == ("max_steps", 15)
    edge = 8 if spec == "dd" else 0  # whose measurements at the edge of the frame are left out in tiles
    inner = (..., slice(edge, 90 - edge), slice(edge, 101 - edge))
    assert abs(psnr(tiled.x[inner], video[inner]) - psnr(whole[inner], video[inner])) < 0.1
    assert (tiled.x - whole)[inner].abs().max() < 0.05


@pytest.mark.parametrize(
    ("kind", "fields", "handed_back"),
    [(AdmmTV, {"max_steps": 3, "tol": 0}, False), (VideoOneNet, {"weights": "videoonet-fast"}, True)],
)
def test_networks_hand_back_what_a_tile_leaves(monkeypatch, kind, fields, handed_back):
    """A classical solver uses it again: new pages would take it time."""
    solver = kind(**fields)
    monkeypatch.setattr("linops_video.solvers.tiles.TILE", (56, 56))
    monkeypatch.setattr("linops_video.solvers.tiles.MARGIN", 16)
    steps, releases = [], []
    monkeypatch.setattr("linops_video.solvers.tiles.release_freed_memory", lambda: releases.append(len(steps)))
    problem = forward_model("denoise", (2, 3, 40, 96)).measure(film_clip(2, 40, 96))
    run_in_tiles(solver, problem, lambda step, state, residual: steps.append(step))
    each = len(steps) // len(cut_in_tiles(solver, problem))
    assert 0 < each < len(steps)
    assert releases == (list(range(each, len(steps) + 1, each)) if handed_back else [])


def test_a_problem_that_cannot_be_tiled_is_solved_whole(monkeypatch):
    video = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    problem = forward_model("cs", (4, 1, 16, 16)).measure(video)
    monkeypatch.setattr("linops_video.solvers.tiles.TILE", (2 * ALIGNMENT - 8,) * 2)
    monkeypatch.setattr("linops_video.solvers.tiles.MARGIN", 0)
    assert torch.equal(run_in_tiles(AdmmTV(max_steps=2, tol=0), problem).x, run(AdmmTV(max_steps=2, tol=0), problem).x)
