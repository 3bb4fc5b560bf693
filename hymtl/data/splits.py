"""Other splits than a folder's own: folds for cross-validation, and a test part that nothing selects on.

Who goes where follows from the photos' names alone, so it is the same for every strategy and every seed, and
the test part is the same with and without folds.
"""

import hashlib
from collections import Counter
from dataclasses import replace

from hymtl.data.photos import Photo, PhotoFolder
from hymtl.errors import HymtlError

Splits = dict[str, list[Photo]]


def arrange(
    photos: PhotoFolder, *, folds: int | None = None, fold: int | None = None, test_fraction: float = 0.0
) -> PhotoFolder:
    """The same photos, split anew; ``photos`` itself where nothing of the kind is asked for.

    ``test_fraction`` of each class, of train and of val alike, becomes the test part. Then, with ``folds``,
    what is left of train and val is pooled and cut in that many parts with each class in the same share:
    number ``fold`` (from 0) validates, the others train. Without ``folds`` every other photo stays in its split.

    Raises:
        HymtlError: if the folder has a test part of its own, or a class has too few photos.
    """
    if folds is None and not test_fraction:
        return photos
    splits = photos.splits
    if test_fraction:
        splits = _set_aside(photos, test_fraction)
    if folds is not None:
        assert fold is not None  # the settings were checked
        parts = _parts(splits["train"] + splits["val"], folds, photos.classes)
        train = [photo for number, part in enumerate(parts) if number != fold for photo in part]
        splits = splits | {"train": train, "val": parts[fold]}
    splits = {name: sorted(split, key=lambda photo: (photo.label, photo.name)) for name, split in splits.items()}
    _check_classes(splits, photos.classes)
    arrangement = {"folds": folds, "fold": fold, "test_fraction": test_fraction}
    return replace(photos, splits=splits, arrangement=arrangement)


def _set_aside(photos: PhotoFolder, fraction: float) -> Splits:
    if "test" in photos.splits:
        raise HymtlError(
            f"data.test_fraction={fraction}: {photos.root} has a test part of its own, which is scored in any case. "
            "Leave data.test_fraction out."
        )
    rest: Splits = {}
    test: list[Photo] = []
    for name, split in photos.splits.items():
        rest[name] = []
        size = Counter(photo.label for photo in split)
        taken: Counter[int] = Counter()
        for photo in _by_name(split):
            aside = taken[photo.label] < int(fraction * size[photo.label] + 0.5)
            taken[photo.label] += aside
            (test if aside else rest[name]).append(photo)
    return rest | {"test": test}


def _parts(pool: list[Photo], count: int, classes: list[str]) -> list[list[Photo]]:
    """Dealt out like cards, class after class: parts differ by one photo at most, in all and of each class."""
    label, fewest = min(Counter(photo.label for photo in pool).items(), key=lambda item: item[1])
    if count > fewest:
        raise HymtlError(
            f"data.folds={count}: class {classes[label]} has {fewest} photos in train and val. "
            f"Give at most {fewest} folds, or more photos."
        )
    pool = _by_name(pool)
    return [pool[number::count] for number in range(count)]


def _by_name(photos: list[Photo]) -> list[Photo]:
    """Class after class; within one, by a digest of the name, which is as good as at random and never changes."""
    return sorted(photos, key=lambda photo: (photo.label, hashlib.sha256(photo.name.encode()).digest()))


def _check_classes(splits: Splits, classes: list[str]) -> None:
    for name, split in splits.items():
        for label in sorted(set(range(len(classes))) - {photo.label for photo in split}):
            raise HymtlError(
                f"data.folds and data.test_fraction leave no photo of class {classes[label]} in {name}. "
                "Give another data.test_fraction, or more photos."
            )
