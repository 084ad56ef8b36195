"""Measurements from files: shapes, noise, masks, kernels, and what is refused."""

import dataclasses
import math
import os
import time

import numpy as np
import pytest
import torch

from linops_video import PROBLEMS, forward_model
from linops_video.errors import FileError, LinopsError, MeasurementError, ShapeError, SpecError
from linops_video.media.arrays import (
    EIGHT_BIT_NOISE,
    read_clip,
    read_kernel,
    read_mask,
    read_matrix,
    read_measurement,
    write_array,
)
from linops_video.media.video import demo_clip, read_video, write_video
from linops_video.operators.kernels import disk
from linops_video.problems.measurement import (
    BLUR,
    check_range,
    estimate_noise,
    frame_rate_of,
    infer_shape,
    inverse_problem,
    model_of,
)

TELLING = [name for name in PROBLEMS if name not in ("cs", "vcs")]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- shapes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 3, 16, 24), (4, 3, 8, 8), (9, 3, 20, 12), (5, 3, 32, 16)])
@pytest.mark.parametrize("name", TELLING)
def test_the_inferred_shape_gives_the_measurement(name, shape):
    y_shape = forward_model(name, shape).operator.out_shape
    inferred = infer_shape(name, y_shape)
    assert forward_model(name, inferred).operator.out_shape == y_shape
    assert all(a <= b for a, b in zip(inferred, shape, strict=True))  # the smallest one that fits


@pytest.mark.parametrize("share", [2e-7, 1e-7, 0.3, 0.9, 1.0])
def test_the_shortest_film_of_which_a_share_is_kept_is_found_at_once(share):
    """At once: it may have any length."""
    began = time.perf_counter()
    frames = infer_shape(f"first({share})", (7, 1, 2, 2))[0]
    assert time.perf_counter() - began < 1
    assert [math.ceil(share * n - 1e-9) for n in (frames - 1, frames)] == [6, 7]


def test_blur_is_valid_so_the_video_is_larger():
    assert infer_shape(BLUR, (4, 3, 20, 30)) == (4, 3, 23, 33)
    assert infer_shape(BLUR, (4, 3, 20, 30), torch.ones(5, 2)) == (4, 3, 24, 31)
    assert model_of(BLUR, (4, 3, 24, 31), kernel=torch.ones(5, 2)).operator.out_shape == (4, 3, 20, 30)


@pytest.mark.parametrize(
    ("name", "y_shape", "error", "words"),
    [
        ("cs", (300,), SpecError, "--shape"),
        ("vcs", (300,), SpecError, "--shape"),
        ("sr4", (300,), ShapeError, r"\(…, H, W\), not \(300,\)"),
        ("fi2 @ sr4", (4, 3, 8), ShapeError, r"\(…, T, C, H, W\), not \(4, 3, 8\)"),
        ("dd", (4, 3, 3, 9), ShapeError, "too small for blur"),
        ("sr5", (4, 3, 8, 8), SpecError, "did you mean sr, sr4 or sr2"),
        ("first(0)", (4, 3, 8, 8), SpecError, r"a share in \(0, 1\], not 0"),
        ("sr(0)", (4, 3, 8, 8), SpecError, "the factor is a whole number, 1 or more, not 0"),
        ("shutter(2, 0)", (4, 3, 8, 8), SpecError, "the stride is a whole number, 1 or more, not 0"),
        ("first(1e-300)", (7, 1, 2, 2), SpecError, "no film is so long that 7 frames of it are kept"),
        ("frames(0:10:1000000000000000000)", (7, 1, 2, 2), SpecError, "no film is so long"),
        ("frames(0:10:100000000000000000000)", (7, 1, 2, 2), SpecError, "no film is so long"),
    ],
)
def test_shapes_that_cannot_be_inferred(name, y_shape, error, words):
    with pytest.raises(error, match=words):
        infer_shape(name, y_shape)


# --- noise -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_noise_is_estimated_on_a_real_clip(sigma):
    clip = read_video(demo_clip(), frames=4).frames
    noisy = clip + sigma * torch.randn(clip.shape, generator=torch.Generator().manual_seed(0))
    assert estimate_noise(noisy) == pytest.approx(sigma, abs=0.004)  # texture adds to it


def test_noise_is_estimated_between_the_holes_of_a_mask():
    clip = read_video(demo_clip(), frames=4).frames
    mask = (noise(*clip.shape) > 0.5).float()
    noisy = mask * (clip + 0.05 * torch.randn(clip.shape, generator=torch.Generator().manual_seed(1)))
    assert estimate_noise(noisy, mask) == pytest.approx(0.05, rel=0.15)


def test_a_clean_clip_has_little_noise_and_tiny_ones_none():
    assert estimate_noise(read_video(demo_clip(), frames=4).frames) < 0.006
    assert estimate_noise(noise(1, 1, 4, 4)) == 0
    assert estimate_noise(noise(50)) == 0


def test_eight_bit_sources_are_solved_with_noise(tmp_path):
    flat = torch.full((4, 3, 16, 16), 0.5)
    write_video(tmp_path / "y.mkv", flat)
    np.savez(tmp_path / "bytes.npz", y=np.full((4, 3, 16, 16), 128, np.uint8))
    write_array(tmp_path / "floats.npz", "y", flat)
    for name, floor in (("y.mkv", EIGHT_BIT_NOISE), ("bytes.npz", EIGHT_BIT_NOISE), ("floats.npz", 0.0)):
        measurement = read_measurement(tmp_path / name)
        assert inverse_problem(measurement, "sr2").noise_std == floor  # a flat clip has no noise of its own
        assert inverse_problem(measurement, "sr2", noise_std=0.0).noise_std == floor
        assert inverse_problem(measurement, "sr2", noise_std=0.3).noise_std == 0.3
    assert pytest.approx(1 / 255 / math.sqrt(12)) == EIGHT_BIT_NOISE
    rounded = torch.round(noise(10**5) * 255) / 255 - noise(10**5)
    assert rounded.std().item() == pytest.approx(EIGHT_BIT_NOISE, rel=0.01)


def test_noise_of_a_noisy_file_is_estimated(tmp_path):
    clip = read_video(demo_clip(), frames=2).frames
    write_video(tmp_path / "y.mkv", 0.5 + 0.4 * (clip - 0.5) + 0.05 * torch.randn(clip.shape))
    problem = inverse_problem(read_measurement(tmp_path / "y.mkv"), "sr2")
    assert problem.noise_std == pytest.approx(0.05, rel=0.1)


# --- problems from files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sr4", "fi2", "dd", "tdd", "denoise"])
def test_what_is_read_is_the_problem_that_was_measured(tmp_path, name):
    truth = noise(4, 3, 16, 16)
    posed = forward_model(name, truth.shape, seed=3).measure(truth)
    write_array(tmp_path / "y.npz", "y", posed.y, fps=12)
    measurement = read_measurement(tmp_path / "y.npz")
    read = inverse_problem(measurement, name, seed=3)
    assert measurement.fps == 12
    assert torch.equal(read.y, posed.y)
    assert torch.equal(read.operator(truth), posed.operator(truth))
    assert read.noise_std == 0


@pytest.mark.parametrize("name", ["cs", "vcs"])
def test_flat_measurements_need_the_shape(tmp_path, name):
    truth = noise(3, 1, 8, 8)
    posed = forward_model(name, truth.shape, seed=3).measure(truth)
    write_array(tmp_path / "y.npz", "y", posed.y)
    read = inverse_problem(read_measurement(tmp_path / "y.npz"), name, shape=(3, 1, 8, 8), seed=3)
    assert torch.equal(read.operator(truth), read.y)
    with pytest.raises(ShapeError, match=f"{name} measures a video"):
        inverse_problem(read_measurement(tmp_path / "y.npz"), name, shape=(3, 1, 12, 12), seed=3)


def test_gray_files_serve_color(tmp_path):
    gray = noise(2, 1, 16, 16)
    write_video(tmp_path / "gray.mp4", gray)
    problem = inverse_problem(read_measurement(tmp_path / "gray.mp4"), "color")
    assert problem.operator.in_shape == (2, 3, 16, 16)
    assert problem.y.shape == (2, 1, 16, 16)
    write_video(tmp_path / "colours.mkv", noise(2, 3, 16, 16))
    with pytest.raises(ShapeError, match="--simulate"):
        inverse_problem(read_measurement(tmp_path / "colours.mkv"), "color")


def test_a_mask_file_takes_the_place_of_the_random_mask(tmp_path):
    truth, kept = noise(3, 3, 16, 16), (noise(1, 1, 16, 16, seed=1) > 0.3).float()
    write_video(tmp_path / "mask.mkv", kept.expand(1, 3, 16, 16))
    write_array(tmp_path / "y.npz", "y", truth)  # whatever stands at the lost entries is left out
    problem = inverse_problem(read_measurement(tmp_path / "y.npz"), "si", mask=tmp_path / "mask.mkv")
    assert torch.equal(problem.operator(truth), kept * truth)
    assert torch.equal(problem.y, kept * truth)
    with pytest.raises(SpecError, match="pid, bi, si"):
        model_of("sr2", (3, 3, 16, 16), mask=tmp_path / "mask.mkv")
    with pytest.raises(ShapeError, match=r"does not fit .* a mask is \(H, W\) or \(T, C, H, W\)"):
        read_mask(tmp_path / "mask.mkv", (3, 3, 20, 16))


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.bool_, np.float32])
@pytest.mark.parametrize("white", [1, 255])
def test_masks_are_arrays_of_any_kind_of_number(tmp_path, kind, white):
    kept = noise(3, 1, 16, 16).numpy() > 0.3
    np.save(tmp_path / "mask.npy", (white * kept).astype(kind))
    assert torch.equal(read_mask(tmp_path / "mask.npy", (3, 1, 16, 16)), torch.from_numpy(kept).float())
    assert torch.equal(read_mask(tmp_path / "mask.npy", (2, 1, 16, 16)), torch.from_numpy(kept[:2]).float())


def test_a_mask_that_keeps_nothing_is_refused(tmp_path):
    np.save(tmp_path / "mask.npy", np.zeros((16, 16), np.uint8))
    with pytest.raises(MeasurementError, match="keeps nothing"):
        read_mask(tmp_path / "mask.npy", (3, 1, 16, 16))


def test_kernels_of_images_sum_to_one_and_arrays_stay(tmp_path):
    write_video(tmp_path / "kernel", disk(5, 2.5)[None, None] * 12)
    assert read_kernel(tmp_path / "kernel" / "00000.png").sum().item() == pytest.approx(1)
    write_array(tmp_path / "kernel.npz", "kernel", torch.tensor([[1.0, 2.0]]))
    assert read_kernel(tmp_path / "kernel.npz").tolist() == [[1, 2]]
    np.save(tmp_path / "kernel.npy", np.array([[3.0, 2.0]]))
    assert read_kernel(tmp_path / "kernel.npy").tolist() == [[3, 2]]
    np.save(tmp_path / "bytes.npy", np.array([[3, 2]], np.uint8))
    assert read_kernel(tmp_path / "bytes.npy").tolist() == [[3, 2]]
    assert read_matrix(tmp_path / "bytes.npy").tolist() == [[3, 2]]
    write_array(tmp_path / "zero.npz", "kernel", torch.zeros(3, 3))
    write_array(tmp_path / "negative.npz", "kernel", -torch.ones(3, 3))
    for name, total in (("zero", "0"), ("negative", "-9")):
        with pytest.raises(MeasurementError, match=f"sums to {total}: a blur kernel needs a positive sum"):
            read_kernel(tmp_path / f"{name}.npz")
    write_video(tmp_path / "colours", torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(MeasurementError, match="an image with colours: a blur kernel is gray"):
        read_kernel(tmp_path / "colours" / "00000.png")
    with pytest.raises(SpecError, match="goes with blur"):
        model_of("dd", (3, 3, 16, 16), kernel=torch.ones(2, 2))


# --- npz ---------------------------------------------------------------------------------------------------------


class Trap:
    """Unpickling it would create a file."""

    def __reduce__(self):
        return os.mkdir, (os.environ["TRAP"],)


def test_bad_arrays_are_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("TRAP", str(tmp_path / "sprung"))
    np.savez(tmp_path / "pickle.npz", y=np.array([Trap()], dtype=object))
    np.savez(tmp_path / "nan.npz", y=np.array([[1.0, np.nan], [np.inf, 0]]))
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    np.savez(tmp_path / "none.npz")
    np.savez(tmp_path / "empty.npz", y=np.zeros((0, 3, 4, 4)))
    np.savez(tmp_path / "text.npz", y=np.array(["a", "b"]))
    np.savez(tmp_path / "complex.npz", y=np.ones(3) * 1j)
    (tmp_path / "noise.npz").write_bytes(b"not an archive")
    (tmp_path / "blank.npz").write_bytes(b"")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    np.savez_compressed(tmp_path / "damaged.npz", y=noise(4, 3, 8, 8).numpy())
    damaged = bytearray((tmp_path / "damaged.npz").read_bytes())
    damaged[200:260] = bytes(60)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    for name, (error, words) in {
        "pickle.npz": (FileError, "pickled objects"),
        "nan.npz": (MeasurementError, "2 NaN or infinite values"),
        "two.npz": (FileError, 'needs an array "y", or only one array; it has a, b'),
        "none.npz": (FileError, "none at all"),
        "empty.npz": (MeasurementError, "empty"),
        "text.npz": (MeasurementError, "float or uint8"),
        "complex.npz": (MeasurementError, "float or uint8"),
        "noise.npz": (FileError, "not a .npz file"),
        "blank.npz": (FileError, "not a .npz file"),
        "cut.npz": (FileError, "not a .npz file"),
        "damaged.npz": (FileError, "not a .npz file"),
        "missing.npz": (FileError, "no such file"),
    }.items():
        with pytest.raises(error, match=words) as caught:
            read_measurement(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", PROBLEMS)
def test_measurements_of_the_wrong_scale_are_refused(name):
    """Whatever the operator makes of [0, 1]; noise alone, on a black video, is no reason."""
    model = forward_model(name, (4, 3, 16, 16), seed=1)
    for truth in (noise(4, 3, 16, 16), torch.zeros(4, 3, 16, 16), torch.ones(4, 3, 16, 16)):
        for std in (0.0, 1.0):
            problem = dataclasses.replace(model, noise_std=std).measure(truth)
            check_range(problem)
            if truth.any():
                with pytest.raises(MeasurementError, match="divide 8-bit values by 255"):
                    check_range(dataclasses.replace(problem, y=255 * problem.y))


def test_clips_are_in_range_with_the_channels_first(tmp_path):
    for name, array in {"bytes": 255 * noise(4, 3, 8, 9), "last": noise(4, 8, 9, 3), "gray": noise(4, 8, 9, 1)}.items():
        np.savez(tmp_path / f"{name}.npz", x=array.numpy())
    with pytest.raises(MeasurementError, match=r"values from .* to 25.*: divide 8-bit values by 255"):
        read_clip(tmp_path / "bytes.npz")
    for read in (read_clip, read_measurement):
        for name in ("last", "gray"):
            with pytest.raises(ShapeError, match="channels before rows"):
                read(tmp_path / f"{name}.npz")
    np.savez(tmp_path / "overshoot.npz", x=(3 * noise(4, 3, 8, 9) - 1).numpy())
    assert read_clip(tmp_path / "overshoot.npz").frames.shape == (4, 3, 8, 9)


def test_matrices_come_from_numpy_files(tmp_path):
    np.save(tmp_path / "m.npy", np.arange(6.0).reshape(2, 3))
    write_array(tmp_path / "m.npz", "matrix", torch.ones(3, 2))
    assert read_matrix(tmp_path / "m.npy").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert read_matrix(tmp_path / "m.npz").shape == (3, 2)
    np.save(tmp_path / "pickle.npy", np.array([{}], dtype=object))
    np.save(tmp_path / "line.npy", np.ones(3))
    (tmp_path / "noise.npy").write_bytes(b"noise")
    for name, (error, words) in {
        "pickle.npy": (FileError, "pickled objects"),
        "line.npy": (ShapeError, "two axes"),
        "noise.npy": (FileError, "not a .npy file"),
        "m.png": (FileError, "from a .npz or .npy file"),
    }.items():
        with pytest.raises(error, match=words):
            read_matrix(tmp_path / name)


def test_clips_may_be_arrays_too(tmp_path):
    write_array(tmp_path / "x.npz", "x", noise(5, 3, 8, 8), fps=12.5)
    clip = read_clip(tmp_path / "x.npz", frames=3)
    assert (tuple(clip.frames.shape), clip.fps) == ((3, 3, 8, 8), 12.5)
    write_array(tmp_path / "flat.npz", "x", noise(5, 8))
    with pytest.raises(LinopsError, match=r"\(T, C, H, W\)"):
        read_clip(tmp_path / "flat.npz")


@pytest.mark.parametrize(
    ("spec", "times"),
    [
        ("fi4", 4),
        ("every(3)", 3),
        ("every( 2 ) @ average(4)", 8),
        ("sr(2) @ shutter(3, 2)", 2),
        ("every(2) + every(2)", 1),
        ("every(2).H @ every(2)", 1),
        ("every(2) @ mask(my-mask.png)", 2),
        ("1e-3 * every(2)", 2),
        ("every(1+1)", 2),
        ("-every(3) * 2", 3),
        ("frames(0:100:2)", 2),
        ("frames(0, 2)", 1),
        ("load('every(2).safetensors')", 1),
        ("blur", 1),
        ("first(0.5)", 1),
        ("sr4", 1),
    ],
)
def test_frames_that_are_put_between_others_leave_the_film_as_long(spec, times):
    assert frame_rate_of(spec, 12.5) == 12.5 * times
