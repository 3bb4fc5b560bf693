"""Folds and the test part: who is where, and that nothing but the photos' names decides it."""

import random
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch

from hymtl.data import transforms
from hymtl.data.batches import PictureBatches
from hymtl.data.photos import Photo, PhotoFolder, read_folder
from hymtl.data.splits import arrange, folds, thinned
from hymtl.errors import HymtlError
from hymtl.preprocessing import Preprocessing
from tests.conftest import prepare


def folder(train=(123, 121), val=(70, 83), **more):
    """As many photos of each class as the hymenoptera photos have; no picture is needed to split names."""

    def split(name, sizes):
        files = [f"{name}/{'ab'[label]}/{i:03d}.jpg" for label, size in enumerate(sizes) for i in range(size)]
        return [Photo(Path(file), file, "ab".index(file.split("/")[1])) for file in files]

    splits = {"train": split("train", train), "val": split("val", val)}
    return PhotoFolder("folder", Path("."), ["a", "b"], splits | {k: split(k, v) for k, v in more.items()})


def names(photos, *splits):
    return {photo.name for split in splits or photos.splits for photo in photos.splits[split]}


def test_every_photo_validates_in_exactly_one_fold():
    photos = folder()
    seen = Counter(name for fold in range(5) for name in names(arrange(photos, folds=5, fold=fold), "val"))
    assert set(seen) == names(photos) and set(seen.values()) == {1}


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_parts_have_each_class_within_one_photo(fraction):
    parts = [arrange(folder(), folds=5, fold=fold, test_fraction=fraction).splits["val"] for fold in range(5)]
    for size in (len, *(lambda part, c=c: sum(photo.label == c for photo in part) for c in (0, 1))):
        assert max(map(size, parts)) - min(map(size, parts)) <= 1


@pytest.mark.parametrize("folds", [{}, {"folds": 3, "fold": 1}])
def test_train_val_and_test_share_no_photo_and_lose_none(folds):
    photos = folder()
    arranged = arrange(photos, test_fraction=0.2, **folds)
    for one, other in combinations(("train", "val", "test"), 2):
        assert not names(arranged, one) & names(arranged, other)
    assert names(arranged) == names(photos)
    assert Counter(photo.label for photo in arranged.splits["test"]) == {0: round(0.2 * 193), 1: round(0.2 * 204)}


def test_the_test_part_is_the_same_with_and_without_folds():
    alone = arrange(folder(), test_fraction=0.2)
    assert names(alone, "test") == names(arrange(folder(), folds=4, fold=3, test_fraction=0.2), "test")
    assert names(alone, "train") < names(folder(), "train")  # the others stay where they were
    assert names(alone, "val") < names(folder(), "val")


def test_the_order_of_files_does_not_matter():
    shuffled = {name: random.Random(0).sample(split, len(split)) for name, split in folder().splits.items()}
    one, other = (
        arrange(photos, folds=5, fold=2, test_fraction=0.1) for photos in (folder(), replace(folder(), splits=shuffled))
    )
    assert one.splits == other.splits


def test_without_settings_the_folder_stays_as_it_is():
    photos = folder()
    assert arrange(photos) is photos and photos.arrangement is None


def test_a_folders_own_test_part_is_kept():
    photos = folder(test=(5, 5))
    arranged = arrange(photos, folds=5, fold=0)
    assert arranged.splits["test"] == photos.splits["test"]
    with pytest.raises(HymtlError, match=r"data.test_fraction=0.2: .* has a test part of its own"):
        arrange(photos, test_fraction=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 9, "fold": 0}, "data.folds=9: class b has 8 photos .* at most 8"),
        ({"folds": 9, "fold": 0, "test_fraction": 0.9}, "class a has 1 photo in train and val. Give more photos"),
        ({"test_fraction": 0.01}, "no photo of class a in test"),
        ({"test_fraction": 0.95}, "no photo of class a in train"),
    ],
)
def test_too_few_photos(options, message):
    with pytest.raises(HymtlError, match=message):
        arrange(folder((10, 6), (5, 2)), **options)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.folds=1", "data.fold=0"], "data.folds=1: expected null or a whole number of at least 2"),
        (["data.folds=5"], "data.folds=5 with data.fold=null: give data.fold=0 to 4.*data.fold=0,1,2,3,4"),
        (["data.folds=5", "data.fold=5"], "data.fold=5: give data.fold=0 to 4"),
        (["data.fold=1"], "data.fold=1 is one of how many"),
        (["data.test_fraction=1.0"], "data.test_fraction=1.0: expected a number from 0 to below 1"),
        (["data.test_fraction=-0.1"], "data.test_fraction=-0.1: expected"),
    ],
)
def test_settings_out_of_range(config, pictures, overrides, message):
    with pytest.raises(HymtlError, match=message):
        prepare(config("data=folder", f"data.root={pictures}", *overrides))


def test_neither_seed_nor_strategy_moves_a_photo(config, pictures):
    found = []
    for words in (["strategy=scratch", "seed=0"], ["strategy=frozen", "seed=7"]):
        cfg = config(
            *words, "data=folder", f"data.root={pictures}", "backbone=garment_cnn", "data.resize=28",
            "data.folds=3", "data.fold=1", "data.test_fraction=0.2", "trainer.accelerator=cpu",
        )  # fmt: skip
        found.append(prepare(cfg)[1].pictures.photos)
    assert found[0].splits == found[1].splits
    assert found[0].digest == read_folder(pictures).digest  # the photos are the same, whoever they are for


def test_nothing_calibrates_on_test_photos(pictures):
    arranged = arrange(read_folder(pictures), folds=3, fold=0, test_fraction=0.2)
    reference = list(PictureBatches(arranged, Preprocessing(), workers=0).calibration_batches())
    train = replace(arranged, splits={"train": arranged.splits["train"]})
    alone = list(PictureBatches(train, Preprocessing(), workers=0).calibration_batches())
    assert all(torch.equal(a, b) for a, b in zip(reference, alone, strict=True))
    assert sum(map(len, alone)) == len(arranged.splits["train"])


def test_most_folds_calibrate_on_the_same_photos_and_none_on_its_own(pictures):
    """24 + 12 photos: a fold has 9, so that all but the first find 8 in it, and the first finds them in the second."""
    sets = []
    for fold in range(4):
        arranged = arrange(read_folder(pictures), folds=4, fold=fold)
        batches = PictureBatches(arranged, Preprocessing(), workers=0, seed=fold)
        own = torch.stack([batches.dataset("val")[0, index, 0][0] for index in range(len(arranged.splits["val"]))])
        chosen = torch.cat(list(batches.calibration_batches(8)))
        own = transforms.normalize(own, Preprocessing())
        assert not any(torch.equal(one, other) for one in chosen for other in own)
        sets.append(chosen)
    assert not torch.equal(sets[0], sets[1])
    assert torch.equal(sets[1], sets[2]) and torch.equal(sets[2], sets[3])


def unsplit(sizes=(123, 21), groups=None):
    """Photos of two classes without splits; of ``groups`` photos each, named after it, where given."""
    photos = [
        Photo(Path(f"{c}/{i}"), f"{c}/{f'g{i // groups}_' if groups else ''}{i:03d}.jpg", label)
        for label, c in enumerate("ab")
        for i in range(sizes[label])
    ]
    return PhotoFolder("folder", Path("."), ["a", "b"], {"all": photos})


def counts(photos):
    return {name: tuple(Counter(p.label for p in split)[c] for c in (0, 1)) for name, split in photos.splits.items()}


def test_photos_without_splits_get_a_fifth_of_each_class_to_validate():
    assert counts(arrange(unsplit())) == {"train": (98, 17), "val": (25, 4)}
    assert arrange(unsplit()).splits == arrange(unsplit(), val_fraction=0.2).splits
    assert arrange(unsplit()).arrangement["val_fraction"] == 0.2
    assert counts(arrange(unsplit(), val_fraction=0.3, test_fraction=0.2)) == {
        "train": (61, 11), "val": (37, 6), "test": (25, 4),
    }  # fmt: skip


def test_a_class_of_two_photos_has_one_on_each_side():
    assert counts(arrange(unsplit((10, 2)))) == {"train": (8, 1), "val": (2, 1)}
    with pytest.raises(HymtlError, match="Class b has 1 photo, too few for train and val"):
        arrange(unsplit((10, 1)))


def test_photos_without_splits_have_folds_too():
    found = [arrange(unsplit(), folds=3, fold=fold, test_fraction=0.1) for fold in range(3)]
    assert len({frozenset(names(photos, "test")) for photos in found}) == 1
    validated = Counter(name for photos in found for name in names(photos, "val"))
    assert set(validated.values()) == {1} and set(validated) == names(found[0], "train", "val")


def test_val_fraction_splits_anew_what_had_splits():
    photos = folder()
    arranged = arrange(photos, val_fraction=0.25)
    assert counts(arranged) == {"train": (145, 153), "val": (48, 51)}
    assert names(arranged) == names(photos)


@pytest.mark.parametrize(
    "options", [{"val_fraction": 0.2}, {"folds": 4, "fold": 1}, {"test_fraction": 0.2, "folds": 3, "fold": 0}]
)
def test_another_split_seed_splits_otherwise(options):
    found = [arrange(folder(), **options, split_seed=seed) for seed in (0, 1, 2)]
    assert found[0].splits == arrange(folder(), **options).splits
    for one, other in combinations(found, 2):
        for split in one.splits:
            assert names(one, split) != names(other, split)
            assert [len(one.splits[split])] == [len(other.splits[split])]


def test_a_split_seed_that_changes_nothing_is_refused():
    with pytest.raises(HymtlError, match="data.split_seed=1: .* has splits of its own"):
        arrange(folder(), split_seed=1)


GROUP = r"^\w/g\d+_"


@pytest.mark.parametrize("size", [3, 7, 20])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"folds": 3, "fold": 2},
        {"test_fraction": 0.2},
        {"test_fraction": 0.2, "folds": 2, "fold": 0, "split_seed": 3},
    ],
)
def test_a_group_stands_on_one_side(size, options):
    photos = unsplit((200, 120), groups=size)
    arranged = arrange(photos, group=GROUP, **options)
    sides = {name: {photo.group for photo in split} for name, split in arranged.splits.items()}
    for one, other in combinations(sides.values(), 2):
        assert not one & other
    assert names(arranged) == names(photos)


@pytest.mark.parametrize("options", [{"folds": 3, "fold": 2}, {"folds": 3, "fold": None}, {"val_fraction": 0.2}])
def test_a_group_that_own_splits_cut_through_stands_on_one_side_of_new_ones(options):
    photos = folder(train=(60, 60), val=(40, 40))  # of one group: the photos of one number
    arranged = arrange(photos, group=r"\d+", test_fraction=0.2, **options)
    sides = {name: {photo.group for photo in split} for name, split in arranged.splits.items()}
    assert not sides["test"] & (sides["train"] | sides["val"])
    assert names(arranged) == names(photos)
    test = arrange(photos, group=r"\d+", test_fraction=0.2, folds=3, fold=0).splits["test"]
    assert {photo.name for photo in test} == names(arranged, "test")
    assert counts(arranged)["test"] == (20, 20)


def test_groups_too_few_for_the_folds_are_refused_in_every_fold():
    photos = unsplit((40, 40), groups=10)
    assert counts(arrange(photos, folds=4, fold=3, group=GROUP)) == {"train": (30, 30), "val": (10, 10)}
    for fold in range(5):
        with pytest.raises(HymtlError, match="data.folds=5: class a has 4 groups of photos, none of which is left"):
            arrange(photos, folds=5, fold=fold, group=GROUP)


def test_where_groups_leave_only_one_part_there_are_no_folds():
    photos = [
        Photo(Path(f"{i}"), f"{i}", "ab".index(group), group) for i, group in enumerate("aabb")
    ]  # a group a class
    assert folds(photos, 5) == []
    photos = [Photo(Path(f"{i}"), f"{i}", i % 2, group) for i, group in enumerate("aabb")]
    assert sorted(map(sorted, folds(photos, 5))) == [[0, 1], [2, 3]]


def test_groups_leave_each_class_near_its_share():
    for split_seed in range(5):
        found = counts(arrange(unsplit((300, 60), groups=4), group=GROUP, val_fraction=0.2, split_seed=split_seed))
        assert abs(found["val"][0] - 60) <= 4 and abs(found["val"][1] - 12) <= 4


def test_a_group_may_have_several_classes():
    photos = unsplit((60, 60), groups=3)
    arranged = arrange(photos, group=r"g(\d+)_")  # the same plants in both classes
    assert {photo.group for photo in arranged.splits["val"]} & {
        photo.group for photo in arranged.splits["train"]
    } == set()
    assert counts(arranged) == {"train": (48, 48), "val": (12, 12)}


def test_a_name_without_a_group_and_a_group_that_the_folder_split_are_refused():
    with pytest.raises(HymtlError, match=r"data.group=nine finds no group in 144 names, such as a/000.jpg"):
        arrange(unsplit(), group="nine")
    with pytest.raises(HymtlError, match=r"The group '000' has photos in train and in val.*data.val_fraction"):
        arrange(folder(), group=r"\d+")
    arrange(folder(), group=r"\d+", val_fraction=0.2)
    with pytest.raises(HymtlError, match=r"The group '000' has photos in (train|val) and in test.*Move all of its"):
        arrange(folder(test=(5, 5)), group=r"\d+", folds=3, fold=0)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.val_fraction=0"], "data.val_fraction=0: expected null or a number above 0"),
        (["data.val_fraction=0.5", "data.test_fraction=0.5"], "leave nothing to train on"),
        (["data.val_fraction=0.5", "data.folds=2", "data.fold=0"], "leave data.val_fraction out"),
        (["data.train_fraction=0"], "data.train_fraction=0: expected a number above 0, at most 1"),
        (["data.train_fraction=1.5"], "data.train_fraction=1.5: expected"),
        (["data.split_seed=-1"], "data.split_seed=-1: expected a whole number"),
        (["data.group='('"], "data.group=.: expected null or a regular expression"),
    ],
)
def test_new_settings_out_of_range(config, pictures, overrides, message):
    with pytest.raises(HymtlError, match=message):
        prepare(config("data=folder", f"data.root={pictures}", *overrides))


@pytest.mark.parametrize("split", [{}, {"folds": 5, "fold": 2}])
def test_fewer_training_photos_are_some_of_more_and_the_rest_stays(split):
    photos = arrange(folder(), **split)
    parts = [thinned(photos, fraction) for fraction in (0.1, 0.25, 0.5, 1)]
    for fewer, more in pairwise(parts):
        assert names(fewer, "train") < names(more, "train")
    for fraction, part in zip((0.1, 0.25, 0.5), parts, strict=False):
        assert part.splits["val"] == photos.splits["val"]
        left_out = {photo.name for photo in part.unused}  # which the dataset's digest goes on counting
        assert left_out == names(photos, "train") - names(part, "train")
        for some, every in zip(counts(part)["train"], counts(photos)["train"], strict=True):
            assert abs(some - fraction * every) <= 0.5
    assert parts[-1] is photos


def test_of_each_class_at_least_one_photo_trains_and_split_seed_chooses_others():
    assert counts(thinned(folder(), 0.001))["train"] == (1, 1)
    photos = arrange(folder(), train_fraction=0.5, split_seed=3)  # refused without a fraction, as it would do nothing
    assert names(thinned(photos, 0.5, 3), "train") != names(thinned(photos, 0.5), "train")


def test_groups_are_left_out_whole():
    photos = arrange(unsplit((60, 60), groups=3), group=r"g(\d+)_")
    parts = [thinned(photos, fraction) for fraction in (0.2, 0.5, 0.8, 1)]
    assert len({len(part.splits["train"]) for part in parts}) == 4
    for fewer, more in pairwise(parts):
        assert names(fewer, "train") < names(more, "train")
        left, kept = ({photo.group for photo in some} for some in (fewer.unused, fewer.splits["train"]))
        assert not left & kept
