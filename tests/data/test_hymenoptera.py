"""locate() and fetch() of the hymenoptera photos, with archives made here and served by this machine."""

import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from hymtl.data.sources import hymenoptera
from hymtl.data.sources.hymenoptera import FOLDER, LAYOUT, fetch, locate
from hymtl.errors import HymtlError
from hymtl.files import home
from hymtl.files.download import DownloadError

ROOT = Path(__file__).resolve().parents[2]
FETCH_KILLED_BEFORE_THE_LAST_STEP = """
import os, signal
from hymtl.data.sources import hymenoptera
hymenoptera.put_in_place = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
hymenoptera.fetch()
"""


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.body, server.requests = b"", []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def chosen_home(monkeypatch, tmp_path):
    """A home of its own for each test, deep enough that '..' stays below tmp_path; no mirror is set."""
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "outer" / "home"))
    monkeypatch.delenv("HYMTL_HYMENOPTERA_URL", raising=False)
    monkeypatch.delenv("HYMTL_HYMENOPTERA_SHA256", raising=False)
    return tmp_path / "outer" / "home"


@pytest.fixture
def archive(tmp_path):
    """A zip of the right layout, with two tiny pictures for each class."""
    picture = tmp_path / "picture.jpg"
    Image.new("RGB", (8, 8), "brown").save(picture)
    path = tmp_path / "good.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as writer:
        for folder in LAYOUT:
            for name in ("1.jpg", "2.jpg"):
                writer.write(picture, f"{FOLDER}/{folder}/{name}")
    return path


@pytest.fixture
def real_photos():
    assets = os.environ.get("HYMTL_TEST_ASSETS")
    if not assets or locate(Path(assets)) is None:
        pytest.skip("HYMTL_TEST_ASSETS names no folder that holds hymenoptera_data/")
    return locate(Path(assets))


def serve(server, archive: Path) -> dict[str, str]:
    """Put the archive on the server; returns what fetch() needs to get it."""
    server.body = archive.read_bytes()
    return {
        "url": f"http://127.0.0.1:{server.server_port}/photos.zip",
        "sha256": hashlib.sha256(server.body).hexdigest(),
    }


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.suffix != ".lock")


def everything_below(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def lay_out(folder: Path) -> Path:
    for name in LAYOUT:
        (folder / name).mkdir(parents=True)
    return folder


def test_home_is_hymtl_home(chosen_home):
    assert home() == chosen_home


def test_home_is_a_cache_folder_otherwise(monkeypatch, tmp_path):
    monkeypatch.delenv("HYMTL_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home() == tmp_path / "cache" / "hymtl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert home() == Path.home() / ".cache" / "hymtl"


def test_find_below_home(chosen_home):
    assert locate(None) is None
    lay_out(chosen_home / FOLDER)
    assert locate(None) == chosen_home / FOLDER


def test_find_with_a_root(tmp_path, chosen_home):
    lay_out(chosen_home / FOLDER)
    assert locate(tmp_path) is None  # the home is not a substitute for a root that was asked for
    photos = lay_out(tmp_path / FOLDER)
    assert locate(tmp_path) == photos
    assert locate(photos) == photos


@pytest.mark.parametrize("lacking", LAYOUT)
def test_find_wants_every_folder(tmp_path, lacking):
    photos = lay_out(tmp_path / FOLDER)
    (photos / lacking).rmdir()
    assert locate(tmp_path) is None
    (photos / lacking).write_bytes(b"a file is not a folder")
    assert locate(tmp_path) is None


def test_fetch_puts_the_photos_in_home(server, archive, chosen_home):
    photos = fetch(**serve(server, archive))
    assert photos == chosen_home / FOLDER == locate(None)
    assert len(files_below(photos)) == 8
    with zipfile.ZipFile(archive) as reader:
        assert files_below(chosen_home / FOLDER) == {
            name.removeprefix(f"{FOLDER}/"): reader.read(name) for name in reader.namelist()
        }
    assert leftovers(chosen_home) == [FOLDER]


def test_fetched_folder_is_as_readable_as_any_other(server, archive, tmp_path):
    photos = fetch(**serve(server, archive))
    (tmp_path / "other").mkdir()
    assert stat.S_IMODE(photos.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_fetch_into_another_folder(server, archive, tmp_path, chosen_home):
    assert fetch(tmp_path / "elsewhere", **serve(server, archive)) == tmp_path / "elsewhere" / FOLDER
    assert not chosen_home.exists()


def test_fetch_from_a_mirror_in_the_environment(monkeypatch, server, archive, chosen_home):
    mirror = serve(server, archive)
    monkeypatch.setenv("HYMTL_HYMENOPTERA_URL", mirror["url"])
    monkeypatch.setenv("HYMTL_HYMENOPTERA_SHA256", mirror["sha256"])
    assert fetch() == chosen_home / FOLDER
    assert server.requests == ["/photos.zip"]


def test_fetch_asks_for_the_official_zip_by_default(monkeypatch, chosen_home):
    asked = []

    def record(url, path, sha256):
        asked.append((url, sha256))
        raise DownloadError("stop here")

    monkeypatch.setattr(hymenoptera, "download", record)
    with pytest.raises(DownloadError, match="stop here"):
        fetch()
    assert asked == [(hymenoptera.URL, hymenoptera.SHA256)]


def test_existing_photos_send_no_request(server, archive, chosen_home):
    lay_out(chosen_home / FOLDER)
    assert fetch(**serve(server, archive)) == chosen_home / FOLDER
    assert server.requests == []
    assert list(chosen_home.iterdir()) == [chosen_home / FOLDER]  # no lock either: home may be read-only


def test_fetch_of_the_real_photos(server, real_photos, tmp_path, chosen_home):
    path = tmp_path / "real.zip"
    with zipfile.ZipFile(path, "w") as writer:  # stored: JPEGs do not get smaller
        for name in files_below(real_photos):
            writer.write(real_photos / name, f"{FOLDER}/{name}")
    photos = fetch(**serve(server, path))
    assert files_below(photos) == files_below(real_photos)
    assert leftovers(chosen_home) == [FOLDER]


def test_wrong_digest_then_the_right_one(server, archive, chosen_home):
    good = serve(server, archive)
    with pytest.raises(DownloadError, match="SHA-256"):
        fetch(url=good["url"], sha256="0" * 64)
    assert leftovers(chosen_home) == []
    assert fetch(**good) == chosen_home / FOLDER


def test_nobody_listening_is_an_error_that_names_the_remedy(server, archive, chosen_home):
    good = serve(server, archive)
    server.shutdown()
    server.socket.close()
    with pytest.raises(DownloadError, match="could not download") as caught:
        fetch(**good)
    assert str(chosen_home) in str(caught.value)  # where to put the zip by hand


def symlink(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    "member",
    [
        "../evil",
        f"{FOLDER}/../../evil",
        f"{FOLDER}\\..\\..\\evil",
        "C:\\evil",
        "C:evil",
        symlink(f"{FOLDER}/train/evil"),
    ],
    ids=lambda member: member if isinstance(member, str) else "symlink",
)
def test_member_that_leaves_the_folder(server, archive, tmp_path, chosen_home, member):
    with zipfile.ZipFile(archive, "a") as writer:
        writer.writestr(member, "../../../evil")
    refused_without_a_trace(server, archive, tmp_path, chosen_home, "evil")


def test_member_with_an_absolute_path(server, archive, tmp_path, chosen_home):
    with zipfile.ZipFile(archive, "a") as writer:
        writer.writestr(str(tmp_path / "evil"), "evil")
    refused_without_a_trace(server, archive, tmp_path, chosen_home, str(tmp_path / "evil"))


def refused_without_a_trace(server, archive, tmp_path, chosen_home, named: str) -> None:
    before = everything_below(tmp_path)
    with pytest.raises(HymtlError) as caught:
        fetch(**serve(server, archive))
    assert named in str(caught.value)
    assert leftovers(chosen_home) == []
    after = {p for p in everything_below(tmp_path) if p.suffix != ".lock"}
    assert after - before == {chosen_home.parent, chosen_home}
    assert locate(None) is None


@pytest.mark.parametrize("lacking", LAYOUT)
def test_another_layout_is_refused(server, tmp_path, chosen_home, lacking):
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as writer:
        for folder in set(LAYOUT) - {lacking}:
            writer.writestr(f"{FOLDER}/{folder}/1.jpg", b"picture")
    with pytest.raises(HymtlError, match=lacking):
        fetch(**serve(server, path))
    assert leftovers(chosen_home) == []


def test_zip_bomb_is_refused(monkeypatch, server, archive, chosen_home):
    with zipfile.ZipFile(archive) as reader:
        size = sum(member.file_size for member in reader.infolist())
    monkeypatch.setattr(hymenoptera, "MAX_UNPACKED", size - 1)
    with pytest.raises(HymtlError, match=str(size)):
        fetch(**serve(server, archive))
    assert leftovers(chosen_home) == []
    monkeypatch.setattr(hymenoptera, "MAX_UNPACKED", size)
    assert fetch(**serve(server, archive)) == chosen_home / FOLDER


@pytest.mark.parametrize("damage", ["not a zip", "half", "flipped"])
def test_corrupt_zip_then_a_good_one(server, archive, tmp_path, chosen_home, damage):
    data = archive.read_bytes()
    data = {
        "not a zip": b"<html>please log in</html>",
        "half": data[: len(data) // 2],
        # 50 bytes within the compressed bytes of the first member
        "flipped": data[:100] + bytes(255 - byte for byte in data[100:150]) + data[150:],
    }[damage]
    bad = tmp_path / "bad.zip"
    bad.write_bytes(data)
    with pytest.raises(HymtlError, match="no readable zip"):
        fetch(**serve(server, bad))
    assert leftovers(chosen_home) == []
    assert fetch(**serve(server, archive)) == chosen_home / FOLDER


def test_killed_while_unpacking_then_completed(server, archive, chosen_home):
    good = serve(server, archive)
    mirror = {"HYMTL_HYMENOPTERA_URL": good["url"], "HYMTL_HYMENOPTERA_SHA256": good["sha256"]}
    killed = subprocess.run(
        [sys.executable, "-c", FETCH_KILLED_BEFORE_THE_LAST_STEP],
        env=os.environ | mirror | {"PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert locate(None) is None
    assert any(name.endswith(".tmp") for name in leftovers(chosen_home))  # the kill came midway

    assert fetch(**good) == chosen_home / FOLDER
    assert len(files_below(chosen_home / FOLDER)) == 8
    assert leftovers(chosen_home) == [FOLDER]
    assert server.requests == ["/photos.zip"]  # the zip was whole: no second download


def test_incomplete_folder_made_by_hand_is_left_alone(server, archive, chosen_home):
    own = chosen_home / FOLDER / "train" / "mine.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    with pytest.raises(HymtlError, match="move it away"):
        fetch(**serve(server, archive))
    assert own.read_bytes() == b"mine"
    assert server.requests == []


def test_home_that_cannot_be_written_to(monkeypatch, server, archive, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(HymtlError, match=r"\$HYMTL_HOME") as caught:
        fetch(**serve(server, archive))
    assert not isinstance(caught.value, DownloadError)
    assert server.requests == []
