"""What is wrong with pictures, found out before anything slow begins: each file is decoded once, and not again.

What was found is kept, see :mod:`hymtl.data.findings`; a later start reads what changed.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from hymtl.data import duplicates, findings, reading
from hymtl.data.duplicates import Cluster
from hymtl.data.findings import Finding, Findings
from hymtl.data.photos import SPLITS, Photo, PhotoFolder
from hymtl.errors import HymtlError
from hymtl.runtime import available_cores

TINY = 8  # pixels of the shorter side
EACH = 20_000  # files after which what was found is kept: a start that is cut short loses no more
LISTED = 10  # clusters or files that a log names; the record names all
_ENOUGH = 65_536  # pixels to compare pictures by; of a JPEG no more are made than that takes

log = logging.getLogger(__name__)


def examine(photos: PhotoFolder, *, progress: bool = True) -> Findings:
    """What each picture file is, by name; pictures that are no files (Fashion-MNIST's) are left out."""
    listed = {photo.name: photo.file for split in photos.splits.values() for photo in split if isinstance(photo, Photo)}
    store = findings.place(photos.name, photos.root)
    kept = findings.read(store)
    found, changed = {}, []
    for name, file in listed.items():
        known = kept.get(name)
        if known and findings.stamp(file) == known[:2]:
            found[name] = known
        else:
            changed.append(name)
    bar = tqdm(None, "checking pictures", len(changed), unit="", leave=False, disable=None if progress else True)
    with bar, ThreadPoolExecutor(available_cores()) as pool:
        for start in range(0, len(changed), EACH):
            some = changed[start : start + EACH]
            for name, finding in zip(some, pool.map(_finding, [listed[name] for name in some]), strict=True):
                found[name] = finding
                bar.update()
            if start + EACH < len(changed):
                findings.write(store, kept | found)
    if changed or len(kept) != len(found) or any(finding.group == duplicates.UNKNOWN for finding in kept.values()):
        found = _compared(found, kept, progress)
        findings.write(store, found)
    return found


def _compared(found: Findings, kept: Findings, progress: bool) -> dict[str, Finding]:
    """The same, with the numbers of those that look alike."""
    sound = [finding for finding in found.values() if not finding.error]
    counts = Counter(finding.sha256 for finding in sound)
    hashes = {finding.sha256: finding.looks for finding in sound if finding.looks}
    groups = {finding.sha256: finding.group for finding in kept.values()}
    groups = duplicates.numbered(counts, hashes, groups, progress=progress)
    return {
        name: Finding(*finding[:-1], groups.get(finding.sha256, duplicates.ALONE)) for name, finding in found.items()
    }


def bad(findings: Findings) -> dict[str, str]:
    """Why a file is no use, by name."""
    return {name: found.error for name, found in sorted(findings.items()) if found.error}


def without_bad(photos: PhotoFolder, findings: Findings, on_bad: str) -> PhotoFolder:
    """The pictures that are of use, whose digests are known from now on.

    Raises:
        HymtlError: naming all that are not, if there are any and ``on_bad`` is ``"error"``.
    """
    faults = bad(findings)
    photos = replace(photos, splits={name: list(_known(split, findings)) for name, split in photos.splits.items()})
    if not faults:
        return photos
    lines = "\n".join(f"  {reason}" for reason in faults.values())
    if on_bad == "error":
        raise HymtlError(
            f"{len(faults)} of {len(findings)} pictures are no use:\n{lines}\n"
            "Fix or remove them, or give data.on_bad=skip, which leaves them out."
        )
    lines = _some(list(faults.values()))
    log.warning("!!! data.on_bad=skip leaves out %d of %d pictures:\n%s", len(faults), len(findings), lines)
    splits = {name: [photo for photo in split if photo.name not in faults] for name, split in photos.splits.items()}
    _check_classes(photos, splits, "data.on_bad=skip")
    return replace(photos, splits=splits, checked=(photos.checked or {}) | {"skipped": list(faults)})


def _known(split: list[Photo], findings: Findings) -> Iterator[Photo]:
    for photo in split:
        finding = findings.get(photo.name)
        yield replace(photo, sha256=finding.sha256) if finding else photo


def twice(photos: PhotoFolder, findings: Findings) -> list[Cluster]:
    """Pictures of these that are there more than once."""
    together = defaultdict(list)
    for name in {photo.name for split in photos.splits.values() for photo in split}:  # train and val may be the same
        finding = findings.get(name)
        if finding and not finding.error and finding.group != duplicates.ALONE:
            together[finding.group].append(name)
    clusters = [
        Cluster(tuple(sorted(names)), len({findings[name].sha256 for name in names}) == 1)
        for names in together.values()
        if len(names) > 1
    ]
    return sorted(clusters, key=lambda cluster: cluster.names)


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
    if leaks == "drop" and found:  # of which each fold drops others
        photos = replace(photos, arrangement=(photos.arrangement or {}) | {"leaks": leaks})
    if not across:
        return replace(photos, checked=checked)
    copies = _copies(photos, across)
    lines = _some([shown(cluster) for cluster in across])
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
    kept = {photo.name for split in splits.values() for photo in split}
    dropped = {photo.name: photo for split in photos.splits.values() for photo in split if photo.name not in kept}
    return replace(
        photos,
        splits=splits,
        checked=checked | {"dropped": sorted(copies)},
        unused=[*photos.unused, *dropped.values()],  # so that all folds are of one dataset, whatever each drops
    )


def shown(cluster: Cluster) -> str:
    """A line for a cluster."""
    names = ", ".join(cluster.names[:6]) + (f" and {len(cluster.names) - 6} more" if len(cluster.names) > 6 else "")
    return f"{'same bytes' if cluster.exact else 'look alike'}: {names}"


def _some(lines: list[str]) -> str:
    """The first of them, and how many more there are."""
    more = [f"and {len(lines) - LISTED} more; result.json will name all"] if len(lines) > LISTED else []
    return "\n".join(f"  {line}" for line in [*lines[:LISTED], *more])


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
    size, changed = findings.stamp(file)
    try:
        looks = reading.read(file, duplicates.looks, enough=_ENOUGH)
        kind, width, height = reading.header(file) or (None, 0, 0)
        if min(width, height) < TINY:
            raise HymtlError(f"{file} is {width} x {height} pixels, too few to tell anything by. Remove it.")
        with file.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        return Finding(size, changed, None, kind, sha256, looks)
    except (HymtlError, OSError) as error:
        return Finding(size, changed, str(error))
