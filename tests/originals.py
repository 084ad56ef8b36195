"""Small data in the original formats of the data sets: idx, CIFAR-10 batches of Python 2, folders of UCF-101."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from linops_video.media.video import write_video


def seeded(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    np.savez(path, **arrays)


def write_idx(path: Path, images: np.ndarray) -> None:
    data = b"\x00\x00\x08\x03" + struct.pack(">3I", *images.shape) + images.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def python2_batch(images: np.ndarray) -> bytes:
    """A batch as Python 2 and its NumPy pickled it: a dictionary of byte strings, protocol 2."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2).reshape(len(images), -1))

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    array = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + text(b"b") + b"\x87R"
    kind = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R"
        + b"(K\x03"
        + text(b"|")
        + b"NNN"
        + number(-1) * 2
        + b"K\x00tb"
    )
    state = b"(K\x01" + number(rows.shape[0]) + number(rows.shape[1]) + b"\x86" + kind + b"\x89"
    data = array + state + b"T" + struct.pack("<i", rows.nbytes) + rows.tobytes() + b"tb"
    return b"\x80\x02}(" + text(b"batch_label") + text(b"one") + text(b"data") + data + text(b"labels") + b"]" + b"u."


def write_cifar(root: Path, train: np.ndarray, test: np.ndarray, packed: bool) -> None:
    parts = dict(zip((f"data_batch_{i}" for i in range(1, 6)), np.array_split(train, 5), strict=True)) | {
        "test_batch": test
    }
    files = {f"cifar-10-batches-py/{name}": python2_batch(images) for name, images in parts.items()}
    if not packed:
        (root / "cifar-10-batches-py").mkdir(parents=True)
        for name, data in files.items():
            (root / name).write_bytes(data)
        return
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


NAMES = {  # of clips, by the official split of their group
    "test": ["v_Archery_g01_c01", "v_HandStandPushups_g07_c02"],
    "train": ["v_Archery_g08_c01", "v_Archery_g22_c03", "v_Archery_g15_c02"],
    "val": ["v_Archery_g23_c01", "v_HandStandPushups_g25_c04"],
}


def write_ucf(root: Path, zipped: bool) -> None:
    listed = {"trainlist01.txt": NAMES["train"] + NAMES["val"], "testlist01.txt": NAMES["test"]}
    lists = {f"ucfTrainTestlist/{f}": "".join(f"{n[2:9]}/{n}.avi 1\r\n" for n in names) for f, names in listed.items()}
    folder = root / "UCF-101" / "Archery"
    folder.mkdir(parents=True)
    for i, name in enumerate(n for names in NAMES.values() for n in names):
        clip = torch.from_numpy(seeded(i).random((6 + i, 3, 24, 32), dtype=np.float32))
        write_video(folder / f"{name.replace('HandStand', 'Handstand')}.avi", clip)  # the official names differ so
    if zipped:
        with zipfile.ZipFile(root / "UCF101_videos.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, f"UCF-101/Archery/{path.name}")
                path.unlink()
        with zipfile.ZipFile(root / "UCF101TrainTestSplits-RecognitionTask.zip", "w") as archive:
            for name, text in lists.items():
                archive.writestr(name, text)
    else:
        (root / "ucfTrainTestlist").mkdir()
        for name, text in lists.items():
            (root / name).write_text(text)
