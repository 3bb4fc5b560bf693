"""Files that are whole or not there, and the folder that hymtl keeps its own in."""

import os
from pathlib import Path

import filelock
import platformdirs


def home() -> Path:
    """The folder for downloads and kept features: ``$HYMTL_HOME``, else ``hymtl`` in the user's cache folder."""
    if chosen := os.environ.get("HYMTL_HOME"):
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("hymtl", appauthor=False)


def write_whole(file: Path, text: str) -> None:
    """Write ``text`` beside ``file``, then put it in place: who is killed midway leaves the old one, or none."""
    beside = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, file)


def locked(path: Path) -> filelock.BaseFileLock:
    """A context that keeps other processes out, through ``path + ".lock"``.

    The lock file stays: to remove it while someone waits on it would let two in.
    """
    return filelock.FileLock(path.with_name(path.name + ".lock"))
