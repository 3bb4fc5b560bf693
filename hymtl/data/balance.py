"""Rare classes: how much each class, or each photo, is to count so that all classes count alike."""

from collections import Counter
from collections.abc import Sequence

from hymtl.data.photos import Photo


def class_weights(photos: Sequence[Photo], classes: int) -> list[float]:
    """A weight for the loss of each class, in inverse proportion to its photos; their mean over photos is 1.

    A class without photos has weight 0.
    """
    counts = Counter(photo.label for photo in photos)
    return [len(photos) / (len(counts) * counts[label]) if counts[label] else 0.0 for label in range(classes)]


def shares(photos: Sequence[Photo]) -> list[float]:
    """How often each photo is to be drawn, relative to others, so that each class is drawn as often as any other."""
    counts = Counter(photo.label for photo in photos)
    return [1 / counts[photo.label] for photo in photos]
