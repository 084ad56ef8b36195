"""Colours too faint to be known are none: a learned solver answers with gray then."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from videos import clip

from linops_video import forward_model
from linops_video.expressions.named_sampling import LUMA
from linops_video.solvers import VideoOneNet, run
from linops_video.solvers.learned.checkpoint import save_network
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.solver import FAINT
from linops_video.solvers.learned.unrolled import Unrolled


@pytest.fixture
def untrained(tmp_path: Path) -> str:
    """Weights that answer with the start."""
    path = tmp_path / "untrained.safetensors"
    save_network(path, Unrolled(Config(steps=2, features=4, coarse=1)), {})
    return str(path)


def gray_of(video: Tensor) -> Tensor:
    return torch.einsum("c,...chw->...hw", video.new_tensor(LUMA), video).unsqueeze(-3)


@pytest.mark.parametrize(("tint", "stays"), [(0.0, False), (0.5 * FAINT, False), (8 * FAINT, True)])
def test_faint_colours_go_and_others_stay(untrained: str, tint: float, stays: bool) -> None:
    colours = torch.tensor([1.0, -0.4, 0.3])[:, None, None]
    truth = clip(4, 1, 16, 16, batch=(1,)) + tint * colours
    problem = forward_model("sr2", tuple(truth.shape[-4:])).measure(truth)
    solver = VideoOneNet(weights=untrained)
    ours, network = run(solver, problem).x, solver.network(problem)
    torch.testing.assert_close(problem.operator(ours), problem.y)
    if stays:
        torch.testing.assert_close(ours, network)
    else:  # what was measured stays
        torch.testing.assert_close(ours - gray_of(ours), truth - gray_of(truth), rtol=0, atol=1e-6)


def test_without_known_colours_the_answer_is_the_measured_gray(untrained: str) -> None:
    truth = clip(4, 3, 16, 16, batch=(2,))
    problem = forward_model("color", tuple(truth.shape[-4:])).measure(truth)
    solution = run(VideoOneNet(weights=untrained), problem)
    torch.testing.assert_close(solution.x, problem.y.expand_as(truth), rtol=0, atol=2e-7)


def test_each_clip_of_a_batch_is_taken_alone(untrained: str) -> None:
    gray, colourful = clip(4, 1, 16, 16, batch=(1,)).expand(-1, -1, 3, -1, -1), clip(4, 3, 16, 16, batch=(1,))
    truth = torch.cat([gray, colourful])
    problem = forward_model("sr2", tuple(truth.shape[-4:])).measure(truth)
    solver = VideoOneNet(weights=untrained)
    both, network = run(solver, problem).x, solver.network(problem)
    torch.testing.assert_close(both[0], gray_of(both[0]).expand_as(both[0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(both[1], network[1])
