"""Fetching from a server here: checked, resumed, nothing half written."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from linops_video.cli import main
from linops_video.datasets import fetch as fetching
from linops_video.datasets.fetch import REMOTE, Remote, fetch
from linops_video.errors import FileError, SpecError

CONTENT = bytes(range(256)) * 20_000


class Server(ThreadingHTTPServer):
    """Serves CONTENT; closes the connection after `cut` bytes if that is set; knows ranges or does not."""

    cut: int | None = None
    ranges = True
    served: list[int]

    def handle_error(self, request, client_address) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]

    def do_GET(self) -> None:
        if self.path == "/gone.bin":
            self.send_error(404)
            return
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked[6:-1]) if self.server.ranges else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if "Range" in self.headers and self.server.ranges else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.server.served.append(start)
        self.wfile.write(CONTENT[start : self.server.cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.served = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)  # seen to be ended at once
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(server, monkeypatch) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    sets = {
        "small": (Remote(f"{url}/small.bin", sha256, len(CONTENT)),),
        "other": (Remote(f"{url}/other.bin", "0" * 64, len(CONTENT)),),
        "gone": (Remote(f"{url}/gone.bin", sha256, len(CONTENT)),),
    }
    monkeypatch.setattr(fetching, "REMOTE", sets)


def test_a_file_is_fetched_once(server, remote, tmp_path):
    told = []
    folder = fetch("small", tmp_path / "new", lambda *values: told.append(values))
    assert (folder / "small.bin").read_bytes() == CONTENT
    assert told[-1] == ("small.bin", len(CONTENT), len(CONTENT))
    assert fetch("small", tmp_path / "new") == folder
    assert server.served == [0]
    assert [path.name for path in folder.iterdir()] == ["small.bin"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_that_was_cut_off_is_continued(server, remote, tmp_path, ranges):
    """Where the server knows no ranges it begins anew."""
    server.cut = 1_234_567
    with pytest.raises(FileError, match="goes on from there"):
        fetch("small", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["small.bin.part"]
    have = (tmp_path / "small.bin.part").stat().st_size
    assert 0 < have <= 1_234_567
    server.cut, server.ranges = None, ranges
    fetch("small", tmp_path)
    assert (tmp_path / "small.bin").read_bytes() == CONTENT
    assert server.served == [0, have if ranges else 0]


def test_a_whole_file_that_was_not_yet_checked_is_not_fetched_again(server, remote, tmp_path):
    (tmp_path / "small.bin.part").write_bytes(CONTENT)
    fetch("small", tmp_path)
    assert (tmp_path / "small.bin").read_bytes() == CONTENT
    assert server.served == []


def test_a_wrong_checksum_leaves_nothing(remote, tmp_path):
    with pytest.raises(FileError, match="does not have the checksum"):
        fetch("other", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_never_overwritten(remote, tmp_path):
    (tmp_path / "small.bin").write_text("mine")
    with pytest.raises(FileError, match="move it away"):
        fetch("small", tmp_path)
    assert (tmp_path / "small.bin").read_text() == "mine"


def test_what_cannot_be_fetched_is_said(remote, tmp_path):
    with pytest.raises(FileError, match=r"cannot fetch .*gone\.bin.*404"):
        fetch("gone", tmp_path)
    with pytest.raises(SpecError, match="nothing to fetch for 'smal': did you mean small"):
        fetch("smal", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"cannot make the folder .*file: file exists$"):
        fetch("small", tmp_path / "file")


def test_the_command_says_where_the_data_are(remote, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "small", "--root", str(tmp_path / "here")])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == f"small: {tmp_path / 'here'}"
    with pytest.raises(SystemExit) as ended:
        main(["data", "fetch", "gone", "--root", str(tmp_path)])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: cannot fetch")


def test_the_files_have_the_names_that_are_looked_for():
    from linops_video.datasets import rotated_mnist, scanned_cifar10, ucf101

    names = {name: [remote.name for remote in files] for name, files in REMOTE.items()}
    assert names["rotated-mnist"] == [f"{rotated_mnist.FILES[part]}.gz" for part in ("train", "test")]
    assert names["scanned-cifar10"] == [scanned_cifar10.ARCHIVE]
    assert names["ucf101"] == [ucf101.LISTS, ucf101.VIDEOS]
    assert all(len(remote.sha256) == 64 and Path(remote.name).suffix for files in REMOTE.values() for remote in files)
