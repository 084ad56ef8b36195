"""Films in windows: the same measurements, models and frames as the film in one piece."""

import itertools
import re

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from videos import film_clip

from linops_video import Diagonal, forward_model
from linops_video.errors import CutError, FileError, LinopsError, ShapeError, SpecError
from linops_video.films.film import measured_film, open_film, simulated_film
from linops_video.films.film_model import Alike, Beginning, Masked, Product, Rolling, Segments, Whole, film_model
from linops_video.films.parts import Share
from linops_video.media.arrays import EIGHT_BIT_NOISE, read_mask, write_array
from linops_video.media.video import read_video, write_video
from linops_video.metrics import psnr
from linops_video.problems.measurement import estimate_noise, model_of
from linops_video.solvers import solve
from linops_video.solvers.film import _together, score_of, solve_film, status_of, total, windows_of
from linops_video.solvers.registry import fast_fields
from linops_video.solvers.tiles import cut_in_tiles

SHAPE = (50, 3, 24, 20)
WINDOWS = [(0, 20), (12, 32), (30, 50)]


# --- models ------------------------------------------------------------------------------------------------------

CUTTABLE = ["pid", "bi", "si", "sr2", "sr4", "dd", "md", "md3", "tdd", "fi2", "fi4", "fp25", "color", "denoise", "blur"]
EXPRESSIONS = ["sr(2) @ blur(disk, 4, 2, valid)", "shutter(3, 2)", "frames(0:30)", "shutter(3, 2) @ sr(2)"]
STREAMED = {
    "mask(0.7)": Masked,
    "mask(0.3, seed=2)": Masked,
    "blocks(9, 0.2)": Masked,
    "blocks(3, 0.05)": Masked,
    "every(3)": Segments,
    "every(7)": Segments,
    "average(3)": Segments,
    "tblur(box, 3)": Segments,
    "tblur(gaussian, 0.4)": Segments,
    "first(0.9)": Beginning,
    "every(5) @ sr(2)": Product,
    "mask(0.5, seed=3) @ every(2) @ sr(2)": Product,
    "sr(2) @ mask(0.6)": Product,
    "every(2) @ tblur(box, 3)": Product,
    "every(2) @ (every(3) @ mask(0.5))": Product,
}
"""Expressions whose models are made for the window, whatever their numbers."""


@pytest.mark.parametrize("frames", [50, 47])
@pytest.mark.parametrize("spec", [*CUTTABLE, *EXPRESSIONS, *STREAMED])
def test_a_window_has_the_measurements_of_the_whole_film(spec, frames):
    shape = (frames, *SHAPE[1:])
    x = film_clip(frames)
    y, model = model_of(spec, shape, seed=5).operator(x), film_model(spec, shape, seed=5)
    assert (model.shape, model.out_shape) == (shape, y.shape)
    seen = torch.zeros(len(y))
    for start, stop in [(0, 20), (12, 32), (24, 44), (frames - 20, frames)]:
        if spec == "frames(0:30)" and start >= 30:
            continue
        A, box = model.part(start, stop)
        part = y[tuple(slice(a, b) for a, b in box)]
        assert A.out_shape == part.shape
        assert (A(x[start:stop]) - part).abs().max() < 1e-5
        seen[box[0][0] : box[0][1]] = 1
    assert seen.all() or spec in (
        "average(3)",
        "shutter(3, 2)",
        "frames(0:30)",
    )  # no measurement is left out; of 3 frames in two windows a mean may be


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("sr4", Alike),
        ("sr(2) @ blur(disk, 4, 2, valid)", Alike),
        ("pid", Masked),
        ("shutter(3, 2)", Whole),
        ("0.5 * mask(0.5, seed=2)", Whole),
        ("0.5 * blocks(3, 0.05)", Whole),  # in frames of 16×16 its holes have no pixels
    ],
)
def test_a_model_is_made_for_the_window_where_all_frames_are_treated_alike(spec, kind):
    assert isinstance(film_model(spec, SHAPE), kind)


def test_a_model_for_the_window_does_not_depend_on_the_length_of_the_film():
    part, (frames, *_) = film_model("dd", (2000, 3, 1080, 1920)).part(500, 504)
    assert (part.in_shape, frames) == ((4, 3, 1080, 1920), (500, 504))


@pytest.mark.parametrize("spec", STREAMED)
def test_whether_a_model_is_made_for_the_window_does_not_depend_on_its_numbers(spec):
    shape = (20000, 3, 1080, 1920)
    assert isinstance(film_model(spec, shape), STREAMED[spec])


@pytest.mark.parametrize(
    "spec", ["every(0)", "every(60)", "mask(1.5)", "blocks(3, 2)", "first(0)", "fi2(3)", "tblur(x, 3)"]
)
def test_numbers_that_make_no_operator_are_refused_before_the_work(spec):
    with pytest.raises(LinopsError) as expected:
        model_of(spec, SHAPE)
    with pytest.raises(type(expected.value), match=re.escape(str(expected.value))):
        film_model(spec, SHAPE)


def test_a_window_behind_the_last_frame_that_is_kept_is_refused():
    with pytest.raises(CutError, match="no measurement"):
        film_model("every(30)", SHAPE).part(32, 50)


@pytest.mark.parametrize("spec", ["cs", "vcs", "gaussian(0.2)"])
def test_measurements_of_the_whole_film_are_refused(spec):
    with pytest.raises(CutError, match="see the whole film"):
        film_model(spec, SHAPE)


def test_more_missing_frames_than_a_window_holds_are_refused_before_the_work():
    film = simulated_film_of(torch.rand(90, 1, 8, 8), "fp50")
    with pytest.raises(CutError, match="45 frames are missing at the end"):
        film.check(windows_of(90))


def test_mask_files_are_read_frame_by_frame(tmp_path):
    mask = (torch.rand(50, 1, *SHAPE[2:], generator=torch.Generator().manual_seed(0)) > 0.3).float()
    write_video(tmp_path / "many.mkv", mask)
    write_video(tmp_path / "one", mask[:1])
    write_array(tmp_path / "array.npz", "y", mask)
    for path in (tmp_path / "many.mkv", tmp_path / "one" / "00000.png", tmp_path / "array.npz"):
        A, _ = film_model("si", SHAPE, mask=path).part(12, 32)
        assert isinstance(A, Diagonal)
        assert torch.equal(A.diagonal, read_mask(path, SHAPE)[12:32])
    with pytest.raises(ShapeError, match="does not fit"):
        film_model("si", (50, 3, 16, 16), mask=tmp_path / "many.mkv").part(0, 4)
    with pytest.raises(SpecError, match="a mask goes with"):
        film_model("sr2", SHAPE, mask=tmp_path / "many.mkv")


def test_a_rolling_window_keeps_no_more_than_it_gave():
    frames = Rolling(lambda: iter(torch.arange(40.0).reshape(40, 1, 1, 1)))
    assert frames.window(0, 8).flatten().tolist() == list(range(8))
    assert frames.window(5, 9).flatten().tolist() == [5, 6, 7, 8]
    assert frames.window(30, 32).flatten().tolist() == [30, 31]
    assert len(frames._kept) == 2
    with pytest.raises(FileError, match="ends after 40 frames"):
        frames.window(30, 41)
    assert frames.window(2, 4).flatten().tolist() == [2, 3]  # read anew


# --- films -------------------------------------------------------------------------------------------------------


def simulated_film_of(video: torch.Tensor, spec: str, seed: int = 0, noise: float | None = None):
    from linops_video.films.film import Source

    source = Source(lambda: iter(video), tuple(video.shape), 25.0, 0.0, ((0,), video[:1]))
    return simulated_film(source, spec, noise, seed)


def test_a_film_is_counted_and_sampled(tmp_path):
    video = film_clip()
    write_video(tmp_path / "film.mkv", video, 12)
    source = open_film(tmp_path / "film.mkv")
    assert (source.shape, source.fps, source.noise_floor) == (SHAPE, 12, EIGHT_BIT_NOISE)
    at, samples = source.samples
    assert torch.equal(samples, video[list(at)])
    assert at[0] == 0
    assert at[-1] >= 40
    assert open_film(tmp_path / "film.mkv", frames=20).shape[0] == 20
    write_array(tmp_path / "film.npz", "y", video, 12)
    assert open_film(tmp_path / "film.npz").noise_floor == 0
    write_array(tmp_path / "numbers.npz", "y", torch.rand(5))
    with pytest.raises(ShapeError, match="must have the shape"):
        open_film(tmp_path / "numbers.npz")


@pytest.mark.parametrize("spec", ["pid", "sr2", "tdd", "fi4", "color"])
def test_a_simulated_film_has_the_measurements_of_the_clip(spec):
    """Noise too, where frames have a multiple of 16 entries: so random numbers are drawn in the same order."""
    video = film_clip(height=16, width=16)
    film, whole = simulated_film_of(video, spec, 3, 0.05), forward_model(spec, video.shape, 3)
    y = type(whole)(whole.operator, 0.05, spec).measure(video, 3).y
    for start, stop in WINDOWS:
        problem = film.problem(start, stop)
        first = film.model.part(start, stop)[1][0][0] if spec != "pid" else start
        assert torch.allclose(problem.y, y[first : first + len(problem.y)], atol=1e-6)
        assert (problem.name, problem.noise_std) == (spec, 0.05)
        truth = film.truth(start, stop)
        assert truth is not None
        assert torch.equal(truth, video[start:stop])


@pytest.mark.parametrize("spec", ["pid", "sr2", "tdd", "fi2", "color"])
def test_a_measured_film_reads_what_belongs_to_the_window(tmp_path, spec):
    video = film_clip()
    y = model_of(spec, SHAPE, 4).operator(video)
    write_video(tmp_path / "y.mkv", y, 12)
    film = measured_film(open_film(tmp_path / "y.mkv"), spec, seed=4)
    assert film.shape == SHAPE
    assert film.fps == (24 if spec == "fi2" else 12)
    stored = read_video(tmp_path / "y.mkv").frames
    for start, stop in WINDOWS:
        problem = film.problem(start, stop)
        expected = problem.operator(video[start:stop])
        assert (problem.y - expected).abs().max() < 0.51 / 255
        assert film.truth(start, stop) is None
    assert stored.shape[0] == film.model.out_shape[0]


class Largest(TorchDispatchMode):
    """Notes how many entries the largest result of any operation has."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            self.entries = max(self.entries, part.numel() if isinstance(part, torch.Tensor) else 0)
        return result


@pytest.mark.parametrize("spec", ["sr4", "denoise", "pid", "dd", "color"])
def test_reading_a_window_takes_no_more_than_its_measurements(tmp_path, spec):
    """And a few frames: it goes on while the window before is solved, and both at once would be the peak of memory."""
    video = film_clip(40, 64, 64)
    write_video(tmp_path / "y.mkv", forward_model(spec, tuple(video.shape), 4).operator(video))
    film = measured_film(open_film(tmp_path / "y.mkv"), spec, seed=4)
    with Largest() as largest:
        problem = film.problem(0, 32)
    assert largest.entries <= max(problem.y.numel(), 3 * video[0].numel())


def test_the_noise_of_a_film_is_estimated_from_frames_all_over_it(tmp_path):
    video = film_clip(60, 48, 48)
    noise = 0.06 * torch.randn(video.shape, generator=torch.Generator().manual_seed(0))
    A = model_of("pid", tuple(video.shape), 3).operator
    assert isinstance(A, Diagonal)
    mask = A.diagonal
    write_video(tmp_path / "y.mkv", (video + noise) * mask)
    film = measured_film(open_film(tmp_path / "y.mkv"), "pid", seed=3)
    assert film.noise_std == pytest.approx(estimate_noise(video + noise, mask), rel=0.1)
    assert measured_film(open_film(tmp_path / "y.mkv"), "pid", noise_std=0.2).noise_std == 0.2


def test_a_film_that_does_not_fit_its_problem_is_refused(tmp_path):
    write_video(tmp_path / "y.mkv", film_clip())
    with pytest.raises(ShapeError, match="tdd measures 40 frames as 43, but this film has 50"):
        measured_film(open_film(tmp_path / "y.mkv"), "tdd", (40, 3, 24, 20))
    with pytest.raises(ShapeError, match="has colours"):
        measured_film(open_film(tmp_path / "y.mkv"), "color")


# --- solving -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["sr4", "pid", "tdd", "fi2"])
def test_windows_give_what_the_whole_film_gives(spec):
    video = film_clip(height=32, width=32)
    windows = list(solve_film(simulated_film_of(video, spec, 2), "admm-tv"))
    x = torch.cat([window.frames for window in windows])
    assert x.shape == video.shape
    whole = solve(forward_model(spec, video.shape, 2).measure(video, 2), "admm-tv").x
    assert psnr(x, video) > min(psnr(whole, video), 60) - 0.3
    tally = windows[-1].state.tallies["admm-tv"]
    score = score_of(tally)
    assert score.psnr == pytest.approx(psnr(x, video).item(), abs=1e-6)
    assert score.ssim is not None
    assert status_of(tally) in ("max_steps", "converged")


def test_a_film_goes_on_where_it_was_stopped():
    video = film_clip(90, 16, 16)
    windows = list(solve_film(simulated_film_of(video, "pid", 2), "admm-tv", {"max_steps": 3}))
    for done in range(1, len(windows)):
        rest = list(
            solve_film(simulated_film_of(video, "pid", 2), "admm-tv", {"max_steps": 3}, state=windows[done - 1].state)
        )
        assert len(rest) == len(windows) - done
        for a, b in zip(rest, windows[done:], strict=True):
            assert torch.equal(a.frames, b.frames)
        told, expected = (dict(some[-1].state.tallies["admm-tv"]) for some in (rest, windows))
        assert told.pop("seconds") > 0
        assert expected.pop("seconds") > 0
        assert told == expected
    tally = windows[-1].state.tallies["admm-tv"]
    assert (len(windows), tally["steps"], tally["tiles"], tally["stopped"]) == (4, 3, 1, 4)


def test_a_film_without_a_name_is_solved_like_its_first_window_wherever_a_run_begins():
    """Of these windows the last has frames that nothing is measured of, and other fields of its own."""
    video = film_clip(80, 16, 16)
    windows = list(solve_film(simulated_film_of(video, "first(0.9)", 2), "admm-tv"))
    resumed = solve_film(simulated_film_of(video, "first(0.9)", 2), "admm-tv", state=windows[-2].state)
    shared = solve_film(simulated_film_of(video, "first(0.9)", 2), "admm-tv", share=Share(1, 2))
    for rest in (list(resumed), list(shared)):
        assert torch.equal(rest[-1].frames, windows[-1].frames)


@pytest.mark.parametrize(
    ("spec", "batches"),
    [("sr2", [3, 2, 1]), ("fi2", [3, 2, 1]), ("tblur(box, 3)", [1, 3, 1, 1]), ("pid", 6 * [1])],
)
def test_windows_of_one_operator_are_solved_as_a_batch(monkeypatch, spec, batches):
    """Masks differ from window to window; the first and last window have no frames on one side."""
    video, sizes = film_clip(144, 16, 24), []
    monkeypatch.setattr("linops_video.solvers.tiles.TILE", (16, 16))
    monkeypatch.setattr("linops_video.solvers.tiles.MARGIN", 0)
    monkeypatch.setattr("linops_video.solvers.tiles.EDGE", 0)
    cut = cut_in_tiles
    monkeypatch.setattr("linops_video.solvers.film.cut_in_tiles", lambda *a: sizes.append(a[1].batch_shape) or cut(*a))
    given = ("admm-tv", {"max_steps": 4, "tol": 0})
    single = list(solve_film(simulated_film_of(video, spec, 2), *given, beside=("pinv",)))
    sizes.clear()
    windows = list(solve_film(simulated_film_of(video, spec, 2), *given, beside=("pinv",), together=3))
    assert [sum(size) or 1 for size in sizes[::2]] == batches
    for a, b in zip(windows, single, strict=True):
        assert (a.frames - b.frames).abs().max() < 2e-6
        for name, tally in b.state.tallies.items():
            told = a.state.tallies[name]
            for key in set(tally) - {"seconds"}:
                assert told[key] == pytest.approx(tally[key], rel=1e-4, abs=1e-6), (name, key)


def test_how_many_windows_are_a_batch_depends_on_the_device_and_its_memory(monkeypatch):
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (8 * 2**30, 24 * 2**30))
    sizes = ((3, 144, 176), (3, 240, 424), (3, 1080, 1920))
    assert [_together(torch.device("cuda", 1), size) for size in sizes] == [4, 3, 1]
    assert _together(torch.device("cpu"), (3, 144, 176)) == 1


def test_shares_are_the_windows_of_one_process():
    video = film_clip(130, 16, 16)
    whole = list(solve_film(simulated_film_of(video, "pid", 2), "admm-tv", {"max_steps": 3}, beside=("pinv",)))
    shares = [
        list(
            solve_film(
                simulated_film_of(video, "pid", 2), "admm-tv", {"max_steps": 3}, share=Share(i, 3), beside=("pinv",)
            )
        )
        for i in range(3)
    ]
    assert [len(share) for share in shares] == [2, 2, 2]
    for a, b in zip(itertools.chain(*shares), whole, strict=True):
        assert torch.equal(a.frames, b.frames)
    tallies, expected = total(share[-1].state.tallies for share in shares), whole[-1].state.tallies
    assert list(tallies) == list(expected) == ["pinv", "admm-tv"]
    for name, tally in tallies.items():
        for key in set(tally) - {"seconds"}:
            assert tally[key] == pytest.approx(expected[name][key], rel=1e-12), (name, key)


def test_what_runs_beside_is_scored_on_the_frames_of_the_film():
    video = film_clip(60, 32, 32)
    (*_, last) = solve_film(simulated_film_of(video, "fi2", 0), "admm-tv", {"max_steps": 2}, beside=("hold", "pinv"))
    held = video[::2].repeat_interleave(2, 0)
    assert score_of(last.state.tallies["hold"]).psnr == pytest.approx(psnr(held, video).item(), abs=1e-6)
    assert score_of(last.state.tallies["pinv"]).data_misfit < 1e-6


# --- precision ---------------------------------------------------------------------------------------------------


def test_networks_in_bfloat16_give_nearly_the_same_video():
    """The weights need not be trained for this: a data step ends in the precision of the problem."""
    video = film_clip(4, 32, 32)
    problem = forward_model("sr4", tuple(video.shape)).measure(video)
    exact, fast = (solve(problem, "videoonet", precision=p).x for p in ("float32", "bfloat16"))
    assert fast.dtype == torch.float32
    assert 0 < (exact - fast).abs().max() < 0.03
    assert abs(psnr(exact, video) - psnr(fast, video)) < 0.05
    assert (problem.operator(fast) - problem.y).abs().max() < 1e-5


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")])
def test_cuda_devices_that_multiply_in_bfloat16_run_networks_in_it(monkeypatch, capability, precision):
    asked = []
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: asked.append(device) or capability)
    assert fast_fields("videoonet", torch.device("cuda", 3)) == {"precision": precision}
    assert asked == [torch.device("cuda", 3)]  # each process of torchrun has its own


def test_only_networks_have_a_fast_precision():
    assert fast_fields("admm-tv", "cpu") == {}
    assert fast_fields("videoonet", "cpu")["precision"] in ("float32", "bfloat16")
    with pytest.raises(SpecError, match="precision is one of"):
        solve(forward_model("sr2", (2, 3, 8, 8)).measure(torch.rand(2, 3, 8, 8)), "videoonet", precision="half")
