"""The drawn pictures: the same every time, written whole or not at all, and not to be told by colour."""

import hashlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from hymtl.data import drawn
from hymtl.errors import HymtlError

MODULE = pathlib.Path(drawn.__file__)


def run_apart(code: str, **variables: str) -> subprocess.Popen:
    """``code`` in another process, where the dict ``drawn`` holds the module's names."""
    # By its path, as importing the package would load PyTorch for nothing.
    code = f"import pathlib, runpy; drawn = runpy.run_path({str(MODULE)!r}); {code}"
    environment = {**os.environ, "PYTHONPATH": str(MODULE.parents[2]), **variables}
    return subprocess.Popen([sys.executable, "-c", code], env=environment)


def jpegs(root: pathlib.Path, split: str) -> list[pathlib.Path]:
    return sorted((root / split).glob("*/*.jpg"))


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> pathlib.Path:
    return drawn.write(tmp_path_factory.mktemp("drawn") / "photos", train=160, val=120)


@pytest.fixture
def small(tmp_path) -> pathlib.Path:
    return drawn.write(tmp_path / "small", train=8, val=4)


def test_a_picture_depends_on_kind_and_seed_alone():
    ant = drawn.draw("ants", 7).tobytes()
    assert drawn.draw("ants", 7).tobytes() == ant
    assert drawn.draw("ants", 8).tobytes() != ant
    assert drawn.draw("bees", 7).tobytes() != ant


def test_another_process_draws_the_same_picture(tmp_path):
    file = tmp_path / "pixels"
    code = f"pathlib.Path({str(file)!r}).write_bytes(drawn['draw']('bees', 7).tobytes())"
    assert run_apart(code, PYTHONHASHSEED="7").wait() == 0
    assert file.read_bytes() == drawn.draw("bees", 7).tobytes()


@pytest.mark.parametrize("size", [64, 256])
def test_draw_keeps_the_size_asked_for(size):
    picture = drawn.draw("bees", 0, size)
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_an_unknown_kind_is_named_with_the_right_ones():
    with pytest.raises(HymtlError, match="'bee'.*Did you mean 'bees'.*ants, bees"):
        drawn.draw("bee", 0)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError):
        drawn.draw("ants", -1)


def test_layout_and_counts(small):
    found = sorted(str(path.relative_to(small)) for path in small.rglob("*.jpg"))
    assert found == sorted(
        [f"train/{kind}/{number:04d}.jpg" for kind in drawn.KINDS for number in range(4)]
        + [f"val/{kind}/{number:04d}.jpg" for kind in drawn.KINDS for number in range(2)]
    )


def test_ants_get_the_odd_picture(tmp_path):
    root = drawn.write(tmp_path / "odd", train=3, val=1)
    folders = ("train/ants", "train/bees", "val/ants", "val/bees")
    assert [len(list((root / folder).iterdir())) for folder in folders] == [2, 1, 1, 0]


def test_every_file_is_a_whole_rgb_jpeg_of_a_photo_like_size(drawings):
    files = jpegs(drawings, "train") + jpegs(drawings, "val")
    assert len(files) == 280
    sizes = set()
    for file in files:
        with Image.open(file) as picture:
            picture.load()
            assert (picture.format, picture.mode) == ("JPEG", "RGB")
            assert all(240 <= side <= 320 for side in picture.size)
            sizes.add(picture.size)
    assert len(sizes) > 20


def test_no_picture_is_drawn_twice(drawings):
    files = jpegs(drawings, "train") + jpegs(drawings, "val")
    assert len({hashlib.sha256(file.read_bytes()).digest() for file in files}) == len(files)


def test_the_seed_of_a_set_changes_its_pictures(tmp_path, small):
    again, other = (drawn.write(tmp_path / str(seed), train=8, val=4, seed=seed) for seed in (0, 1))
    sets = (jpegs(root, "train") for root in (small, again, other))
    for file, same, different in zip(*sets, strict=True):
        assert file.read_bytes() == same.read_bytes()
        assert file.read_bytes() != different.read_bytes()


def colours(root: pathlib.Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of red, green and blue, shape (n, 6), and the labels: ants -1, bees 1."""
    files = jpegs(root, split)
    pixels = [np.asarray(Image.open(file), dtype=float).reshape(-1, 3) for file in files]
    labels = np.array([1 if file.parent.name == "bees" else -1 for file in files])
    return np.array([np.r_[each.mean(axis=0), each.std(axis=0)] for each in pixels]), labels


@pytest.fixture(scope="module")
def coloured(drawings) -> tuple[np.ndarray, ...]:
    return (*colours(drawings, "train"), *colours(drawings, "val"))


def linear_rule(train: np.ndarray, labels: np.ndarray, val: np.ndarray) -> np.ndarray:
    weights = np.linalg.lstsq(np.c_[train, np.ones(len(train))], labels, rcond=None)[0]
    return np.sign(np.c_[val, np.ones(len(val))] @ weights)


def nearest_mean_rule(train: np.ndarray, labels: np.ndarray, val: np.ndarray) -> np.ndarray:
    ants, bees = (np.linalg.norm(val - train[labels == label].mean(axis=0), axis=1) for label in (-1, 1))
    return np.where(bees < ants, 1, -1)


@pytest.mark.parametrize("rule", [linear_rule, nearest_mean_rule])
@pytest.mark.parametrize("features", [3, 6])
def test_colour_does_not_tell_the_classes_apart(coloured, rule, features):
    train, train_labels, val, val_labels = coloured
    train, val = train[:, :features], val[:, :features]
    assert (rule(train, train_labels, val) == val_labels).mean() < 0.65
    # The rule itself is sound: were bees tinted, it would find them.
    tint = np.eye(features)[0] * 400
    found = rule(train + np.outer(train_labels > 0, tint), train_labels, val + np.outer(val_labels > 0, tint))
    assert (found == val_labels).mean() > 0.9


def test_a_set_that_is_there_is_not_drawn_again(small, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in small.rglob("*")}
    monkeypatch.setattr(drawn, "_photograph", lambda *_: pytest.fail("drawn again"))
    assert drawn.write(small, train=8, val=4) == small
    assert {path: path.stat().st_mtime_ns for path in small.rglob("*")} == before


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, OSError])
def test_an_interrupted_set_leaves_nothing_behind(tmp_path, monkeypatch, interruption):
    photograph, drawings = drawn._photograph, []

    def stops_at_the_ninth(*arguments):
        drawings.append(arguments)
        if len(drawings) == 9:
            raise interruption
        return photograph(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(drawn, "_photograph", stops_at_the_ninth)
        with pytest.raises(interruption):
            drawn.write(tmp_path / "photos", train=8, val=4)
    assert list(tmp_path.iterdir()) == []
    root = drawn.write(tmp_path / "photos", train=8, val=4)
    assert len(list(root.rglob("*.jpg"))) == 12
    assert list(tmp_path.iterdir()) == [root]


def test_a_killed_process_leaves_no_set_that_looks_whole(tmp_path):
    root = tmp_path / "photos"
    painter = run_apart(f"drawn['write'](pathlib.Path({str(root)!r}))")
    try:
        while painter.poll() is None and len(list(tmp_path.rglob("*.jpg"))) < 3:
            time.sleep(0.02)
        assert painter.poll() is None  # killed while it draws
    finally:
        painter.kill()
        painter.wait()
    assert not root.exists()
    assert len(list(drawn.write(root, train=8, val=4).rglob("*.jpg"))) == 12


def test_of_two_processes_that_draw_the_same_set_both_succeed(tmp_path, monkeypatch):
    root, fill = tmp_path / "photos", drawn._fill

    def overtaken(*arguments):
        fill(*arguments)
        monkeypatch.undo()
        drawn.write(root, train=8, val=4)  # the rival is done just before this one

    monkeypatch.setattr(drawn, "_fill", overtaken)
    assert drawn.write(root, train=8, val=4) == root
    assert len(list(root.rglob("*.jpg"))) == 12
    assert list(tmp_path.iterdir()) == [root]


def test_an_empty_folder_is_filled(tmp_path):
    assert len(list(drawn.write(tmp_path, train=2, val=2).rglob("*.jpg"))) == 4


@pytest.mark.parametrize("wanted", [{"train": 10, "val": 4}, {"train": 8, "val": 2}])
def test_a_folder_that_holds_something_else_is_left_alone(small, wanted):
    before = sorted(small.rglob("*"))
    with pytest.raises(HymtlError, match="not a whole set of"):
        drawn.write(small, **wanted)
    assert sorted(small.rglob("*")) == before
