"""Splits: folds for cross-validation, validation and test parts of pictures that have none.

Who goes where follows from the photos' names (or their groups') and ``data.split_seed`` alone, so it is the same for
every strategy and every seed, and the test part is the same with and without folds.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from hymtl.data.photos import SPLITS, UNSPLIT, Photo, PhotoFolder
from hymtl.errors import HymtlError

ASIDE = "aside"  # what the test part is called until it is due
VAL_FRACTION = 0.2  # of pictures that come without splits

Splits = dict[str, list[Photo]]


def arrange(
    photos: PhotoFolder,
    *,
    folds: int | None = None,
    fold: int | None = None,
    val_fraction: float | None = None,
    test_fraction: float = 0.0,
    train_fraction: float = 1.0,
    split_seed: int = 0,
    group: str | None = None,
) -> PhotoFolder:
    """The same photos, split anew; ``photos`` itself where nothing of the kind is asked for and it has splits.

    ``test_fraction`` of each class, of train and of val alike, becomes the test part (of both together, where a group
    has photos in both). Then, with ``folds``, what is left of train and val is pooled and cut in that many parts with
    each class in the same share: number ``fold`` (from 0) validates, the others train; without a number all of them do
    both. With ``val_fraction``, that share of each class of the pool validates, :data:`VAL_FRACTION` where there are no
    splits and neither is given. Otherwise every photo stays in its split. Photos of one group, which is what the
    regular expression ``group`` finds in their names, stay together.
    Less than all of ``train_fraction`` is a use for ``split_seed`` too, but leaves photos out only later, in
    :func:`thinned`.

    Raises:
        HymtlError: if a folder that has a test part of its own is asked for another, a class has too few photos, a name
            has no group, or a group stands on two sides.
    """
    photos = _grouped(photos, group) if group else photos
    if UNSPLIT in photos.splits and folds is None and val_fraction is None:
        val_fraction = VAL_FRACTION
    if folds is None and val_fraction is None and not test_fraction:
        if split_seed and train_fraction == 1:
            raise HymtlError(
                f"data.split_seed={split_seed}: {photos.root} has splits of its own, and nothing splits it anew. "
                "Give data.folds or one of data's fractions, or leave data.split_seed out."
            )
        _check_groups(photos.splits)
        return photos
    splits = photos.splits
    if test_fraction:
        splits = _with_test(photos, test_fraction, split_seed)
    fold_of: dict[str, int] = {}
    pool = [photo for name in (UNSPLIT, "train", "val") for photo in splits.get(name, [])]
    if folds is not None and fold is not None:
        parts = _parts(pool, folds, photos.classes, split_seed)
        _check_parts(parts, photos.classes)
        train = [photo for number, part in enumerate(parts) if number != fold for photo in part]
        splits = splits | {"train": train, "val": parts[fold]}
        fold_of = {photo.name: number for number, part in enumerate(parts) for photo in part}
    elif folds is not None:
        splits = {"train": pool} | {name: split for name, split in splits.items() if name == "test"}
    elif val_fraction is not None:
        share = val_fraction / (1 - test_fraction) if test_fraction else val_fraction  # of all, not of what is left
        train, val = _cut(pool, share, split_seed, least=1)
        splits = splits | {"train": train, "val": val}
    splits = {name: splits[name] for name in SPLITS if name in splits}
    splits = {name: sorted(split, key=lambda photo: (photo.label, photo.name)) for name, split in splits.items()}
    _check_classes(splits, photos.classes)
    _check_groups(splits)
    if "val" not in splits:
        splits["val"] = splits["train"]
    arrangement = {
        "folds": folds, "fold": fold, "val_fraction": val_fraction, "test_fraction": test_fraction,
        "split_seed": split_seed, "group": group,
    }  # fmt: skip
    return replace(photos, splits=splits, arrangement=arrangement, fold_of=fold_of)


def set_aside(photos: PhotoFolder) -> PhotoFolder:
    """The same photos, the test part under a name that nobody scores."""
    return replace(photos, splits={ASIDE if name == "test" else name: split for name, split in photos.splits.items()})


def thinned(photos: PhotoFolder, fraction: float, seed: int = 0) -> PhotoFolder:
    """The same with that ``fraction`` of each class's training photos; what a smaller one keeps, a larger one has too.

    Groups come whole (one of several classes counts as its commonest), and of each class at least one. Validation and
    test stay as they are, as does the dataset's digest.
    """
    if fraction == 1:
        return photos
    groups = defaultdict(list)
    for photo in photos.splits["train"]:
        groups[photo.group or photo.name].append(photo)
    classes = defaultdict(list)
    for name in sorted(groups, key=lambda name: _digest(name, seed)):
        counts = Counter(photo.label for photo in groups[name])
        classes[max(counts, key=lambda label: (counts[label], -label))].append(groups[name])
    train: list[Photo] = []
    unused: list[Photo] = []
    for label in sorted(classes):
        size, before = sum(map(len, classes[label])), 0
        for group in classes[label]:
            keeps = not before or before + len(group) / 2 <= fraction * size
            (train if keeps else unused).extend(group)
            before += len(group)
    train.sort(key=lambda photo: (photo.label, photo.name))
    splits = photos.splits | {"train": train}
    _check_classes(splits, photos.classes)
    arrangement = (photos.arrangement or {"split_seed": seed}) | {"train_fraction": fraction}
    return replace(photos, splits=splits, arrangement=arrangement, unused=[*photos.unused, *unused])


def folds(photos: Sequence[Photo], most: int) -> list[list[int]]:
    """The indices of photos in ``most`` parts, each class and group dealt out as for ``data.folds``.

    Fewer where a class, or all groups together, have fewer; none where they have one.
    """
    fewest = min(Counter(photo.label for photo in photos).values())
    count = min(most, fewest, len({photo.group or photo.name for photo in photos}))
    if count < 2:
        return []
    place = {photo.name: index for index, photo in enumerate(photos)}
    parts = [part for part in _parts(list(photos), count, [], 0) if part]  # a large group may take what others lack
    return [[place[photo.name] for photo in part] for part in parts] if len(parts) > 1 else []


def _grouped(photos: PhotoFolder, expression: str) -> PhotoFolder:
    """Each photo with its group: what is in the expression's brackets, or, without any, all that it finds."""
    missed: list[str] = []
    splits: Splits = {}
    for name, split in photos.splits.items():
        splits[name] = []
        for photo in split:
            found = re.search(expression, photo.name)
            if photo.group is not None:
                raise HymtlError(f"data.group={expression}: {photos.root} tells groups already. Leave one of them out.")
            if found is None:
                missed.append(photo.name)
            else:
                words = found.groups() or (found.group(),)
                splits[name].append(replace(photo, group="\0".join(word or "" for word in words)))
    if missed:
        raise HymtlError(
            f"data.group={expression} finds no group in {len(missed)} names, such as {missed[0]}. "
            "Give an expression that finds one in every name."
        )
    return replace(photos, splits=splits)


def _with_test(photos: PhotoFolder, fraction: float, seed: int) -> Splits:
    if "test" in photos.splits:
        raise HymtlError(
            f"data.test_fraction={fraction}: {photos.root} has a test part of its own, which is scored in any case. "
            "Leave data.test_fraction out."
        )
    rest: Splits = {}
    test: list[Photo] = []
    if _cut_through(photos.splits):
        _, test = _cut([photo for split in photos.splits.values() for photo in split], fraction, seed)
        leaving = {photo.name for photo in test}
        rest = {name: [photo for photo in split if photo.name not in leaving] for name, split in photos.splits.items()}
        return rest | {"test": test}
    for name, split in photos.splits.items():
        rest[name], aside = _cut(split, fraction, seed)
        test += aside
    return rest | {"test": test}


def _cut(photos: list[Photo], share: float, seed: int, least: int = 0) -> tuple[list[Photo], list[Photo]]:
    """What stays, and the ``share`` of each class that does not; of a class at least ``least`` photos."""
    if _has_groups(photos):
        staying, leaving = _dealt(photos, (1 - share, share), seed)
        return staying, leaving
    rest: list[Photo] = []
    aside: list[Photo] = []
    size, taken = Counter(photo.label for photo in photos), Counter[int]()
    for photo in _by_name(photos, seed):
        leaves = taken[photo.label] < max(least, int(share * size[photo.label] + 0.5))
        taken[photo.label] += leaves
        (aside if leaves else rest).append(photo)
    return rest, aside


def _parts(pool: list[Photo], count: int, classes: list[str], seed: int) -> list[list[Photo]]:
    """Dealt out like cards, class after class: parts differ by one photo at most, in all and of each class."""
    label, fewest = min(Counter(photo.label for photo in pool).items(), key=lambda item: item[1])
    if count > fewest:
        photos = "1 photo" if fewest == 1 else f"{fewest} photos"
        remedy = f"at most {fewest} folds, or more photos" if fewest > 1 else "more photos"
        raise HymtlError(f"data.folds={count}: class {classes[label]} has {photos} in train and val. Give {remedy}.")
    if _has_groups(pool):
        return _dealt(pool, (1 / count,) * count, seed)
    pool = _by_name(pool, seed)
    return [pool[number::count] for number in range(count)]


def _dealt(photos: list[Photo], shares: Sequence[float], seed: int) -> list[list[Photo]]:
    """Whole groups, dealt into parts that get as close to their share of each class as groups allow.

    Large groups come first, each to the part that lacks its classes most. scikit-learn's ``StratifiedGroupKFold`` goes
    about it likewise, but makes parts of one size, and draws the order of groups from numpy's random numbers, which
    differ with the order of files and may with its version.
    """
    groups = defaultdict(list)
    for photo in photos:
        groups[photo.group].append(photo)
    sizes = Counter(photo.label for photo in photos)
    filled: list[Counter[int]] = [Counter() for _ in shares]
    parts: list[list[Photo]] = [[] for _ in shares]

    def excess(number: int, added: Counter[int]) -> float:
        """How much further from all shares the parts would be, as chi-square counts it."""
        grown = 0.0
        for label, count in added.items():
            off, more = filled[number][label] / sizes[label] - shares[number], count / sizes[label]
            grown += more * (2 * off + more) / shares[number]
        return grown

    for name in sorted(groups, key=lambda name: (-len(groups[name]), _digest(name, seed))):
        added = Counter(photo.label for photo in groups[name])
        best = min(range(len(shares)), key=lambda number: (excess(number, added), -shares[number]))
        filled[best] += added
        parts[best] += groups[name]
    return parts


def _has_groups(photos: list[Photo]) -> bool:
    return any(photo.group is not None for photo in photos)


def _by_name(photos: list[Photo], seed: int) -> list[Photo]:
    """Class after class; within one, by a digest of the name, which is as good as at random and never changes."""
    return sorted(photos, key=lambda photo: (photo.label, _digest(photo.name, seed)))


def _digest(name: str | None, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\0{name}".encode() if seed else str(name).encode()).digest()


def _check_parts(parts: list[list[Photo]], classes: list[str]) -> None:
    """Refuse folds of which one lacks a class, whichever is asked for: groups may leave none for it."""
    for number, part in enumerate(parts):
        for label in _absent(part, classes):
            groups = len({photo.group for part in parts for photo in part if photo.label == label})
            raise HymtlError(
                f"data.folds={len(parts)}: class {classes[label]} has {groups} group{'s' * (groups != 1)} of photos, "
                f"none of which is left for fold {number}. Give fewer folds, or more groups."
            )


def _check_classes(splits: Splits, classes: list[str]) -> None:
    for name, split in splits.items():
        for label in _absent(split, classes):
            photos = sum(photo.label == label for split in splits.values() for photo in split)
            if photos < len(splits):
                raise HymtlError(
                    f"Class {classes[label]} has {photos} photo{'s' * (photos != 1)}, too few for "
                    f"{' and '.join(splits)}. Give more, or remove its folder."
                )
            raise HymtlError(
                f"data.folds and data's fractions leave no photo of class {classes[label]} in {name}. "
                f"Give other numbers, or more photos{' and groups' if _has_groups(split) else ''}."
            )


def _absent(photos: list[Photo], classes: list[str]) -> list[int]:
    """Labels of classes that no photo shows."""
    return sorted(set(range(len(classes))) - {photo.label for photo in photos})


def _check_groups(splits: Splits) -> None:
    """Splits of a folder's own may cut through a group."""
    if (found := _cut_through(splits)) is None:
        return
    photo, sides = found
    remedy = "Give data.val_fraction=0.2 or data.folds, which keep groups together."
    if "test" in sides:
        remedy = "Move all of its photos to one of them."
    raise HymtlError(
        f"The group '{photo.group}' has photos in {' and in '.join(sides)}, such as {photo.name}. {remedy}"
    )


def _cut_through(splits: Splits) -> tuple[Photo, tuple[str, str]] | None:
    """A photo whose group has others in another split, and the names of both; None where every group is in one."""
    sides: dict[str, str] = {}
    for name, split in splits.items():
        for photo in split:
            if photo.group is not None and (other := sides.setdefault(photo.group, name)) != name:
                return photo, (other, name)
    return None
