"""Pictures in folders: ``train/CLASS/*``, ``val/CLASS/*`` and, where there is one, ``test/CLASS/*``."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from hymtl.data import reading
from hymtl.errors import HymtlError

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Photo:
    """One picture file: ``name`` is its path below the dataset's folder, ``label`` the index of its class."""

    file: Path
    name: str
    label: int

    def content(self) -> bytes:
        """What digests are made of."""
        return self.file.read_bytes()

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
    it anew, None where the splits are its own.
    """

    name: str
    root: Path
    classes: list[str]
    splits: dict[str, list[Photo]]
    fallback: str | None = None
    arrangement: dict | None = None

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, over the names and the bytes of all pictures: two datasets of one digest are one."""
        lines = [f"{name}\0{digest}\n" for name, digest in sorted(self.digests.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    @cached_property
    def digests(self) -> dict[str, str]:
        """sha256, in hex, of each picture's bytes, by its name."""
        photos = [photo for split in self.splits.values() for photo in split]
        return {photo.name: hashlib.sha256(photo.content()).hexdigest() for photo in photos}

    @property
    def record(self) -> dict:
        """What results, checkpoints and tables say of it; sizes are numbers of pictures."""
        sizes = {split: len(photos) for split, photos in self.splits.items()}
        record = {"name": self.name, "digest": self.digest, **sizes, "classes": self.classes}
        return record | ({"fallback": self.fallback} if self.fallback else {})


def read_folder(root: Path, name: str = "folder", suffixes: tuple[str, ...] = reading.SUFFIXES) -> PhotoFolder:
    """Read the layout of a dataset's folder, of files that end in one of ``suffixes``; no picture is decoded yet.

    Raises:
        HymtlError: if the folder, a split or a class is missing or empty, or the splits' classes differ.
    """
    if not root.is_dir():
        raise HymtlError(
            f"data.root={root}: there is no such folder. Give one that holds train/CLASS/ and val/CLASS/ "
            "folders of pictures."
        )
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise HymtlError(f"{root} has no folder {split}/. It must hold train/CLASS/ and val/CLASS/ folders.")
    classes = _classes(root / "train")
    splits = {split: _photos(root, split, classes, suffixes) for split in SPLITS if (root / split).is_dir()}
    return PhotoFolder(name, root, classes, splits)


def _classes(split: Path) -> list[str]:
    classes = sorted(folder.name for folder in split.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    if len(classes) < 2:
        raise HymtlError(f"{split} has {len(classes)} class folders; telling classes apart takes at least two.")
    return classes


def _photos(root: Path, split: str, classes: list[str], suffixes: tuple[str, ...]) -> list[Photo]:
    if _classes(root / split) != classes:
        differing = sorted(set(_classes(root / split)) ^ set(classes))
        raise HymtlError(
            f"The classes of {root / split} and {root / 'train'} differ ({', '.join(differing)} in one only). "
            "Give both the same class folders."
        )
    photos = []
    for label, name in enumerate(classes):
        files = sorted(file for file in (root / split / name).rglob("*") if is_picture(file, suffixes))
        if not files:
            raise HymtlError(
                f"{root / split / name} holds no pictures ({', '.join(suffixes)}). "
                "Put some there or remove the folder from every split."
            )
        photos += [Photo(file, file.relative_to(root).as_posix(), label) for file in files]
    return photos


def is_picture(file: Path, suffixes: tuple[str, ...] = reading.SUFFIXES) -> bool:
    """Whether a file is named like a picture; hidden files (`._photo.jpg` of macOS) are none."""
    return file.suffix.lower() in suffixes and not file.name.startswith(".") and file.is_file()
