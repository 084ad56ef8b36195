"""Fields chosen by the truth and by the noise."""

import pytest
import torch

from linops_video import collate, forward_model
from linops_video.errors import MeasurementError, SpecError
from linops_video.metrics import psnr
from linops_video.solvers import AdmmTV, AdmmWavelet, Tikhonov, run, tune
from linops_video.solvers.registry import build
from linops_video.solvers.tuning import coordinate_search

WEIGHTS = [0.001, 0.01, 0.1, 0.3, 1.0, 2.0, 4.0, 8.0]


def ramp(seed=0):
    """A smooth video."""
    t, i, j = torch.meshgrid(torch.arange(4.0), torch.arange(12.0), torch.arange(12.0), indexing="ij")
    return (0.5 + 0.3 * torch.sin((t + i) / 6 + seed) * torch.cos(j / 6)).unsqueeze(1).double()


def noisy(video, seed=0):
    return forward_model("denoise", tuple(video.shape)).measure(video, seed=seed)


def test_the_truth_chooses_the_best_of_the_grid():
    truths = [ramp(0), ramp(1)]
    problems = [noisy(video, seed) for seed, video in enumerate(truths)]
    solver = tune(problems, Tikhonov(weight=0.001), {"weight": WEIGHTS, "time_weight": [0.5, 1.0, 2.0]}, truths)
    score = {
        (w, t): sum(psnr(run(Tikhonov(w, t), p).x, v).item() for p, v in zip(problems, truths, strict=True))
        for w in WEIGHTS
        for t in (0.5, 1.0, 2.0)
    }
    assert (solver.weight, solver.time_weight) == max(score, key=lambda point: score[point])
    assert solver.weight > 0.001


def test_the_noise_chooses_a_misfit_of_its_size():
    video = ramp()
    problem = noisy(video)
    solver = tune([problem], Tikhonov(weight=0.001), {"weight": WEIGHTS})
    found = (run(solver, problem).x - problem.y).square().mean().sqrt().item()
    assert found == pytest.approx(0.1, rel=0.15)
    assert psnr(run(solver, problem).x, video) > psnr(problem.y, video) + 3


def test_a_batch_of_different_operators_is_tuned_too():
    video = ramp().float()
    problem = collate([forward_model(name, tuple(video.shape)).measure(video) for name in ("pid", "denoise")])
    solver = tune([problem], AdmmTV(max_steps=10, weight=0.001), {"weight": [0.001, 0.03]})
    assert solver.weight == 0.03


def test_fields_that_are_no_numbers():
    video = ramp()
    axes = {"wavelet": ["haar", "db2"], "levels": [(1, 1, 1), (1, 2, 2)]}
    start = AdmmWavelet(max_steps=5, weight=0.1, rho=1.0, levels=(1, 1, 1))
    solver = tune([noisy(video)], start, axes, [video])
    assert solver.levels in axes["levels"]
    assert psnr(run(solver, noisy(video)).x, video) >= psnr(run(start, noisy(video)).x, video)


def test_a_name_stands_for_the_defaults_of_solve():
    problem = noisy(ramp())
    found = tune([problem], "tikhonov", {"weight": [0.5, 1.0]}, [ramp()])
    assert found == tune([problem], build(problem, "tikhonov"), {"weight": [0.5, 1.0]}, [ramp()])


def test_coordinate_search_climbs_to_the_top_of_a_hill():
    values = list(range(-5, 6))
    calls = []

    def value(point):
        calls.append(dict(point))
        return -((point["a"] - 3) ** 2) - (point["b"] + 2) ** 2 - 0.5 * (point["a"] - 3) * (point["b"] + 2)

    assert coordinate_search(value, {"a": -5, "b": 5}, {"a": values, "b": values}) == {"a": 3, "b": -2}
    assert len(calls) == len({tuple(call.items()) for call in calls})


def test_coordinate_search_looks_beyond_a_plateau():
    heights = [0.0, 3.0, 1.0, 1.0, 1.0]
    assert coordinate_search(lambda point: heights[point["a"]], {"a": 4}, {"a": range(5)}) == {"a": 1}


@pytest.mark.parametrize("truths", [(), (ramp(),)])
def test_a_start_that_smooths_everything_away_is_left(truths):
    """Beyond some weight, total variation gives one constant: from there no neighbour is better."""
    weights = [0.01, 0.1, 1.0, 10.0, 1000.0, 1e5]
    problem = noisy(ramp())
    found = [tune([problem], AdmmTV(weight=w, max_steps=30), {"weight": weights}, truths).weight for w in weights]
    assert set(found) == {found[0]}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda p: tune([p], Tikhonov(), {"rho": [1.0]}), SpecError, "no field rho"),
        (lambda p: tune([p], Tikhonov, {"weight": [1.0]}), SpecError, "an object, as AdmmTV"),
        (lambda p: tune([p], "tikonov", {"weight": [1.0]}), SpecError, "did you mean tikhonov"),
        (lambda p: tune([], Tikhonov(), {"weight": [1.0]}), SpecError, "at least one problem"),
        (lambda p: tune([p], Tikhonov(), {"weight": [1.0]}, [ramp(), ramp()]), SpecError, "one true video per problem"),
        (
            lambda p: tune([forward_model("sr2", (4, 1, 12, 12)).measure(ramp())], Tikhonov(), {"weight": [1.0]}),
            MeasurementError,
            "needs the noise of every problem",
        ),
    ],
)
def test_bad_arguments_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call(noisy(ramp()))
