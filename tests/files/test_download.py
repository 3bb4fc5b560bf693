"""download() against a real server on this machine that can be told to misbehave."""

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hymtl.files.download import TRIES, DownloadError, download

ROOT = Path(__file__).resolve().parents[1]
BODY = random.Random(0).randbytes(1_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
DOWNLOAD = """
import sys, pathlib
from hymtl.files.download import download
print("ready", flush=True)
download(sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], timeout=30)
"""


class Server(ThreadingHTTPServer):
    """Serves ``body``; takes its behaviour for each request from ``script``, then goes by ``always``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.script: list[str] = []
        self.always = "good"
        self.ranges: list[str | None] = []  # the Range header of each request
        self.paths: list[str] = []
        self.release = threading.Event()  # what hanging requests wait for
        self.url = f"http://127.0.0.1:{self.server_port}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        behaviour = self.server.script.pop(0) if self.server.script else self.server.always
        self.server.paths.append(self.path)
        self.server.ranges.append(self.headers["Range"])
        if behaviour == "missing":
            return self.send_error(404)
        if behaviour == "silent":
            self.server.release.wait(30)
            return None
        self.answer(behaviour)

    def answer(self, behaviour: str) -> None:
        body, start = self.server.body, 0
        if self.headers["Range"] and behaviour != "no ranges":
            start = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        half = (start + len(body)) // 2
        self.wfile.write(body[start:half])
        if behaviour == "stalls":
            self.wfile.flush()
            self.server.release.wait(30)
        if behaviour != "cut":
            self.wfile.write(body[half:])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "file.bin"


def part_of(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def leave_part(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(data)


def start_process(*args: object) -> subprocess.Popen:
    """A second Python that runs DOWNLOAD, returned once it is about to call download()."""
    process = subprocess.Popen(
        [sys.executable, "-c", DOWNLOAD, *map(str, args)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    return process


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "waited 30 s for nothing"
        time.sleep(0.01)


@pytest.mark.parametrize("digest", [SHA256, SHA256[:8], SHA256.upper()], ids=["full", "prefix", "upper case"])
def test_good_download(server, path, digest):
    assert download(server.url, path, digest) == path
    assert path.read_bytes() == BODY
    assert not part_of(path).exists()
    assert server.ranges == [None]


def test_existing_file_sends_no_request(server, tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"already here")
    assert download(server.url, path, SHA256) == path
    assert path.read_bytes() == b"already here"
    assert server.ranges == []
    assert list(tmp_path.iterdir()) == [path]  # nor is anything written: the folder may be read-only


def test_wrong_digest(server, path):
    wrong = "0" * 64
    with pytest.raises(DownloadError) as caught:
        download(server.url, path, wrong)
    for wanted in (server.url, wrong, SHA256, "Run again"):
        assert wanted in str(caught.value)
    assert not path.exists()
    assert not part_of(path).exists()
    assert server.ranges == [None]  # a clean download is not repeated

    download(server.url, path, SHA256)
    assert path.read_bytes() == BODY


def test_wrong_last_digit_is_noticed(server, path):
    wrong = SHA256[:-1] + ("0" if SHA256[-1] != "0" else "1")
    with pytest.raises(DownloadError, match="SHA-256"):
        download(server.url, path, wrong)


@pytest.mark.parametrize("digest", ["", "abc", "x" * 64, SHA256 + "0"])
def test_meaningless_digest_is_refused(server, path, digest):
    with pytest.raises(DownloadError, match="8 to 64 hex digits"):
        download(server.url, path, digest)
    assert server.ranges == []


def test_cut_once_resumes(server, path):
    server.script = ["cut"]
    download(server.url, path, SHA256)
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]
    assert path.read_bytes() == BODY


def test_cut_always_leaves_the_part_for_the_next_call(server, path):
    server.always = "cut"
    with pytest.raises(DownloadError, match="cut") as caught:
        download(server.url, path, SHA256)
    assert server.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(server.ranges) == TRIES
    assert not path.exists()
    have = part_of(path).stat().st_size
    assert part_of(path).read_bytes() == BODY[:have]
    assert have > len(BODY) // 2

    server.always = "good"
    download(server.url, path, SHA256)
    assert server.ranges[TRIES:] == [f"bytes={have}-"]
    assert path.read_bytes() == BODY


def test_error_after_a_cut_is_not_retried(server, path):
    server.script = ["cut", "missing"]
    with pytest.raises(DownloadError, match="404"):
        download(server.url, path, SHA256)
    assert len(server.ranges) == 2


def test_server_without_ranges_starts_over(server, path):
    server.script = ["cut"]
    server.always = "no ranges"
    download(server.url, path, SHA256)
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("length", [1000, len(BODY), len(BODY) + 1000], ids=["short", "full", "too long"])
def test_wrong_part_restarts_cleanly(server, path, length):
    leave_part(path, b"x" * length)
    download(server.url, path, SHA256)
    assert server.ranges == [f"bytes={length}-", None]
    assert path.read_bytes() == BODY


def test_wrong_part_and_wrong_server_end_in_one_error(server, path):
    leave_part(path, b"x" * 1000)
    server.body = BODY[::-1]
    with pytest.raises(DownloadError, match="SHA-256"):
        download(server.url, path, SHA256)
    assert server.ranges == ["bytes=1000-", None]
    assert not part_of(path).exists()


def test_whole_part_needs_no_body(server, path):
    leave_part(path, BODY)
    download(server.url, path, SHA256)
    assert server.ranges == [f"bytes={len(BODY)}-"]
    assert path.read_bytes() == BODY


def test_server_that_never_answers(server, path):
    server.always = "silent"
    with pytest.raises(DownloadError, match="out|within") as caught:
        download(server.url, path, SHA256, timeout=1)
    assert server.url in str(caught.value)
    assert len(server.ranges) == 1


def test_server_that_stalls_midway(server, path):
    server.always = "stalls"
    with pytest.raises(DownloadError, match="silent"):
        download(server.url, path, SHA256, timeout=1)
    assert server.ranges == [None]
    assert part_of(path).read_bytes() == BODY[: len(BODY) // 2]


def test_name_look_up_that_hangs(monkeypatch, server, path):
    answer = threading.Event()

    def hang(*args, **kwargs):
        answer.wait(5)
        raise socket.gaierror("the look-up ended")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(DownloadError, match="no answer within 1 s"):
        download(server.url, path, SHA256, timeout=1)
    answer.set()


def test_unknown_name(monkeypatch, server, path):
    calls = []

    def fail(*args, **kwargs):
        calls.append(args)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DownloadError, match="nowhere.invalid/x: .*Name or service not") as caught:
        download("http://nowhere.invalid/x", path, SHA256)
    assert str(path) in str(caught.value)  # the remedy
    assert "\n" not in str(caught.value)
    assert "urlopen" not in str(caught.value)
    assert len(calls) == 1


def test_not_found(server, path):
    server.always = "missing"
    with pytest.raises(DownloadError, match="404") as caught:
        download(server.url, path, SHA256)
    assert server.url in str(caught.value)
    assert len(server.ranges) == 1
    assert not part_of(path).exists()


def test_nobody_listening(server, path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/file.bin"
        with pytest.raises(DownloadError, match="refused") as caught:
            download(url, path, SHA256)
    assert url in str(caught.value)


@pytest.mark.parametrize("scheme", ["ftp", "file"])
def test_other_schemes_are_refused(tmp_path, path, scheme):
    source = tmp_path / "source"
    source.write_bytes(BODY)
    with pytest.raises(DownloadError, match="http://"):
        download(f"{scheme}://{source}", path, SHA256)
    assert not path.exists()


def test_proxy_from_the_environment(monkeypatch, server, path):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/file.bin"))
    download("http://nowhere.invalid/file.bin", path, SHA256)
    assert server.paths == ["http://nowhere.invalid/file.bin"]
    assert path.read_bytes() == BODY


def test_disk_trouble_is_not_blamed_on_the_network(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError):
        download(server.url, tmp_path / "file" / "file.bin", SHA256)


def test_killed_midway_then_resumed(server, path):
    server.script = ["stalls"]
    process = start_process(server.url, path, SHA256)
    wait_until(lambda: part_of(path).exists() and part_of(path).stat().st_size >= len(BODY) // 4)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not path.exists()
    have = part_of(path).stat().st_size

    download(server.url, path, SHA256)
    assert server.ranges == [None, f"bytes={have}-"]
    assert path.read_bytes() == BODY


@pytest.mark.skipif(sys.platform == "win32", reason="the lock needs fcntl")
def test_two_processes_share_one_download(server, path):
    server.script = ["stalls"]
    first = start_process(server.url, path, SHA256)
    wait_until(lambda: server.ranges)
    second = start_process(server.url, path, SHA256)
    time.sleep(0.3)  # a second that did not wait would send its request now
    server.release.set()
    first.communicate(timeout=30)
    second.communicate(timeout=30)
    assert (first.returncode, second.returncode) == (0, 0)
    assert server.ranges == [None]
    assert path.read_bytes() == BODY
