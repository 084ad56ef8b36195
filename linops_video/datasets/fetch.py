"""Fetching the paper's data sets from where their authors, or those who keep copies, have put them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linops_video.datasets.cache import ADVICE, data_folder
from linops_video.errors import FileError, SpecError, near_names
from linops_video.media.files import make_folder

CHUNK = 1 << 20
PARTIAL, NOTHING_LEFT = 206, 416
"""HTTP status of an answer that begins where it was asked to, and of one that has nothing beyond that place."""

OnBytes = Callable[[str, int, int], None]
"""Called with the name of a file, its bytes that are there and those of the whole, 0 where that is not known."""


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its size in bytes is for the reader of a list."""

    url: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
REMOTE: dict[str, tuple[Remote, ...]] = {
    "rotated-mnist": (
        Remote(
            f"{_MNIST}train-images-idx3-ubyte.gz",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            9_912_422,
        ),
        Remote(
            f"{_MNIST}t10k-images-idx3-ubyte.gz",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            1_648_877,
        ),
    ),
    "scanned-cifar10": (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
            170_498_071,
        ),
    ),
    "ucf101": (
        Remote(
            "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip",
            "5c0d1a53b8ed364a2ac830a73f405e51bece7d98ce1254fd19ed4a36b224bd27",
            113_943,
        ),
        Remote(
            "https://storage.googleapis.com/thumos14_files/UCF101_videos.zip",
            "dabf56f573cd19c79e096563529fec8126a2a34e18e10c72eb621dd687532b0d",
            6_960_400_115,
        ),
    ),
}
"""Data set -> its files. The clips of UCF-101 are fetched as the zip that the THUMOS challenge published: the original
is a RAR archive, which no free library unpacks."""


def fetch(name: str, root: str | Path | None = None, on_bytes: OnBytes | None = None) -> Path:
    """Fetch the files of a data set that are not there yet, check them, and give their folder.

    A file that was cut off is continued, where the server can; one with a wrong checksum is removed.

    Args:
        name: a name in `REMOTE`.
        root: the folder to put them in; None: where `dataset` looks for them.
        on_bytes: told how far each file is.

    Raises:
        SpecError: for other names. FileError: if a file cannot be fetched, and for one that is there but another.
    """
    if name not in REMOTE:
        raise SpecError(f"there is nothing to fetch for {name!r}: {near_names(name, REMOTE)}")
    import pooch  # here: with requests it takes half a second to import

    folder = data_folder(name) if root is None else Path(root)
    make_folder(folder, ADVICE if root is None else "")
    pooch.get_logger().setLevel("WARNING")
    for remote in REMOTE[name]:
        path = folder / remote.name
        if path.exists() and not pooch.hashes.hash_matches(str(path), remote.sha256):
            raise FileError(f"{path} is not the file that {remote.url} had: move it away and fetch again")
        resumed: Any = _Resumed(folder / f"{remote.name}.part", remote, on_bytes)
        try:
            pooch.retrieve(remote.url, remote.sha256, remote.name, folder, downloader=resumed)
        except ValueError:
            raise FileError(f"{remote.url} does not have the checksum that it should have; nothing was kept") from None
        except (OSError, RuntimeError) as error:  # those of requests are OSErrors
            raise FileError(f"cannot fetch {remote.url}: {_reason(error)}; the same call goes on from there") from None
    return folder


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} ({error.response.reason})"
    if isinstance(error, requests.RequestException):
        return "there is no connection, or it broke off"
    return str(error)


class _Resumed:
    """A downloader for pooch that keeps what it has in a file of its own, and goes on from its end the next time."""

    def __init__(self, part: Path, remote: Remote, on_bytes: OnBytes | None) -> None:
        self.part, self.remote, self.on_bytes = part, remote, on_bytes

    def __call__(self, url: str, output_file: Any, pooch: Any) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=headers, stream=True, timeout=60) as answer:
            if answer.status_code != NOTHING_LEFT:
                answer.raise_for_status()
                have = have if answer.status_code == PARTIAL else 0
                total = have + int(answer.headers.get("content-length", 0))
                with self.part.open("ab" if have else "wb") as file:
                    for chunk in answer.iter_content(CHUNK):
                        file.write(chunk)
                        if self.on_bytes is not None:
                            self.on_bytes(self.remote.name, file.tell(), total)
                if total and self.part.stat().st_size < total:
                    raise OSError("the connection was closed before the end of the file")
        shutil.move(self.part, output_file)
