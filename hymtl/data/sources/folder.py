"""Your own pictures: ``root/CLASS/*``, or ``train/CLASS/*``, ``val/CLASS/*`` and maybe ``test/CLASS/*`` below it."""

from pathlib import Path

from hymtl.data.photos import PhotoFolder, read_folder
from hymtl.errors import HymtlError

LOCAL = True


def find(root: Path | None) -> PhotoFolder:
    """The folder as it is."""
    if root is None:
        raise HymtlError(
            "data=folder needs data.root=DIR, a folder that holds CLASS/ folders, or train/CLASS/ and val/CLASS/."
        )
    return read_folder(root)
