"""Your own pictures: folders with and without splits, and tables."""

import shutil

import pytest

from hymtl.data.photos import read_folder
from hymtl.data.sources import find_photos
from hymtl.data.splits import arrange
from hymtl.errors import HymtlError


@pytest.fixture
def plain(pictures, tmp_path):
    """DIR/ants/* and DIR/bees/*."""
    return shutil.copytree(pictures / "train", tmp_path / "plain")


def test_class_folders_alone_are_a_dataset(plain):
    photos = read_folder(plain)
    assert photos.classes == ["ants", "bees"] and list(photos.splits) == ["all"]
    assert all(photo.name.startswith(("ants/", "bees/")) for photo in photos.splits["all"])
    assert {name: len(split) for name, split in arrange(photos).splits.items()} == {"train": 20, "val": 4}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("val", "valid", r"has no folder val/. Did you mean val/ by valid/"),
        ("val", "Validation", r"has no folder val/. Did you mean val/ by Validation/"),
        ("train", "training", r"has no folder train/. Did you mean train/ by training/"),
    ],
)
def test_splits_by_other_names_are_recognized(pictures, tmp_path, old, new, message):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    (copy / old).rename(copy / new)
    with pytest.raises(HymtlError, match=message):
        find_photos("folder", str(copy))


def test_of_a_training_and_a_test_folder_validation_is_cut_from_training(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    (copy / "val").rename(copy / "test")
    photos = arrange(find_photos("folder", str(copy)))
    assert {name: len(split) for name, split in photos.splits.items()} == {"train": 20, "val": 4, "test": 12}
    assert all(photo.name.startswith("train/") for name in ("train", "val") for photo in photos.splits[name])
    assert all(photo.name.startswith("test/") for photo in photos.splits["test"])
    folded = arrange(find_photos("folder", str(copy)), folds=4, fold=1)
    assert {name: len(split) for name, split in folded.splits.items()} == {"train": 18, "val": 6, "test": 12}


def test_two_splits_by_other_names_are_no_two_classes(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    (copy / "train").rename(copy / "Training")
    (copy / "val").rename(copy / "valid")
    with pytest.raises(HymtlError, match="Did you mean train/ by Training/"):
        find_photos("folder", str(copy))


def test_files_of_other_kinds_are_counted_and_named(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    (copy / "train" / "ants" / "scan.psd").write_bytes(b"8BPS")
    (copy / "val" / "notes.txt").write_bytes(b"no picture")
    assert read_folder(copy).left_out == ["train/ants/scan.psd", "val/notes.txt"]


# ---- tables


def table(pictures, tmp_path, header, line, name="table.csv"):
    """A table of the training pictures beside them; ``line`` makes one of a path, a label and a number."""
    folder = tmp_path / "pictures"
    if not folder.exists():
        shutil.copytree(pictures / "train", folder)
    files = sorted(file.relative_to(tmp_path) for file in folder.rglob("*.jpg"))
    lines = [line(file.as_posix(), file.parent.name, number) for number, file in enumerate(files)]
    (tmp_path / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8-sig")
    return str(tmp_path / name)


def test_a_table_without_splits(pictures, tmp_path):
    file = table(pictures, tmp_path, "path,label", lambda path, label, _: f"{path},{label}")
    photos = arrange(find_photos("csv", file))
    assert photos.classes == ["ants", "bees"]
    assert {name: len(split) for name, split in photos.splits.items()} == {"train": 20, "val": 4}
    assert all(photo.file.is_file() for photo in photos.splits["train"])


def test_a_tables_own_splits_are_kept(pictures, tmp_path):
    splits = ("train", "val", "test")
    file = table(pictures, tmp_path, "label,path,split", lambda path, label, i: f"{label},{path},{splits[i % 3]}")
    photos = find_photos("csv", file)
    assert arrange(photos) is photos
    assert {name: len(split) for name, split in photos.splits.items()} == {"train": 8, "val": 8, "test": 8}


def test_a_tables_groups_stay_together(pictures, tmp_path):
    file = table(pictures, tmp_path, "path,label,group", lambda path, label, i: f"{path},{label},plant {i // 3}")
    photos = arrange(find_photos("csv", file), test_fraction=0.25)
    groups = [{photo.group for photo in split} for split in photos.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 8


def test_labels_splits_and_groups_of_a_table_are_part_of_its_digest(pictures, tmp_path):
    lines = {
        "a": lambda path, label, i: f"{path},{label},{'train' if i % 2 else 'val'},{i}",
        "b": lambda path, label, i: f"{path},{label},{'val' if i % 2 else 'train'},{i}",
        "c": lambda path, label, i: f"{path},{'ants' if i % 2 else 'bees'},{'train' if i % 4 < 2 else 'val'},{i}",
        "d": lambda path, label, i: f"{path},{label},{'train' if i % 2 else 'val'},{i // 4}",
    }
    files = [table(pictures, tmp_path, "path,label,split,group", line, f"{name}.csv") for name, line in lines.items()]
    assert len({find_photos("csv", file).digest for file in files}) == 4


@pytest.mark.parametrize(
    ("header", "line", "message"),
    [
        ("file,label", "{path},{label}", r"has the columns file, label; it needs path,label\[,split\]\[,group\]"),
        ("path,label", "lost/{number}.jpg,{label}", "names 24 files that are not there: lost/0.jpg, .* and 4 more"),
        ("path,label", "pictures/ants/x.jpg,{label}", "names pictures/ants/x.jpg more than once"),
        ("path,label", "{path},", "line 2: no label"),
        ("path,label", "{path},ants", "has one label;"),
        ("path,label,split", "{path},{label},valid", "line 2: split 'valid' is unknown. Did you mean 'val'"),
        ("path,label,split", "{path},{label},trian", "split 'trian' is unknown. Did you mean 'train'"),
        ("path,label,split", "{path},{label},train", "has no photo of ants, bees in val"),
    ],
)
def test_a_table_that_is_wrong(pictures, tmp_path, header, line, message):
    file = table(
        pictures, tmp_path, header, lambda path, label, number: line.format(path=path, label=label, number=number)
    )
    with pytest.raises(HymtlError, match=message):
        find_photos("csv", file)


def test_what_is_no_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\0path")
    for name, message in (("a.csv", "cannot be read as a table"), ("lost.csv", "is no file"), (".", "is no file")):
        with pytest.raises(HymtlError, match=message):
            find_photos("csv", str(tmp_path / name))
    (tmp_path / "empty.csv").write_text("path,label\n")
    with pytest.raises(HymtlError, match="has no labels"):
        find_photos("csv", str(tmp_path / "empty.csv"))
