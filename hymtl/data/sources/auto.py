"""The hymenoptera photos, or, where they can be neither found nor downloaded, drawn ants and bees, with a warning."""

from pathlib import Path

from hymtl.data.photos import PhotoFolder
from hymtl.data.sources import drawn, hymenoptera
from hymtl.errors import HymtlError


def find(root: Path | None) -> PhotoFolder:
    """What was found says, in ``fallback``, if it is drawn."""
    try:
        return hymenoptera.find(root)
    except HymtlError as error:
        photos = drawn.find(None)
        photos.fallback = f"data=auto fell back to pictures DRAWN by hymtl, not photos: {error}"
        return photos
