"""From ``data=auto|hymenoptera|folder|drawn`` to pictures on disk, and never silently to other ones."""

from pathlib import Path

from hymtl.data import drawn, hymenoptera
from hymtl.data.fashion_mnist import find_fashion_mnist
from hymtl.data.photos import PhotoFolder, read_folder
from hymtl.errors import HymtlError, check_choice

SOURCES = ("auto", "hymenoptera", "folder", "drawn", "fashion_mnist")


def find_photos(source: str, root: str | None) -> PhotoFolder:
    """The dataset of ``data.source`` and ``data.root``, on disk when this returns.

    ``hymenoptera`` looks in ``root``, else in ``$HYMTL_HOME`` or the user's cache, else downloads, or fails.
    ``auto`` does the same but draws ants and bees where that failed. ``drawn`` draws them. ``folder`` reads
    ``root``; ``fashion_mnist`` finds or downloads it.

    Raises:
        HymtlError: if there is no such source, or the pictures are not to be had; it names the remedies.
    """
    check_choice("data.source", source, SOURCES)
    folder = Path(root).expanduser() if root else None
    if source == "folder":
        if folder is None:
            raise HymtlError("data=folder needs data.root=DIR, a folder that holds train/CLASS/ and val/CLASS/.")
        return read_folder(folder)
    if source == "fashion_mnist":
        return find_fashion_mnist(folder or hymenoptera.home())
    if source == "drawn":
        return _draw(folder)
    try:
        return _hymenoptera(folder)
    except HymtlError as error:
        if source != "auto":
            raise
        photos = _draw(None)
        photos.fallback = f"data=auto fell back to pictures DRAWN by hymtl, not photos: {error}"
        return photos


def _hymenoptera(root: Path | None) -> PhotoFolder:
    found = hymenoptera.find(root)
    if found is None and root is not None:
        raise HymtlError(
            f"data.root={root} does not hold the hymenoptera photos (train/ants, train/bees, val/ants, val/bees). "
            "Remedies: correct data.root, leave it out to have them downloaded, or data=drawn."
        )
    try:
        return read_folder(found or hymenoptera.fetch(), "hymenoptera")
    except HymtlError as error:
        raise HymtlError(
            f"The hymenoptera photos are not to be had: {error} Remedies: data.root=/path/to/hymenoptera_data, "
            "$HYMTL_HOME set to the folder that holds hymenoptera_data/, or data=drawn (pictures drawn by hymtl)."
        ) from error


def _draw(root: Path | None) -> PhotoFolder:
    folder = root or hymenoptera.home() / f"drawn-v{drawn.VERSION}"
    return read_folder(drawn.write(folder), "drawn")
