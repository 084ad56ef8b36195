"""Networks that take the mean of what they say of mirrored and turned videos."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from linops_video import forward_model
from linops_video.errors import SpecError
from linops_video.solvers import VideoOneNet, run
from linops_video.solvers.learned.blocks import pad_frames
from linops_video.solvers.learned.form import Config
from linops_video.solvers.learned.unrolled import VIEWS, Unrolled


def network(views: int) -> Unrolled:
    """Small, with outputs that are not zero."""
    torch.manual_seed(0)
    made = Unrolled(Config(steps=2, features=4, coarse=1)).double()
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.2)
    made.views = views
    return made.requires_grad_(False)


def features_of(made: Unrolled, fixed: Tensor) -> list[Tensor]:
    """Those of all views of `fixed`, (1, T, 21, H, W)."""
    assert made.context is not None
    features = [made.context([pad_frames(fixed)], torch.zeros(1).double(), axes) for axes in VIEWS]
    return [f.unflatten(0, fixed.shape[:2]) for f in features]


@pytest.mark.parametrize("axes", VIEWS[1:])
@pytest.mark.parametrize("size", [(8, 12), (16, 4)])
def test_a_reversed_video_gives_the_reversed_answer(axes: tuple[int, ...], size: tuple[int, int]) -> None:
    """The four views are a group: reversing exchanges them, and their mean stays."""
    made, generator = network(4), torch.Generator().manual_seed(1)
    fixed = torch.rand(1, 3, 21, *size, generator=generator, dtype=torch.float64)
    videos = torch.rand(5, 1, 3, 3, *size, generator=generator, dtype=torch.float64)
    prior = made.prior[0]

    def said(start: Tensor, videos: Tensor) -> tuple[Tensor, list[Tensor]]:
        features = features_of(made, start)
        return made._over_views(prior, features, tuple(videos[:2]), tuple(videos[2:])), features

    answer, features = said(fixed, videos)
    of_reversed, others = said(fixed.flip(axes), videos.flip(axes))
    torch.testing.assert_close(of_reversed, answer.flip(axes), rtol=0, atol=1e-12)
    assert (answer - answer.flip(axes)).abs().max() > 1e-3
    partner = VIEWS.index(tuple(sorted(set(axes) ^ set(VIEWS[1]))))  # which view of the one is the other's second
    torch.testing.assert_close(others[1], features[partner], rtol=0, atol=1e-12)


def test_one_view_is_the_network_itself() -> None:
    video = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    problem = forward_model("sr2", (2, 3, 8, 8)).to(dtype=torch.float64).measure(video)
    one, two = network(1)(problem), network(2)(problem)
    assert len(network(2).init(problem).features) == 2
    assert (one - two).abs().max() > 1e-4
    torch.testing.assert_close(problem.operator(one), problem.operator(two))  # both fit the measurement


def test_without_derivatives_a_step_takes_the_features_of_the_state_before() -> None:
    """They are most of what is held; with derivatives, which need them, the state stays as it is."""
    video = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    problem, made = forward_model("sr2", (2, 3, 8, 8)).to(dtype=torch.float64).measure(video), network(2)
    start = made.init(problem)
    kept = [features.clone() for features in start.features]
    first, again = made.step(problem, start), made.step(problem, start)
    assert torch.equal(first.z, again.z)
    assert all(torch.equal(a, b) for a, b in zip(start.features, kept, strict=True))
    with torch.no_grad():
        taken = made.step(problem, start)
        torch.testing.assert_close(taken.z, first.z, rtol=0, atol=1e-12)
        assert start.features == []
        with pytest.raises(SpecError, match="take the state that it gave"):
            made.step(problem, start)
        assert made.step(problem, taken).features == []  # nothing follows the last step


def test_the_solver_takes_views() -> None:
    problem = forward_model("sr2", (2, 3, 16, 16)).measure(torch.rand(2, 3, 16, 16))
    one, two = (run(VideoOneNet(views=views), problem).x for views in (1, 2))
    assert one is not None
    assert two is not None
    assert not torch.equal(one, two)
    assert (VideoOneNet().views, VideoOneNet(weights="videoonet-fast").views) == (2, 1)  # as the weights say
    for views in (0, 5):
        with pytest.raises(SpecError, match="views must be 1 to 4"):
            VideoOneNet(views=views)
