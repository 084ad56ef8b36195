"""Scores over a data set: the same numbers as one by one, fair to every solver."""

from dataclasses import replace

import pytest
import torch

from linops_video import forward_model
from linops_video.errors import DtypeError, ShapeError, SpecError
from linops_video.media.arrays import EIGHT_BIT_NOISE
from linops_video.media.video import demo_clip, read_video
from linops_video.metrics import psnr, ssim
from linops_video.solvers import evaluation, solve
from linops_video.solvers.baselines import BASELINES
from linops_video.solvers.evaluation import CAP, Result, batch_size, evaluate, example, score, summary

COUNT = 6


@pytest.fixture(scope="module")
def videos() -> torch.Tensor:
    """Windows of a real clip, more than one batch of them, uint8."""
    frames = read_video(demo_clip(), frames=4).frames
    return torch.stack([(frames[..., 20 * i : 20 * i + 16, 24 * i : 24 * i + 16] * 255).byte() for i in range(COUNT)])


def test_results_are_those_of_single_solves(videos):
    (pinv, bicubic) = evaluate(videos, ["sr2"], ["pinv", "bicubic"])
    truth = videos.float() / 255
    for i in range(COUNT):
        problem = forward_model("sr2", truth[i].shape).measure(truth[i])
        x = solve(problem, "pinv").x
        assert pinv.psnr[i].item() == pytest.approx(psnr(x, truth[i]).item(), abs=1e-4)
        similarity = ssim(x, truth[i])
        assert pinv.ssim is not None
        assert similarity is not None
        assert pinv.ssim[i].item() == pytest.approx(similarity.item(), abs=1e-4)
        plain = BASELINES["sr2"]["bicubic"](problem)
        assert bicubic.psnr[i].item() == pytest.approx(psnr(plain, truth[i]).item(), abs=1e-4)


def test_every_solver_sees_the_same_fresh_masks(videos):
    """Two runs of one solver in one evaluation agree; clips and seeds differ in their masks."""
    once, twice = (evaluate(videos, ["pid"], ["pinv"], seed=s)[0].psnr for s in (0, 0))
    other = evaluate(videos, ["pid"], ["pinv"], seed=9)[0].psnr
    assert torch.equal(once, twice)
    assert not torch.equal(once, other)
    still = videos[:1].expand(2, -1, -1, -1, -1)
    first, second = evaluate(still, ["pid"], ["pinv"])[0].psnr
    assert first != second
    batches = evaluate(videos[:1].expand(65, -1, -1, -1, -1), ["pid"], ["pinv"])[0].psnr
    assert batches[0] != batches[64]  # the first videos of two batches


def test_complex_reconstructions_are_scored_by_their_real_part(videos):
    (found,) = evaluate(videos[:2], ["fourier(h, w)"], ["pinv"], noise=0.05)
    truth = videos[:2].float() / 255
    problem = replace(forward_model("fourier(h, w)", truth.shape), noise_std=0.05).measure(truth)
    torch.testing.assert_close(found.psnr, psnr(solve(problem, "pinv").x.real, truth))
    with pytest.raises(DtypeError, match="complex measurements are not rounded"):
        evaluate(videos[:1], ["fourier(h, w)"], ["pinv"], eight_bit=True)


def test_rounded_measurements_are_solved_as_noisy(videos):
    exact, rounded = (evaluate(videos, ["dd"], ["pinv"], eight_bit=flag)[0] for flag in (False, True))
    assert (exact.psnr - rounded.psnr > 20).all()  # a blur loses most of the digits
    assert pytest.approx(0.00113, abs=1e-5) == EIGHT_BIT_NOISE
    posed = evaluation._pose("dd", videos[:1].float() / 255, 0, True, 0.01)
    assert posed.noise_std == pytest.approx((0.01**2 + EIGHT_BIT_NOISE**2) ** 0.5)


def test_baselines_are_left_out_where_they_do_not_exist(videos):
    results = evaluate(videos[:1], ["fi2", "dd"], ["linear()", "pinv", "gray"])
    assert [(r.problem, r.solver) for r in results] == [("fi2", "linear()"), ("fi2", "pinv"), ("dd", "pinv")]


def test_progress_is_told_per_batch(videos, monkeypatch):
    monkeypatch.setattr(evaluation, "MOST", 4)
    told = []
    in_two = evaluate(videos, ["sr2"], ["pinv"], on_batch=lambda *batch: told.append(batch))
    assert told == [("sr2", "pinv", 4), ("sr2", "pinv", 2)]
    monkeypatch.undo()
    torch.testing.assert_close(in_two[0].psnr, evaluate(videos, ["sr2"], ["pinv"])[0].psnr)


def test_batches_are_small_where_a_video_or_its_matrix_is_large():
    sizes = [
        batch_size(forward_model(name, shape))
        for name, shape in (("pid", (9, 1, 14, 14)), ("cs", (9, 1, 14, 14)), ("cs", (4, 3, 32, 32)))
    ]
    assert sizes == [64, 64, 4]


def test_means_are_of_capped_psnrs():
    """One reconstruction without any error would make them infinite."""
    psnr = torch.tensor([float("inf"), 20.0, 30.0, 120.0])
    numbers = summary(Result("p", "s", psnr, torch.tensor([0.5, 1.0]), 0.25))
    assert numbers["psnr_mean"] == pytest.approx((2 * CAP + 50) / 4)
    assert numbers["psnr_median"] == pytest.approx((30 + CAP) / 2)
    assert numbers["psnr_std"] == pytest.approx(torch.tensor([CAP, 20, 30, CAP]).std(correction=0).item())
    assert (numbers["ssim_mean"], numbers["seconds_per_video"], numbers["videos"]) == (0.75, 0.25, 4)


def test_the_noise_is_told_to_every_method(videos):
    """The noise of the measurement, and what the solver knows of it: with the right σ it does better."""
    (noisy,) = evaluate(videos, ["tdd"], ["admm-tv"], noise=0.05)
    assert (noisy.psnr > 15).all()
    truth = videos.float() / 255
    model = replace(forward_model("tdd", tuple(truth.shape)), noise_std=0.05)
    posed = model.measure(truth)
    assert (posed.y - model.operator(truth)).std().item() == pytest.approx(0.05, rel=0.05)
    torch.testing.assert_close(noisy.psnr, psnr(solve(posed, "admm-tv").x, truth), atol=1e-3, rtol=0)


def test_unknown_names_and_shapes_are_refused(videos):
    with pytest.raises(SpecError, match="unknown solver 'magic'"):
        evaluate(videos, ["sr2"], ["magic"])
    with pytest.raises(SpecError, match="unknown name 'sr3'"):
        evaluate(videos, ["sr3"], ["pinv"])
    with pytest.raises(ShapeError, match=r"\(N, T, C, H, W\)"):
        evaluate(videos[0], ["sr2"], ["pinv"])


def test_a_solver_that_cannot_take_a_problem_is_told_before_the_work(videos):
    told = []
    with pytest.raises(ShapeError, match="videoonet on sr2: this network is for videos"):
        evaluate(videos[:1, :, :2], ["sr2"], ["pinv", "videoonet"], on_batch=lambda *batch: told.append(batch))
    with pytest.raises(DtypeError, match=r"onenet on fourier\(h, w\): the learned solvers take real"):
        evaluate(videos[:1], ["sr2", "fourier(h, w)"], ["onenet"], on_batch=lambda *batch: told.append(batch))
    assert not told


def test_one_video_is_solved_with_the_fields_of_the_evaluation():
    """Those that suit the first video, not those of the batch, whose random operators have another scale."""
    videos = torch.rand(4, 4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    op, solver = "blur(gaussian, 2) @ mask(0.5)", "admm-tv(max_steps=3)"
    (result,) = evaluate(videos, [op], [solver])
    assert example(videos, 1, op, [solver]).psnr(solver) == result.psnr[1].item()


def test_score_without_truth_has_the_misfit_only(videos):
    truth = videos[0].float() / 255
    problem = forward_model("sr2", truth.shape).measure(truth)
    alone = score(problem, truth + 0.5)
    assert (alone.psnr, alone.ssim) == (None, None)
    assert alone.data_misfit == pytest.approx(0.5, abs=1e-5)
    assert score(problem, truth + 0.1, truth).psnr == pytest.approx(20, abs=1e-3)
