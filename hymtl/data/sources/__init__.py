"""Data sources: from ``data=NAME`` to pictures on disk, and never silently to other ones.

Each file of this folder is a source; its ``find(root)`` returns the pictures of ``data.root`` (None: not given), on
disk by then, or raises a ``HymtlError`` that names the remedies. ``LOCAL = True`` says that it only looks: it neither
downloads nor writes anything.
"""

import sys
from pathlib import Path

from hymtl import registry
from hymtl.data.photos import PhotoFolder


def names() -> list[str]:
    """All sources."""
    return registry.names(sys.modules[__name__])


def find_photos(source: str, root: str | None) -> PhotoFolder:
    """The dataset of ``data.source`` and ``data.root``, on disk when this returns.

    Raises:
        HymtlError: if there is no such source, or its pictures could not be found; it names the remedies.
    """
    found = registry.load(sys.modules[__name__], "data.source", source)
    return found.find(Path(root).expanduser() if root else None)


def is_local(source: str) -> bool:
    """Whether finding a source's pictures takes nothing but looking, so that a sweep does it before it starts."""
    return getattr(registry.load(sys.modules[__name__], "data.source", source), "LOCAL", False)
