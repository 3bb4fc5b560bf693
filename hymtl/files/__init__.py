"""Files that are whole or not there, and the folder that hymtl keeps its own in.

Every file that hymtl writes goes through :func:`writing`.
"""

import contextlib
import os
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import filelock
import platformdirs

from hymtl.errors import HymtlError

ABANDONED = 24 * 3600  # seconds after which a file that another machine did not finish is no one's


class WriteError(HymtlError):
    """The system refuses to write: a full disk, a read-only folder."""

    def __init__(self, path: Path | str, error: OSError) -> None:
        super().__init__(
            f"{path} cannot be written: {error.strerror or error}. "
            "What was saved before is as it was; make room, or choose a folder with room to write."
        )


def home() -> Path:
    """The folder for downloads and kept features: ``$HYMTL_HOME``, else ``hymtl`` in the user's cache folder."""
    if chosen := os.environ.get("HYMTL_HOME"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("hymtl", appauthor=False)


@contextlib.contextmanager
def writing(file: Path) -> Iterator[BinaryIO]:
    """A binary stream whose content becomes ``file`` as the block ends: whoever is killed midway leaves the old one.

    It is written beside ``file``, so on the same file system, and flushed to the disk before and after it is put in
    place, so a crash of the machine leaves a whole file too. Where ``file`` is a symbolic link, the link is replaced,
    never written through.

    Raises:
        WriteError: naming the file, if the system refuses; ``file`` is as it was before.
    """
    with together() as one, one(file) as out:
        yield out


@contextlib.contextmanager
def together() -> Iterator[Callable[[Path], contextlib.AbstractContextManager[BinaryIO]]]:
    """:func:`writing` for several files of one folder: as the outer block ends, with all of them on the disk, they are
    put in place one right after the other, in the order in which they were begun."""
    begun: dict[Path, Path] = {}

    @contextlib.contextmanager
    def one(file: Path) -> Iterator[BinaryIO]:
        begun[file] = temporary(file)
        with _named(file):
            with open(begun[file], "x+b") as out:  # x: no link that someone put there is followed
                yield out
            _sync(begun[file])

    try:
        yield one
        for file, beside in begun.items():
            with _named(file):
                os.replace(beside, file)
        for folder in {file.parent for file in begun}:
            _sync(folder)
    except BaseException:
        for beside in begun.values():
            with contextlib.suppress(OSError):
                beside.unlink()
        raise


@contextlib.contextmanager
def _named(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(file, error) from error


def write_whole(file: Path, content: str | bytes) -> None:
    """``content``, text as UTF-8, as ``file``, by :func:`writing`."""
    with writing(file) as out:
        out.write(content.encode() if isinstance(content, str) else content)


def put_in_place(beside: Path, file: Path) -> None:
    """Rename ``beside``, a file or a folder, to ``file``, with all that it holds on the disk before and after."""
    for inside in [beside, *beside.rglob("*")] if beside.is_dir() else [beside]:
        _sync(inside)
    os.replace(beside, file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    # Windows opens no folder, and other systems have disks that cannot sync one.
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def temporary(file: Path) -> Path:
    """A new name beside ``file`` for what is to take its place; it says whose it is, for :func:`clear_leftovers`."""
    return file.with_name(f"{file.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}.tmp")


def clear_leftovers(*folders: Path) -> None:
    """Delete from ``folders``, not from those inside, what processes that are no more had begun to write there."""
    for folder in folders:
        for file in folder.glob("*.tmp"):
            with contextlib.suppress(OSError):  # another process does the same
                if _abandoned(file):
                    shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


def _abandoned(file: Path) -> bool:
    host, _, rest = file.name.removesuffix(".tmp").rpartition(".")[2].partition("-")
    pid = rest.partition("-")[0]
    if not pid.isdecimal():
        return False  # no name of ours
    if host == _host() and os.name == "posix":  # whatever the clock says, which may be wrong
        return not _alive(int(pid))
    return time.time() - file.lstat().st_mtime > ABANDONED


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # a process of someone else
        return True
    return True


def _host() -> str:
    """This machine's name, without what separates the parts of a temporary name."""
    return "".join(sign for sign in socket.gethostname() if sign.isalnum()) or "host"


def locked(path: Path) -> filelock.BaseFileLock:
    """A context that keeps other processes out, through ``path + ".lock"``.

    The lock file stays: to remove it while someone waits on it would let two in.
    """
    return filelock.FileLock(path.with_name(path.name + ".lock"))
