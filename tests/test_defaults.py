"""The fields that solvers take for the named problems."""

import dataclasses
import itertools

import pytest
import torch
from videos import inpainting, smooth_video

from linops_video import PROBLEMS, Diagonal, InverseProblem, forward_model
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import psnr
from linops_video.solvers import (
    SOLVERS,
    AdmmTV,
    run,
    solve,
)
from linops_video.solvers.defaults import tuned
from linops_video.solvers.tuned import TUNED


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
def test_every_problem_has_tuned_fields(solver):
    assert set(TUNED[solver]) == set(PROBLEMS)
    for rows in TUNED[solver].values():
        assert all(type(entry) is SOLVERS[solver] for entry in rows.values())


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
@pytest.mark.parametrize("name", [*PROBLEMS, None])
def test_defaults_follow_the_noise(solver, name):
    """Beyond the tuned levels the weight is proportional to σ."""
    A = Diagonal(torch.ones(1, 1, 1, 1), (2, 3, 4, 4))

    def at(std):
        found = tuned(solver, InverseProblem(A, torch.zeros(2, 3, 4, 4), std, name))
        assert found is not None
        return found

    for less, more in itertools.pairwise(at(std) for std in (0.1, 0.2, 0.4)):
        assert more.weight == pytest.approx(2 * less.weight)
        assert more.rho >= less.rho
    assert at(torch.tensor([0.3, 0.3])) == at(0.3)
    assert 0 < at(0.0).weight <= at(0.1).weight


def test_own_fields_replace_the_defaults():
    problem = inpainting(4, 1, 8, 8)
    named = dataclasses.replace(problem, name="sr4")
    solution = solve(named, "admm-tv", max_steps=2, tol=0.0)
    default = tuned("admm-tv", named)
    assert default is not None
    assert default != AdmmTV()
    expected = run(dataclasses.replace(default, max_steps=2, tol=0.0), named)
    torch.testing.assert_close(solution.x, expected.x, rtol=0, atol=0)
    of_object = solve(problem, AdmmTV(max_steps=9, tol=0.0), max_steps=2)
    torch.testing.assert_close(of_object.x, run(AdmmTV(max_steps=2, tol=0.0), problem).x, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["pid", "si", "sr2", "fi2", "denoise"])
@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
def test_tuned_defaults_beat_the_pseudoinverse(name, solver):
    truth = smooth_video()
    problem = forward_model(name, tuple(truth.shape)).measure(truth)
    pinv = psnr(solve(problem, "pinv").x, truth).item()
    assert psnr(solve(problem, solver).x, truth).item() > pinv + 1


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv"])
@pytest.mark.parametrize("noise_std", [0.0, EIGHT_BIT_NOISE, 0.005])
def test_less_noise_than_was_tuned_is_no_worse(solver, noise_std):
    """Missing entries fill up in the steps of the row, whatever the noise."""
    truth = smooth_video()
    model = forward_model("pid", tuple(truth.shape))
    problems = [dataclasses.replace(model, noise_std=std).measure(truth) for std in (noise_std, 0.02)]
    less, tuned_for = (psnr(solve(problem, solver).x, truth).item() for problem in problems)
    assert less > tuned_for - 0.5
