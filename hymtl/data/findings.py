"""What each picture file is, kept from start to start in one compact file of the home."""

import hashlib
import io
import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hymtl.data import duplicates
from hymtl.errors import HymtlError
from hymtl.files import WriteError, home, write_whole
from hymtl.records import plain

VERSION = 2  # raise it whenever the same file would be judged otherwise
LIMIT = 2**30  # bytes of what is kept; a million pictures take a seventh of it
_END = b"\0"  # of a name: no file has it in its own

log = logging.getLogger(__name__)


class Finding(NamedTuple):
    """What one file is. ``changed`` is its time stamp in nanoseconds; ``error`` says why it is no use, if so.

    ``kind`` is Pillow's name of what it holds; ``looks`` are the hashes of :func:`hymtl.data.duplicates.looks`, and
    ``group`` is the number of :func:`hymtl.data.duplicates.numbered`.
    """

    size: int
    changed: int
    error: str | None = None
    kind: str | None = None
    sha256: str = ""
    looks: bytes | None = None
    group: int = duplicates.UNKNOWN


Findings = Mapping[str, Finding]


def place(name: str, root: Path) -> Path:
    """Where what was found out about the pictures of a folder is kept."""
    told = f"{VERSION} {name} {root.resolve()}"
    return home() / "checked" / f"{hashlib.sha256(told.encode(errors='surrogateescape')).hexdigest()[:32]}.npz"


def stamp(file: Path | str) -> tuple[int, int]:
    """Size in bytes and time stamp in nanoseconds."""
    try:
        status = os.stat(file)
    except OSError:  # the reader will say so
        return -1, -1
    return status.st_size, status.st_mtime_ns


def read(store: Path) -> dict[str, Finding]:
    """What :func:`write` kept; nothing of a file that is not what it wrote."""
    try:
        with np.load(io.BytesIO(plain.read_bytes(store, LIMIT)), allow_pickle=False) as table:
            columns = {name: table[name] for name in table.files}
        return _rows(columns)
    except (HymtlError, OSError, EOFError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile):
        return {}


def write(store: Path, found: Findings) -> None:
    """Keep what was found out; files that are no use are looked at again: a plugin may be there by then."""
    sound = {name: finding for name, finding in found.items() if finding.error is None}
    kinds = sorted({finding.kind or "" for finding in sound.values()})
    numbers = {kind: number for number, kind in enumerate(kinds)}
    flat = bytes(2 * duplicates.SIDE**2 // 8)
    content = io.BytesIO()
    np.savez(
        content,
        names=np.frombuffer(_END.join(map(os.fsencode, sound)), np.uint8),
        kinds=np.array(kinds),
        kind=np.array([numbers[finding.kind or ""] for finding in sound.values()], np.uint8),
        stamps=np.array([finding[:2] for finding in sound.values()], np.int64).reshape(-1, 2),
        sha256=np.frombuffer(bytes.fromhex("".join(finding.sha256 for finding in sound.values())), np.uint8),
        looks=np.frombuffer(b"".join(finding.looks or flat for finding in sound.values()), np.uint8),
        flat=np.array([finding.looks is None for finding in sound.values()], bool),
        group=np.array([finding.group for finding in sound.values()], np.int32),
    )
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_whole(store, content.getvalue())
    except (OSError, WriteError) as error:
        log.warning("what was found out about the pictures cannot be kept in %s: %s", store, error)


def _rows(columns: Mapping[str, np.ndarray]) -> dict[str, Finding]:
    names = columns["names"].tobytes().split(_END) if len(columns["names"]) else []
    hexadecimal, looks = columns["sha256"].tobytes().hex(), columns["looks"].tobytes()
    kinds = [str(kind) or None for kind in columns["kinds"]]
    wide = 2 * duplicates.SIDE**2 // 8
    if len(hexadecimal) != 64 * len(names) or len(looks) != wide * len(names):
        raise ValueError("its columns are of different lengths")
    found = {}
    rows = zip(*(columns[name].tolist() for name in ("stamps", "kind", "flat", "group")), strict=True)
    for number, (name, ((size, changed), kind, flat, group)) in enumerate(zip(names, rows, strict=True)):
        sha256 = hexadecimal[64 * number : 64 * (number + 1)]
        seen = None if flat else looks[wide * number : wide * (number + 1)]
        found[os.fsdecode(name)] = Finding(size, changed, None, kinds[kind], sha256, seen, group)
    return found
