"""Ants and bees drawn by hymtl, offline; see :mod:`hymtl.data.drawn`."""

from pathlib import Path

from hymtl.data import drawn
from hymtl.data.photos import PhotoFolder, read_folder
from hymtl.files import WriteError, home, locked


def find(root: Path | None) -> PhotoFolder:
    """Drawn into ``root``, else a folder of the home, unless they are there already."""
    return read_folder(drawn.write(root) if root else _kept(home() / f"drawn-v{drawn.VERSION}"), "drawn")


def _kept(folder: Path) -> Path:
    """Drawn once, however many processes want it at the same time: drawing takes longer than waiting."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            return drawn.write(folder)
    except OSError as error:
        raise WriteError(folder, error) from error
