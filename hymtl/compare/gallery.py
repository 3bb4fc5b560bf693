"""The photos that rows disagree on, as small pictures that fit into a page."""

import base64
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image

from hymtl.compare.rows import Row
from hymtl.data import reading
from hymtl.errors import HymtlError
from hymtl.records import predictions

MOST = 24
_SIDE = 176  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class Disputed:
    """A photo, what it is, and what each row says it is (None: it was not asked)."""

    photo: str
    label: str
    guesses: list[str | None]


def disputed(rows: list[Row]) -> list[Disputed]:
    """The photos on which rows differ, the most divided first; a row's guess is what most of its runs say."""
    guesses: dict[str, list[str | None]] = {}
    labels = {}
    for i, row in enumerate(rows):
        if row.photos is None:
            continue
        for name, label, counts in zip(row.photos.names, row.photos.labels, row.photos.guesses, strict=True):
            guesses.setdefault(name, [None] * len(rows))[i] = min(counts, key=lambda guess: (-counts[guess], guess))
            labels[name] = label
    ranked = sorted((_agreement(said), name) for name, said in guesses.items())
    return [Disputed(name, labels[name], guesses[name]) for agreement, name in ranked if agreement < 1][:MOST]


def _agreement(guesses: list[str | None]) -> float:
    counts = Counter(guess for guess in guesses if guess is not None)
    return max(counts.values()) / counts.total()


def thumbnail(photo: str, roots: Iterable[str]) -> str | None:
    """A JPEG data URI of a photo below the first of ``roots`` that has it; None where it is not to be read."""
    for root in roots:
        try:
            if file := predictions.picture(root, photo):
                return reading.read(file, _encoded)
        except HymtlError:  # a broken picture
            return None
    return None


def _encoded(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=72)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
