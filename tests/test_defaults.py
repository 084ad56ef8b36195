"""The fields that solvers take for the named problems."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from videos import inpainting, smooth_video

from linops_video import PROBLEMS, Diagonal, ForwardModel, InverseProblem, collate, forward_model
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.metrics import psnr
from linops_video.solvers import (
    SOLVERS,
    AdmmTV,
    run,
    solve,
)
from linops_video.solvers.defaults import nearest, scale, tuned
from linops_video.solvers.learned.solver import rescaled
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
        assert more.rho == less.rho
    assert at(torch.tensor([0.3, 0.3])) == at(0.3)
    assert 0 < at(0.0).weight <= at(0.1).weight


FAMILIES = {
    "pid": "si",
    "bi": "si",
    "vcs": "cs",
    "md": "dd",
    "md3": "dd",
    "fi4": "fi2",
    "fp25": "fp50",
    "fp75": "fp50",
    "sr(2) @ blur(disk, 4, 2, circular)": "sr2",
    "sr(8)": "sr4",
    "mask(0.5) @ fourier(h,w)": "cs",
    "mask(0.5) @ blur(gaussian, 1, circular)": "dd",
    "2 * every(1)": "denoise",
}


SCALES = {
    "vcs": 1.3,
    "tdd": 0.94,
    "mask(0.5) @ fourier(h,w)": 0.71,
    "mask(0.5) @ blur(gaussian, 1, circular)": 0.77,
    "2 * every(1)": 2.0,
}
"""Of operators whose scale is not 1."""


@pytest.mark.parametrize("spec", [*PROBLEMS, *FAMILIES])
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_problem_without_a_name_takes_the_row_of_the_nearest(spec, batch):
    """Of the same family: by what the operator does, whatever it is called."""
    problem = forward_model(spec, (*batch, 8, 3, 24, 24)).measure(torch.rand(*batch, 8, 3, 24, 24))
    problem = dataclasses.replace(problem, name=None, noise_std=0.02)
    family = FAMILIES.get(spec) or spec
    assert nearest(problem) == family
    if not batch:
        assert nearest(collate([problem, problem])) == family
    s = float(scale(problem).flatten()[0])
    assert s == pytest.approx(SCALES.get(spec, 1.0), rel=0.05)
    for solver in TUNED:
        found, row = tuned(solver, dataclasses.replace(problem, noise_std=0.02 * s)), TUNED[solver][family][0.02]
        assert found is not None
        assert (found.weight, found.rho) == pytest.approx((s**2 * row.weight, s**2 * row.rho))
        steps = max(row.max_steps, 50)
        assert found == dataclasses.replace(row, weight=found.weight, rho=found.rho, max_steps=steps)


SPECS = ["mask(0.5)", "blur(gaussian, 1, circular)", "sr(2)", "first(0.5)", "hadamard(0.3)", "mask(0.5) @ fourier(h,w)"]


@pytest.mark.parametrize(("noise_std", "c"), [(0.0, 1e-3), (0.02, 1e3)])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.usefixtures("short_starts")
def test_other_units_of_the_measurement_give_the_same_video(solver, spec, noise_std, c):
    """(cA, cy, cσ) is the problem (A, y, σ)."""
    truth, learned = smooth_video(4, 3, 12), solver in ("onenet", "videoonet")
    A = forward_model(spec, (4, 3, 12, 12)).operator.to(dtype=torch.float64)
    if A.is_complex() and learned:
        return
    model = ForwardModel(A, noise_std)
    y = model.measure(truth.double()).y
    steps: dict[str, Any] = {} if solver in ("pinv", "tikhonov") or learned else {"max_steps": 6}
    x = solve(InverseProblem(A, y, noise_std), solver, **steps).x
    other = solve(InverseProblem(c * A, c * y, c * noise_std), solver, **steps).x
    assert (other - x).norm() <= 1e-3 * x.norm()


def test_samples_of_a_batch_have_scales_of_their_own():
    truth = smooth_video(4, 3, 12)
    problems = [forward_model(f"{c} * {spec}", (4, 3, 12, 12)).measure(truth) for c in (1, 50) for spec in SPECS[:3]]
    together = solve(collate(problems), "onenet").x
    for problem, x in zip(problems, together, strict=True):
        torch.testing.assert_close(solve(problem, "onenet").x, x, rtol=0, atol=1e-4)


def test_the_scale_has_its_share_in_the_gradient_of_a_network():
    generator = torch.Generator().manual_seed(0)
    d, y, e = (torch.rand(4, 3, 16, 16, dtype=torch.float64, generator=generator) + 0.5 for _ in range(3))

    def energy(d):
        return solve(InverseProblem(Diagonal(50 * d, (4, 3, 16, 16)), y, 1.0), "onenet").x.square().sum()

    (gradient,) = torch.autograd.grad(energy(d.requires_grad_()), d)
    d, h = d.detach(), 1e-6
    assert float((gradient * e).sum()) == pytest.approx(
        float(energy(d + h * e) - energy(d - h * e)) / (2 * h), rel=1e-5
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_named_problems_are_left_as_they_are(name):
    problem = forward_model(name, (4, 3, 16, 16)).measure(torch.rand(4, 3, 16, 16))
    assert rescaled(problem) is problem


def test_noise_decides_between_denoising_and_nothing_to_do():
    problem = forward_model("denoise", (4, 3, 8, 8)).measure(torch.rand(4, 3, 8, 8))
    assert nearest(dataclasses.replace(problem, name=None, noise_std=0.1)) == "denoise"
    assert nearest(dataclasses.replace(problem, name=None, noise_std=0.0)) == "si"


@pytest.mark.parametrize("solver", ["admm-wavelet", "admm-tv", "fista", "primal-dual", "primal-dual-fft"])
def test_a_noisy_blur_without_a_name_is_not_treated_as_denoising(solver):
    """A Gaussian of 2 pixels: with the steps and weights for denoising, the noise in its inverse stays."""
    truth = smooth_video(4, 1, 24)
    model = forward_model("blur(gaussian, 2, circular)", tuple(truth.shape))
    problem = dataclasses.replace(model, noise_std=0.02).measure(truth)
    found = psnr(solve(problem, solver).x, truth)
    assert found > psnr(solve(dataclasses.replace(problem, name="denoise"), solver).x, truth)
    assert found > psnr(problem.y, truth)


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
