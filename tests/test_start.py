"""Where the splitting methods begin: entries that nothing was measured of."""

import itertools

import pytest
import torch
from videos import smooth_video, video

from linops_video import InverseProblem, collate, forward_model
from linops_video.solvers import solve
from linops_video.solvers.start import filled, start


@pytest.mark.parametrize("share", [0.03, 0.5, 1.0])
def test_an_unseen_entry_is_a_mean_of_those_within_reach(share):
    """By matrices: the weights of all entries after each step along T, H, W."""
    x = video(2, 5, 2, 6, 7)
    seen = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < share
    expected, known, whole = x.clone(), seen.clone(), [torch.eye(n).double() for n in (5, 6, 7)]
    for distance, axis in itertools.product((1, 2, 4), range(3)):
        n = len(whole[axis])
        lags = torch.arange(n)[:, None] - torch.arange(n)
        whole[axis] = ((lags == 0) | (lags.abs() == distance)).double() @ whole[axis]
        sums = [torch.einsum("at,bh,cw,ntihw->naibc", *whole, part) for part in (seen * x, seen.double())]
        new = (sums[1] > 0) & ~known
        expected[new] = (sums[0] / sums[1])[new]
        known |= new
    torch.testing.assert_close(filled(x, seen), expected, rtol=0, atol=1e-13)
    assert torch.equal(filled(x, seen)[seen], x[seen])
    assert known.all()


def test_where_nothing_is_seen_nothing_is_made_up():
    x = video(2, 1, 3, 3)
    assert torch.equal(filled(x, torch.zeros(x.shape, dtype=torch.bool)), x)


@pytest.mark.parametrize("noise_std", [0.0, 0.02])
@pytest.mark.parametrize("spec", ["sr4", "pid", "si", "bi", "fi2", "fp50", "mask(0.5) @ fourier(h,w)"])
def test_the_start_explains_the_measurement_as_well_as_before(spec, noise_std):
    """What is filled in is what A does not see."""
    model = forward_model(spec, (4, 3, 18, 17)).to(dtype=torch.float64)
    problem = InverseProblem(model.operator, model.operator(video(4, 3, 18, 17)), noise_std)
    normal, z = start(problem)
    plain = normal(noise_std**2, model.operator.H(problem.y)) if noise_std else normal.pinv(problem.y)
    torch.testing.assert_close(model.operator(z), model.operator(plain), rtol=0, atol=1e-12)


def test_samples_with_operators_of_their_own_begin_as_alone():
    truth = video(4, 3, 10, 9)
    problems = [forward_model(spec, (4, 3, 10, 9)).to(dtype=torch.float64).measure(truth) for spec in ("sr4", "pid")]
    _, together = start(collate(problems))
    for z, problem in zip(together, problems, strict=True):
        torch.testing.assert_close(z, start(problem)[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("solver", ["admm-tv", "admm-wavelet"])
@pytest.mark.parametrize("factor", [2, 4])
def test_rows_that_no_box_covers_do_not_stay_dark(solver, factor):
    """In the few steps that were tuned for sizes that the factor divides."""
    truth = torch.nn.functional.interpolate(smooth_video(), (23, 27), mode="bicubic")
    problem = forward_model(f"sr{factor}", tuple(truth.shape)).measure(truth)
    A = problem.operator
    uncovered = (A.H(A(torch.ones_like(truth))) == 0).nonzero(as_tuple=True)
    assert 0.03 < len(uncovered[0]) / truth.numel() < 0.25
    found = solve(problem, solver).x[uncovered] - truth[uncovered]
    assert found.square().mean() < 0.1 * truth[uncovered].square().mean()
