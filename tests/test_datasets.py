"""Data sets from files in their original formats, written here: the right pixels, splits and random numbers."""

import lzma
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from originals import NAMES, seeded, write_arrays, write_cifar, write_idx, write_ucf
from scipy import ndimage

from linops_video import Mosaic
from linops_video.datasets import DATASETS, dataset, spread
from linops_video.datasets.cache import VARIABLE, cached
from linops_video.datasets.rotated_mnist import RotatedMnist
from linops_video.datasets.scanned_cifar10 import GRID
from linops_video.datasets.table1 import PUBLISHED, table1_problems
from linops_video.errors import FileError, ShapeError, SpecError
from linops_video.media.video import read_video, write_video

PAPER = [name for name in DATASETS if name != "video"]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with small data in the original formats of all three."""
    folder = tmp_path_factory.mktemp("sets")
    write_idx(folder / "train-images-idx3-ubyte.gz", seeded(1).integers(0, 256, (60, 28, 28), dtype=np.uint8))
    write_idx(folder / "t10k-images-idx3-ubyte", seeded(2).integers(0, 256, (20, 28, 28), dtype=np.uint8))
    write_cifar(
        folder,
        seeded(3).integers(0, 256, (60, 32, 32, 3), dtype=np.uint8),
        seeded(4).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8),
        packed=True,
    )
    write_ucf(folder, zipped=False)
    return folder


@pytest.mark.parametrize("name", PAPER)
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_always_the_same_and_fits_the_papers_shape(root, name, split):
    data, again = dataset(name, split, root), dataset(name, split, root)
    shape = {"rotated-mnist": (9, 1, 14, 14), "scanned-cifar10": (4, 3, 16, 16), "ucf101": (4, 3, 32, 32)}[name]
    everything = data.videos(range(len(data)))
    assert data.shape == shape
    assert everything.shape == (len(data), *shape)
    assert everything.dtype == torch.float32
    assert 0 <= everything.min() < everything.max() <= 1
    assert torch.equal(everything, again.videos(range(len(data))))
    assert torch.equal(data.videos([1]), everything[1:2]), "a video hangs on its index, not on its neighbours"
    assert len(data.sources) == len(data.scenes) == len(data)


@pytest.mark.parametrize("name", PAPER)
def test_draws_are_of_the_generator_and_of_the_same_items(root, name):
    data = dataset(name, "train", root)
    indices = torch.arange(len(data)).repeat(6)
    drawn = data.draw(indices, generator())
    assert drawn.shape == (len(indices), *data.shape)
    assert torch.equal(drawn, data.draw(indices, generator()))
    assert not torch.equal(drawn, data.draw(indices, generator(1)))


@pytest.mark.parametrize("name", PAPER)
def test_splits_share_nothing(root, name):
    sources = [set(dataset(name, split, root).sources) for split in ("train", "val", "test")]
    assert len(set.union(*sources)) == sum(map(len, sources))


def test_digits_turn_by_forty_degrees_a_frame(tmp_path):
    """Against scipy's rotation of the whole image, bilinear, zero outside, counter-clockwise."""
    smooth = ndimage.gaussian_filter(seeded().random((3, 28, 28)), (0, 2, 2))
    digits = np.round(255 * smooth / smooth.max()).astype(np.uint8)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", digits)
    data = dataset("rotated-mnist", "test", tmp_path)
    assert isinstance(data, RotatedMnist)
    videos = data.videos(range(3)).numpy()
    for i in range(3):
        for t in range(9):
            turned = ndimage.rotate(
                digits[i] / 255.0, data.phases[i] + 40 * t, reshape=False, order=1, mode="grid-constant"
            )
            turned = turned[:14, :14]
            np.testing.assert_allclose(videos[i, t, 0], turned, atol=2e-5)


def test_a_tenth_of_the_digits_is_for_validation(root):
    train, val = (dataset("rotated-mnist", split, root) for split in ("train", "val"))
    assert (len(train), len(val)) == (54, 6)
    assert sorted((*train.sources, *val.sources), key=lambda s: int(s[6:])) == [f"train/{i}" for i in range(60)]


@pytest.mark.parametrize("name", ["rotated-mnist", "scanned-cifar10"])
def test_archives_of_arrays_hold_the_same(root, tmp_path, name):
    rng = {"rotated-mnist": (1, 2), "scanned-cifar10": (3, 4)}[name]
    size = {"rotated-mnist": (28, 28), "scanned-cifar10": (32, 32, 3)}[name]
    counts = {"rotated-mnist": (60, 20), "scanned-cifar10": (60, 12)}[name]
    arrays = {
        f"x_{part}": seeded(seed).integers(0, 256, (count, *size), dtype=np.uint8)
        for part, seed, count in zip(("train", "test"), rng, counts, strict=True)
    }
    write_arrays(tmp_path / {"rotated-mnist": "mnist.npz", "scanned-cifar10": "cifar10.npz"}[name], arrays)
    for split in ("train", "val", "test"):
        original, copy = dataset(name, split, root), dataset(name, split, tmp_path)
        assert torch.equal(original.videos(range(len(original))), copy.videos(range(len(copy))))
        assert original.sources == copy.sources


@pytest.mark.parametrize("packed", [True, False])
def test_images_are_scanned_in_the_papers_order(tmp_path, packed):
    images = seeded().integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)
    write_cifar(tmp_path, images[:5], images[5:], packed)
    video = dataset("scanned-cifar10", "test", tmp_path).videos([3])[0]
    image = torch.from_numpy(images[8]).permute(2, 0, 1) / 255
    windows = (image[:, :16, :16], image[:, 16:, :16], image[:, 16:, 16:], image[:, :16, 16:])
    assert torch.equal(video, torch.stack(windows))


def test_drawn_images_are_the_image_or_its_mirror_moved(tmp_path):
    """Every pixel of the image tells its place, and so how far it was moved; what comes in is mirrored."""
    rows, columns = np.mgrid[:32, :32].astype(np.uint8)
    image = np.stack((rows, columns, np.zeros_like(rows)), -1)[None]
    np.savez(tmp_path / "cifar10.npz", x_test=image)
    data = dataset("scanned-cifar10", "test", tmp_path)
    videos = (data.draw([0] * 400, generator()) * 255).round()
    drawn = Mosaic(GRID, data.shape)(videos)[:, 0]
    mirrored = drawn[:, 1, 0, 15] > drawn[:, 1, 0, 16]
    assert 150 < int(mirrored.sum()) < 250
    drawn[mirrored, 1] = 31 - drawn[mirrored, 1]
    shift = drawn[:, :2, 16, 16] - 16
    places = torch.arange(32) + shift[..., None]
    places = torch.where(places < 0, -1 - places, torch.where(places > 31, 63 - places, places))
    assert torch.equal(drawn[:, 0], places[:, 0, :, None].expand(400, 32, 32))
    assert torch.equal(drawn[:, 1], places[:, 1, None].expand(400, 32, 32))
    assert (shift.min(), shift.max()) == (-4, 4)
    assert 150 < int((shift == 0).all(1).sum()) < 260


def test_the_same_images_are_held_out_of_every_part_of_the_set(tmp_path):
    images = seeded().integers(0, 256, (3000, 32, 32, 3), dtype=np.uint8)
    index = np.sort(seeded(1).choice(50_000, 3000, replace=False)).astype(np.int32)
    np.savez(tmp_path / "cifar10.npz", x_train=images, index_train=index)
    (tmp_path / "half").mkdir()
    np.savez(tmp_path / "half" / "cifar10.npz", x_train=images[::2], index_train=index[::2])
    whole, half = (set(dataset("scanned-cifar10", "val", path).sources) for path in (tmp_path, tmp_path / "half"))
    assert half == whole & {f"train/{i}" for i in index[::2]}
    assert 200 < len(whole) < 400
    assert "of the 50,000 training images" in dataset("scanned-cifar10", "val", tmp_path).note


def test_a_pickle_cannot_call_anything(tmp_path):
    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "called",)

    write_cifar(tmp_path, np.zeros((5, 32, 32, 3), np.uint8), np.zeros((1, 32, 32, 3), np.uint8), packed=False)
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps({b"data": Evil()}, 2))
    with pytest.raises(FileError, match=r"is no batch of CIFAR-10: it asks for"):
        dataset("scanned-cifar10", "test", tmp_path)
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_ucf101_follows_the_official_lists(tmp_path, zipped):
    write_ucf(tmp_path, zipped)
    told: list[tuple[int, int]] = []
    for split, names in NAMES.items():
        data = dataset("ucf101", split, tmp_path, on_item=lambda done, total: told.append((done, total)))
        assert data.sources == names
        assert data.scenes == [name[:-4] for name in names]
        assert data.complete
    assert told[:2] == [(1, 2), (2, 2)]


def test_ucf101_is_four_frames_shrunk_with_an_antialiased_bilinear_filter(root):
    data = dataset("ucf101", "val", root)
    frames = read_video(root / "UCF-101" / "Archery" / "v_Archery_g23_c01.avi").frames
    small = F.interpolate(frames, (32, 32), mode="bilinear", antialias=True, align_corners=False)
    windows = torch.stack([small[i : i + 4] for i in range(len(small) - 3)])
    video = data.videos([0])[0]
    near = (windows - video).abs().amax((1, 2, 3, 4))
    assert near.min() <= 0.5 / 255 + 1e-6
    drawn = data.draw([0] * 40, generator())
    distances = (drawn[:, None] - torch.stack((windows, windows.flip(-1)), 1).flatten(0, 1)).abs().amax((2, 3, 4, 5))
    assert (distances.amin(1) <= 0.5 / 255 + 1e-6).all()
    assert len(set(distances.argmin(1).tolist())) > len(windows), "every first frame, mirrored and not"


def test_missing_clips_are_said(root, tmp_path):
    write_ucf(tmp_path, zipped=False)
    (tmp_path / "UCF-101" / "Archery" / "v_Archery_g01_c01.avi").unlink()
    data = dataset("ucf101", "test", tmp_path)
    assert (data.sources, data.complete) == (NAMES["test"][1:], False)
    assert "1 of the 2 clips" in data.note


@pytest.mark.parametrize("packed", [True, False])
def test_ucf101_from_an_archive_of_windows(tmp_path, packed):
    video = seeded().integers(0, 256, (6, 16, 32, 32, 3), dtype=np.uint8)
    about = {
        "split": np.array(["test", "train", "test", "test", "val", "test"]),
        "category": np.array(["ucf", "ucf", "misc", "ucf", "ucf", "ucf"]),
        "source": np.array([f"clip{i}" for i in range(6)]),
        "scene": np.array(
            ["ucf101/v_A_g01", "ucf101/v_A_g09", "x", "ucf101/v_B_g01", "ucf101/v_A_g24", "ucf101/v_A_g01"]
        ),
    }
    path = tmp_path / "video32.npz"
    if packed:
        delta = np.diff(video, axis=1, prepend=np.zeros_like(video[:, :1]))
        stored = {"delta_xz": np.frombuffer(lzma.compress(delta.tobytes()), np.uint8), "shape": np.array(video.shape)}
    else:
        stored = {"video": video}
    write_arrays(path, stored | about)
    data = dataset("ucf101", "test", tmp_path)
    assert data.sources == ["clip0", "clip3", "clip5"]
    assert data.scenes == ["ucf101/v_A_g01", "ucf101/v_B_g01", "ucf101/v_A_g01"]
    assert "2 of its 101 classes" in data.note
    assert not data.complete
    for k, i in enumerate((0, 3, 5)):
        windows = torch.stack([torch.from_numpy(video[i, a : a + 4]) for a in range(13)]).permute(0, 1, 4, 2, 3) / 255
        assert (windows == data.videos([k])).flatten(1).all(1).sum() == 1
    if packed:
        np.testing.assert_array_equal(np.load(cached(path, "unpacked", list)), video)


def test_videos_of_a_folder(tmp_path):
    frames = {}
    for i in range(12):
        frames[f"clip{i}.mkv"] = torch.from_numpy(seeded(i).integers(0, 256, (9, 3, 12, 16), dtype=np.uint8)) / 255
        write_video(tmp_path / f"clip{i}.mkv", frames[f"clip{i}.mkv"])
    sets = {split: dataset("video", split, tmp_path, frames=4, size=8) for split in ("train", "val", "test", "all")}
    files = {split: set(data.sources) for split, data in sets.items()}
    assert [len(files[s]) for s in ("train", "val", "test", "all")] == [10, 1, 1, 12]
    assert files["train"] | files["val"] | files["test"] == files["all"]
    data = sets["all"]
    assert (len(data), data.shape) == (24, (4, 3, 8, 8)), "two videos of four frames from each nine"
    firsts = []
    for source, video in zip(data.sources, data.videos(range(len(data))), strict=True):
        places = frames[source].unfold(0, 4, 1).unfold(2, 8, 1).unfold(3, 8, 1).movedim(4, 1).flatten(0, 0)
        same = (places.permute(0, 3, 4, 1, 2, 5, 6) == video).flatten(3).all(-1)
        assert same.sum() == 1
        firsts.append(int(same.nonzero()[0, 0]))
    assert firsts == [0, 4] * 12
    whole = dataset("video", "all", tmp_path, frames=9)
    assert torch.equal(whole.videos([0])[0], frames[whole.sources[0]])


def test_folders_named_after_splits_are_the_splits(tmp_path):
    for name in ("train/a", "train/b", "test/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_video(tmp_path / f"{name}.avi", torch.rand(4, 3, 8, 8))
    assert dataset("video", "train", tmp_path, frames=4).sources == ["train/a.avi", "train/b.avi"]
    assert dataset("video", "test", tmp_path, frames=4).sources == ["test/c.avi"]
    with pytest.raises(FileError, match="none for the split val"):
        dataset("video", "val", tmp_path, frames=4)


def test_decoding_is_kept_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "kept"))
    source = tmp_path / "source.avi"
    source.write_bytes(b"one")

    def broken():
        yield np.zeros(3, np.uint8)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        cached(source, "form", broken)
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []
    rows = [np.arange(3, dtype=np.uint8) + i for i in range(11)]
    path = cached(source, "form", lambda: rows)
    np.testing.assert_array_equal(np.load(path), np.stack(rows))
    assert cached(source, "form", broken) == path, "not decoded again"
    source.write_bytes(b"another")
    assert cached(source, "form", lambda: rows) != path, "a source that changed is"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("mnist",), SpecError, "did you mean rotated-mnist"),
        (("rotated-mnist", "dev"), SpecError, "train, val, test"),
        (("rotated-mnist", "test", "nowhere"), FileError, "no such folder"),
        (("rotated-mnist", "test", "."), FileError, "data fetch rotated-mnist"),
        (("scanned-cifar10", "test", "."), FileError, "data fetch scanned-cifar10"),
        (("ucf101", "test", "."), FileError, "data fetch ucf101"),
        (("ucf101", "test"), FileError, "data fetch ucf101"),
        (("ucf101", "test", ".", 8), SpecError, "only video takes them"),
        (("video",), SpecError, "needs a root"),
        (("video", "test", "."), FileError, "no video files"),
        (("video", "test", "nowhere"), FileError, "no such folder"),
        (("nowhere.npz",), FileError, "no such file"),
        (("small.npz", "all", None, 8), ShapeError, "8 frames of 16×12 with 3 channels cannot be cut"),
        (("small.npz", "all", None, 4, 13), ShapeError, "13×13"),
        (("small.npz", "all", None, 0), SpecError, "frames must be 1"),
        (("uneven.npz", "test"), FileError, 'an array "split" of shape'),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(tmp_path, monkeypatch, arguments, error, words):
    monkeypatch.chdir(tmp_path)
    video = np.zeros((3, 6, 12, 16, 3), np.uint8)
    np.savez("small.npz", video=video)
    np.savez("uneven.npz", video=video, split=np.array(["test"]))
    with pytest.raises(error, match=words):
        dataset(*arguments)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        (
            "rotated-mnist",
            "t10k-images-idx3-ubyte",
            b"\x00\x00\x08\x03" + struct.pack(">3I", 2, 28, 28) + b"\x01" * 784,
        ),
        ("rotated-mnist", "t10k-images-idx3-ubyte.gz", b"\x1f\x8b not gzip"),
        ("scanned-cifar10", "cifar-10-python.tar.gz", b"\x1f\x8b not gzip"),
        ("ucf101", "UCF101_videos.zip", b"not a zip"),
        ("ucf101", "video32.npz", b"not a zip"),
    ],
)
def test_files_that_are_cut_off_are_said(tmp_path, name, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(FileError, match=file.replace(".", r"\.")):
        dataset(name, "test", tmp_path)


def test_a_limit_spreads_over_the_set():
    assert spread(10, None).tolist() == list(range(10))
    assert spread(10, 50).tolist() == list(range(10))
    assert spread(10_000, 3).tolist() == [0, 5000, 9999]
    assert len(set(spread(1790, 97).tolist())) == 97


def test_the_papers_table_is_whole():
    assert set(PUBLISHED) == set(PAPER)
    for name, rows in PUBLISHED.items():
        assert len(rows) == 5
        for cells in rows.values():
            assert tuple(cells) == table1_problems(name, 3)
            assert len(cells) == 15
    best = [max(row[p] for row in PUBLISHED["rotated-mnist"].values()) for p in table1_problems("rotated-mnist", 1)]
    assert best == [26.3, 36.1, 35.0, 29.7, 21.8, 27.9, 27.7, 39.9, 39.0, 41.5, 28.4, 20.2, 31.2, 22.3, 18.0]
