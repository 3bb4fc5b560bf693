"""What is wrong with pictures, found out before anything slow begins: each file is decoded once, and not again.

What was found is kept in the home's folder ``checked``, by file, size and time stamp; a later start reads what changed.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pydantic
from tqdm import tqdm

from hymtl.data import duplicates, reading
from hymtl.data.duplicates import Cluster
from hymtl.data.photos import SPLITS, Photo, PhotoFolder
from hymtl.errors import HymtlError
from hymtl.files import WriteError, home, write_whole
from hymtl.records import Record, plain
from hymtl.runtime import available_cores, threads

VERSION = 1  # raise it whenever the same file would be judged otherwise
LIMIT = 2**30  # bytes of what is kept; a million pictures take a third of it
TINY = 8  # pixels of the shorter side
_ENOUGH = 65_536  # pixels to compare pictures by; of a JPEG no more are made than that takes

log = logging.getLogger(__name__)


class Finding(Record):
    """What one file is. ``changed`` is its time stamp in nanoseconds; ``error`` says why it is no use, if so.

    ``kind`` is Pillow's name of what it holds; ``looks`` are the hashes of :func:`hymtl.data.duplicates.looks`.
    """

    size: int
    changed: int
    error: str | None = None
    kind: str | None = None
    sha256: str = ""
    looks: tuple[str, str] | None = None


_KEPT = pydantic.TypeAdapter(dict[str, Finding])
Findings = Mapping[str, Finding]


def examine(photos: PhotoFolder, *, progress: bool = True) -> Findings:
    """What each picture file is, by name; pictures that are no files (Fashion-MNIST's) are left out."""
    listed = {photo.name: photo for split in photos.splits.values() for photo in split if isinstance(photo, Photo)}
    place = f"{VERSION} {photos.name} {photos.root.resolve()}"
    store = home() / "checked" / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"
    kept = _read(store)
    found, changed = {}, []
    for name, photo in listed.items():
        known = kept.get(name)
        if known and known.error is None and _stamp(photo.file) == (known.size, known.changed):
            found[name] = known
        else:  # those that were no use are looked at again: a plugin may be there by now
            changed.append(name)
    with threads(available_cores()) as pool:
        files = [listed[name].file for name in changed]
        outcomes = pool.map(_finding, files)
        bar = tqdm(outcomes, "checking pictures", len(files), unit="", leave=False, disable=None if progress else True)
        found |= dict(zip(changed, bar, strict=True))
    if changed or len(kept) != len(found):
        _write(store, found)
    return found


def bad(findings: Findings) -> dict[str, str]:
    """Why a file is no use, by name."""
    return {name: found.error for name, found in sorted(findings.items()) if found.error}


def without_bad(photos: PhotoFolder, findings: Findings, on_bad: str) -> PhotoFolder:
    """The pictures that are of use.

    Raises:
        HymtlError: naming all that are not, if there are any and ``on_bad`` is ``"error"``.
    """
    faults = bad(findings)
    if not faults:
        return photos
    lines = "\n".join(f"  {reason}" for reason in faults.values())
    if on_bad == "error":
        raise HymtlError(
            f"{len(faults)} of {len(findings)} pictures are no use:\n{lines}\n"
            "Fix or remove them, or give data.on_bad=skip, which leaves them out."
        )
    log.warning("!!! data.on_bad=skip leaves out %d of %d pictures:\n%s", len(faults), len(findings), lines)
    splits = {name: [photo for photo in split if photo.name not in faults] for name, split in photos.splits.items()}
    _check_classes(photos, splits, "data.on_bad=skip")
    return replace(photos, splits=splits, checked=(photos.checked or {}) | {"skipped": list(faults)})


def twice(photos: PhotoFolder, findings: Findings) -> list[Cluster]:
    """Pictures of these that are there more than once."""
    used = {photo.name for split in photos.splits.values() for photo in split}
    sound = {name: found for name, found in findings.items() if name in used and not found.error}
    contents = {name: found.sha256 for name, found in sound.items()}
    return duplicates.clusters(contents, {name: found.looks for name, found in sound.items() if found.looks})


def leaking(photos: PhotoFolder, found: list[Cluster]) -> list[Cluster]:
    """Those of the clusters that stand in more than one split."""
    sides = {photo.name: name for name, split in photos.splits.items() for photo in split}
    return [cluster for cluster in found if len({sides[name] for name in cluster.names}) > 1]


def without_leaks(photos: PhotoFolder, findings: Findings, leaks: str | None) -> PhotoFolder:
    """The pictures, with what was found on record; with ``leaks="drop"`` without copies in validation and test."""
    found = twice(photos, findings)
    across = leaking(photos, found)
    checked = (photos.checked or {}) | {
        "files": len(findings),
        "left_out": photos.left_out,
        "duplicates": len(found),
        "exact_duplicates": sum(cluster.exact for cluster in found),
        "leaks": [list(cluster.names) for cluster in across],
    }
    if not across:
        return replace(photos, checked=checked)
    copies = _copies(photos, across)
    lines = "\n".join(f"  {shown(cluster)}" for cluster in across)
    if leaks != "drop":
        log.warning(
            "!!! %d pictures of validation or test have copies on another side, so their accuracy flatters:\n%s\n"
            "!!! data.leaks=drop takes the copies out of validation and test; data.group keeps copies together.",
            len(copies), lines,
        )  # fmt: skip
        return replace(photos, checked=checked)
    log.warning("!!! data.leaks=drop takes %d copies out of validation and test:\n%s", len(copies), lines)
    splits = {name: [photo for photo in split if photo.name not in copies] for name, split in photos.splits.items()}
    _check_classes(photos, splits, "data.leaks=drop")
    return replace(photos, splits=splits, checked=checked | {"dropped": sorted(copies)})


def shown(cluster: Cluster) -> str:
    """A line for a cluster."""
    names = ", ".join(cluster.names[:6]) + (f" and {len(cluster.names) - 6} more" if len(cluster.names) > 6 else "")
    return f"{'same bytes' if cluster.exact else 'look alike'}: {names}"


def left_out(photos: PhotoFolder) -> str:
    """A line for the files that are none of the dataset's kinds; the record has all their names."""
    names = ", ".join(photos.left_out[:20])
    more = f" and {len(photos.left_out) - 20} more" if len(photos.left_out) > 20 else ""
    count = len(photos.left_out)
    return f"{'1 file of another kind' if count == 1 else f'{count} files of other kinds'}: {names}{more}"


def _copies(photos: PhotoFolder, across: list[Cluster]) -> set[str]:
    """Of each cluster all but those in its first split, in the order train, val, test."""
    sides = {photo.name: SPLITS.index(name) for name, split in photos.splits.items() for photo in split}
    copies = set()
    for cluster in across:
        first = min(sides[name] for name in cluster.names)
        copies |= {name for name in cluster.names if sides[name] != first}
    return copies


def _check_classes(photos: PhotoFolder, splits: dict[str, list[Photo]], setting: str) -> None:
    for name, split in splits.items():
        lacking = set(range(len(photos.classes))) - set(Counter(photo.label for photo in split))
        if lacking:
            raise HymtlError(f"{setting} leaves no photo of class {photos.classes[min(lacking)]} in {name}. Add some.")


def _finding(file: Path) -> Finding:
    """What a file is: read, decoded and, for comparing, hashed."""
    size, changed = _stamp(file)
    try:
        looks = reading.read(file, duplicates.looks, enough=_ENOUGH)
        kind, width, height = reading.header(file) or (None, 0, 0)
        if min(width, height) < TINY:
            raise HymtlError(f"{file} is {width} x {height} pixels, too few to tell anything by. Remove it.")
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Finding(size=size, changed=changed, kind=kind, sha256=sha256, looks=looks)
    except (HymtlError, OSError) as error:
        return Finding(size=size, changed=changed, error=str(error))


def _stamp(file: Path) -> tuple[int, int]:
    try:
        status = file.stat()
    except OSError:  # the reader will say so
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _read(store: Path) -> dict[str, Finding]:
    """What was kept; nothing of a file that is not what :func:`_write` wrote."""
    try:
        return _KEPT.validate_json(plain.read_bytes(store, LIMIT))
    except (HymtlError, pydantic.ValidationError):
        return {}


def _write(store: Path, found: Findings) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        write_whole(store, _KEPT.dump_json(dict(found), exclude_unset=True).decode())
    except (OSError, WriteError) as error:
        log.warning("what was found out about the pictures cannot be kept in %s: %s", store, error)
