"""Ants and bees drawn by hymtl, offline; see :mod:`hymtl.data.drawn`."""

from pathlib import Path

from hymtl.data import drawn
from hymtl.data.photos import PhotoFolder, read_folder
from hymtl.files import home


def find(root: Path | None) -> PhotoFolder:
    """Drawn into ``root``, else a folder of the home, unless they are there already."""
    return read_folder(drawn.write(root or home() / f"drawn-v{drawn.VERSION}"), "drawn")
