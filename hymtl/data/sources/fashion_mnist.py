"""Fashion-MNIST: 28 x 28 grey pictures of garments in ten classes, from the dataset's own IDX files."""

import hashlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor
from torchvision.datasets import FashionMNIST

from hymtl.data.photos import PhotoFolder
from hymtl.errors import HymtlError
from hymtl.files import home

TIMEOUT = 10.0  # seconds; torchvision's downloader sets none


@dataclass(frozen=True)
class Garment:
    """One picture of the dataset, in memory; see :class:`hymtl.data.photos.Photo`."""

    pixels: Tensor  # uint8 (28, 28)
    name: str
    label: int
    group: str | None = None
    sha256: str | None = None  # nothing to decode, so nothing that the next run in this process should find

    @cached_property
    def digest(self) -> str:
        """sha256, in hex, of the pixels."""
        return hashlib.sha256(self.pixels.numpy().tobytes()).hexdigest()

    def decode(self, then: Callable[[Tensor], Tensor] = lambda picture: picture) -> Tensor:
        """What ``then`` makes of the picture, grey, uint8 (1, 28, 28); the picture itself by default."""
        return then(self.pixels[None])


def find(root: Path | None) -> PhotoFolder:
    """The dataset below ``root``, else the home (torchvision's layout, ``FashionMNIST/raw/``), downloaded if need be.

    Its test pictures are the validation split, as in PyTorch's introduction.

    Raises:
        HymtlError: if the files are neither there nor can be downloaded, or are no IDX files.
    """
    root = root or home()
    splits = {"train": _split(root, train=True), "val": _split(root, train=False)}
    return PhotoFolder("fashion_mnist", root, list(FashionMNIST.classes), splits)


def _split(root: Path, *, train: bool) -> list:  # of Garment, which does what a Photo does
    name = "train" if train else "val"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        dataset = FashionMNIST(root, train=train, download=True)
    except (RuntimeError, OSError, ValueError, AssertionError, KeyError, IndexError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HymtlError(
            f"Fashion-MNIST could not be found in {root}: {reason}. "
            "Put its four IDX files into data.root/FashionMNIST/raw/, or fix those that are there."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    if len(dataset.data) != len(dataset.targets):
        raise HymtlError(
            f"Fashion-MNIST in {root} has {len(dataset.data)} {name} pictures and {len(dataset.targets)} labels."
        )
    return [
        Garment(pixels, f"{name}/{index:05d}", int(label))
        for index, (pixels, label) in enumerate(zip(dataset.data, dataset.targets, strict=True))
    ]
