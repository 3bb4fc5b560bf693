"""Pictures in folders: ``CLASS/*``, or ``train/CLASS/*`` with ``val/CLASS/*``, ``test/CLASS/*`` or both."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from hymtl.data import reading
from hymtl.errors import HymtlError

SPLITS = ("train", "val", "test")
UNSPLIT = "all"  # the only split of pictures that have none yet
# Names that others give to these splits: a class of such a name is none.
MISNAMED = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "eval": "val", "test": "test", "testing": "test",
}  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """One picture file: ``name`` is its path below the dataset's folder, ``label`` the index of its class.

    Photos of one ``group`` (a plant, a patient, a video) never stand on two sides of a split. ``sha256`` is of the
    file's bytes, in hex, where it is known already.
    """

    file: Path
    name: str
    label: int
    group: str | None = None
    sha256: str | None = field(default=None, compare=False)

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of the file's bytes."""
        if self.sha256:
            return self.sha256
        with self.file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def decode(self, then: Callable[[Tensor], Tensor] = lambda picture: picture) -> Tensor:
        """What ``then`` makes of the picture, RGB, uint8 (3, H, W); the picture itself by default.

        Raises:
            HymtlError: naming the file, as :func:`hymtl.data.reading.read` says.
        """
        return reading.read(self.file, lambda image: then(pil_to_tensor(image)))


@dataclass
class PhotoFolder:
    """A dataset as it lies on disk.

    ``name`` says what it is (``hymenoptera``, ``drawn``, ``folder``); ``fallback``, in a sentence, why it is
    not what was asked for first, where that is so; ``arrangement``, how :func:`hymtl.data.splits.arrange` split
    it anew, None where the splits are its own; ``left_out`` are names of files of no kind that is read. ``checked``
    is what :mod:`hymtl.data.check` found; ``table`` what a table says of the pictures and their names don't;
    ``unused`` are photos that ``data.train_fraction`` or ``data.leaks`` leaves out; ``fold_of`` says, by name, which
    fold each photo validates in, where there are folds.
    """

    name: str
    root: Path
    classes: list[str]
    splits: dict[str, list[Photo]]
    fallback: str | None = None
    arrangement: dict | None = None
    left_out: list[str] = field(default_factory=list)
    checked: dict | None = None
    table: str | None = None
    unused: list[Photo] = field(default_factory=list)
    fold_of: dict[str, int] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, over the names and the bytes of all pictures: two datasets of one digest are one."""
        lines = [f"{name}\0{digest}\n" for name, digest in sorted(self.digests.items())]
        return hashlib.sha256("".join([*lines, self.table or ""]).encode()).hexdigest()

    @cached_property
    def digests(self) -> dict[str, str]:
        """sha256, in hex, of each picture's bytes, by its name."""
        photos = [photo for split in (*self.splits.values(), self.unused) for photo in split]
        return {photo.name: photo.digest for photo in photos}

    @property
    def record(self) -> dict:
        """What results, checkpoints and tables say of it; sizes are numbers of pictures."""
        sizes = {split: len(photos) for split, photos in self.splits.items()}
        record = {"name": self.name, "digest": self.digest, **sizes, "classes": self.classes}
        return record | ({"fallback": self.fallback} if self.fallback else {})


def read_folder(root: Path, name: str = "folder", suffixes: tuple[str, ...] = reading.SUFFIXES) -> PhotoFolder:
    """Read a dataset's folder, of files that end in one of ``suffixes``; no picture is decoded yet.

    Where it has neither ``train/`` nor ``val/``, its folders are the classes, of which
    :func:`hymtl.data.splits.arrange` makes splits. Where it has ``train/`` and ``test/`` alone, as many collections
    do, it makes training and validation of ``train/``.

    Raises:
        HymtlError: if the folder, a split or a class is missing or empty, or the splits' classes differ.
    """
    if not root.is_dir():
        raise HymtlError(
            f"data.root={root}: there is no such folder. Give one that holds CLASS/ folders of pictures, or train/ and "
            "val/ with such folders."
        )
    given = [split for split in SPLITS if (root / split).is_dir()]
    _check_split_names(root, given)
    classes = _classes(root / given[0] if given else root)
    splits, left_out = {}, []
    for split in given or [UNSPLIT]:
        folder = root / split if given else root
        part = UNSPLIT if split == "train" and "val" not in given else split  # validation is still to be cut from it
        splits[part], others = _photos(root, folder, classes, suffixes)
        left_out += others
    return PhotoFolder(name, root, classes, splits, left_out=sorted(left_out))


def _check_split_names(root: Path, given: list[str]) -> None:
    """Refuse a folder that has one of ``train/`` and ``val/`` only, or both by other names."""
    folders = sorted(folder.name for folder in root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    meant = {folder: MISNAMED[folder.lower()] for folder in folders if folder.lower() in MISNAMED}
    for split in ("train", "val"):
        if split in given or not (given or meant) or (given == ["train", "test"] and "val" not in meant.values()):
            continue
        others = [folder for folder, right in meant.items() if right == split]
        hint = f" Did you mean {split}/ by {others[0]}/? Rename it." if others else ""
        raise HymtlError(
            f"{root} has no folder {split}/.{hint} It must hold train/CLASS/ and val/CLASS/ folders, or CLASS/ folders "
            "alone, which data.val_fraction splits, as it does train/CLASS/ beside test/CLASS/."
        )


def _classes(folder: Path) -> list[str]:
    classes = sorted(inside.name for inside in folder.iterdir() if inside.is_dir() and not inside.name.startswith("."))
    if len(classes) < 2:
        found = f"{len(classes)} class folder{'s' * (len(classes) != 1)}"
        raise HymtlError(f"{folder} has {found}; telling classes apart takes at least two.")
    return classes


def _photos(root: Path, folder: Path, classes: list[str], suffixes: tuple[str, ...]) -> tuple[list[Photo], list[str]]:
    """The pictures of a split, class after class, and the names of its other files."""
    if _classes(folder) != classes:
        differing = sorted(set(_classes(folder)) ^ set(classes))
        raise HymtlError(
            f"The classes of {folder} and {folder.parent / SPLITS[0]} differ ({', '.join(differing)} in one only). "
            "Give both the same class folders."
        )
    below = "" if folder == root else f"{folder.name}/"
    photos, others = [], [f"{below}{entry.name}" for entry in _entries(folder) if entry.is_file()]
    for label, kind in enumerate(classes):
        names = sorted(files_below(folder / kind, f"{below}{kind}/"), key=lambda name: name.split("/"))
        found = [name for name in names if name.lower().endswith(suffixes)]
        if not found:
            raise HymtlError(
                f"{folder / kind} holds no pictures ({', '.join(suffixes)}). "
                "Put some there or remove the folder from every split."
            )
        _check_names(root, found)
        photos += [Photo(root / name, name, label) for name in found]
        others += sorted(set(names) - set(found))
    return photos, others


def _check_names(root: Path, names: list[str]) -> None:
    """Records and tables are UTF-8, which a name of other bytes has no place in."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise HymtlError(f"{root / name}: its name is not UTF-8. Rename it.") from error


def files_below(folder: Path | str, prefix: str = "") -> Iterator[str]:
    """Names of all files in a folder and in those inside, after ``prefix``.

    Hidden ones (`._photo.jpg` of macOS) are left out, and links to folders are not followed; one that leads nowhere is
    a file that cannot be read. A folder is read once and no file looked at, as far as the system tells files and
    folders apart by itself.
    """
    for entry in _entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from files_below(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file() or (entry.is_symlink() and not entry.is_dir()):
            yield f"{prefix}{entry.name}"


def _entries(folder: Path | str) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise HymtlError(f"{folder} cannot be read: {error.strerror}. Change its permissions, or remove it.") from error


def is_picture(file: Path, suffixes: tuple[str, ...] = reading.SUFFIXES) -> bool:
    """Whether a file is named like a picture; hidden files (`._photo.jpg` of macOS) are none."""
    return file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
