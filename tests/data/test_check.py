"""What is wrong with pictures: every fault named, every copy found, nothing read twice."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps

from hymtl import cli
from hymtl.data import check, duplicates, reading
from hymtl.data.photos import read_folder
from hymtl.data.splits import arrange
from hymtl.errors import HymtlError
from hymtl.files import home
from tests.conftest import prepare


@pytest.fixture(autouse=True)
def own_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def copy(pictures, tmp_path):
    """Sound pictures, to be spoilt."""
    return shutil.copytree(pictures, tmp_path / "copy")


def some(folder, split="train", kind="ants"):
    return sorted((folder / split / kind).iterdir())


def spoil(folder):
    """One of each fault; returns the names."""
    ants = folder / "train" / "ants"
    (ants / "cut.jpg").write_bytes(some(folder)[0].read_bytes()[:2000])
    (ants / "empty.png").touch()
    (ants / "text.jpg").write_text("no picture")
    Image.new("L", (5000, 10)).save(ants / "long.png")
    Image.new("L", (3, 3)).save(folder / "val" / "bees" / "pixel.gif")
    return {f"train/ants/{name}" for name in ("cut.jpg", "empty.png", "text.jpg", "long.png")} | {"val/bees/pixel.gif"}


def test_every_fault_is_named_at_once(copy):
    faults = spoil(copy)
    photos = read_folder(copy)
    findings = check.examine(photos)
    assert set(check.bad(findings)) == faults
    with pytest.raises(HymtlError, match=r"(?s)5 of 41 pictures are no use:.*data.on_bad=skip") as caught:
        check.without_bad(photos, findings, "error")
    assert all(str(copy / name) in str(caught.value) for name in faults)


def test_a_link_that_leads_nowhere_is_named(copy, capsys):
    some(copy)[0].with_name("lost.jpg").symlink_to(copy / "nowhere.jpg")
    assert cli.main(["check", str(copy)]) == 1
    assert "train/ants/lost.jpg" in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_name_that_is_not_utf8_is_refused_by_name(copy, capsys):
    shutil.copy(some(copy)[0], os.fsencode(copy / "train" / "ants") + b"/bad\xff.jpg")
    with pytest.raises(HymtlError, match="its name is not UTF-8. Rename it"):
        read_folder(copy)
    assert cli.main(["check", str(copy)]) == 1
    assert "its name is not UTF-8" in capsys.readouterr().out


def test_the_command_says_what_training_would_say(copy, capsys):
    for photo in some(copy, kind="bees")[1:]:
        photo.unlink()
    alone = shutil.move(copy / "train", copy.with_name("alone"))
    assert cli.main(["check", str(alone)]) == 1
    assert "Class bees has 1 photo, too few for train and val." in capsys.readouterr().out


def test_skip_leaves_them_out_and_on_record(copy, caplog):
    faults = spoil(copy)
    photos = read_folder(copy)
    sound = check.without_bad(photos, check.examine(photos), "skip")
    assert {name: len(split) for name, split in sound.splits.items()} == {"train": 24, "val": 12}
    assert set(sound.checked["skipped"]) == faults
    assert "leaves out 5 of 41 pictures" in caplog.text and "cut.jpg" in caplog.text


def test_a_second_start_reads_what_changed(copy, monkeypatch):
    photos = read_folder(copy)
    first = check.examine(photos)
    seen = []
    read = reading.read
    monkeypatch.setattr(reading, "read", lambda file, *args, **more: seen.append(file) or read(file, *args, **more))
    assert check.examine(photos) == first and seen == []
    changed = some(copy)[0]
    changed.write_bytes(some(copy)[1].read_bytes())
    os.utime(some(copy)[2])
    assert check.examine(photos) != first and sorted(seen) == [some(copy)[0], some(copy)[2]]


def test_what_was_kept_is_not_trusted(copy):
    photos = read_folder(copy)
    first = check.examine(photos)
    (store,) = (home() / "checked").iterdir()
    for content in (b"", b"[1]", b'{"train/ants/a.jpg": {"size": "x"}}', b"\xff" * 100):
        store.write_bytes(content)
        assert check.examine(photos) == first


def test_copies_are_found_scaled_recompressed_and_mirrored(copy):
    photos = [Image.open(file).convert("RGB") for file in some(copy)[:5]]
    bees = copy / "val" / "bees"
    (bees / "same.jpg").write_bytes(some(copy)[0].read_bytes())
    photos[1].resize((photos[1].width // 3, photos[1].height // 3)).save(bees / "scaled.jpg")
    photos[2].save(bees / "recompressed.jpg", quality=15)
    ImageOps.mirror(photos[3]).save(bees / "mirrored.png")
    ImageOps.mirror(photos[4]).resize((90, 80)).save(bees / "all.webp", quality=40)
    found = read_folder(copy)
    leaks = check.leaking(found, check.twice(found, check.examine(found)))
    expected = zip(some(copy)[:5], ("same.jpg", "scaled.jpg", "recompressed.jpg", "mirrored.png", "all.webp"))
    assert {leak.names for leak in leaks} == {
        (f"train/ants/{file.name}", f"val/bees/{name}") for file, name in expected
    }
    assert [leak.exact for leak in leaks] == [True, False, False, False, False]


def test_drawn_pictures_have_no_copies(pictures):
    photos = read_folder(pictures)
    assert check.twice(photos, check.examine(photos)) == []


def test_the_real_photos_have_none_either(photos):
    found = read_folder(photos)
    findings = check.examine(found)
    assert check.bad(findings) == {} and check.twice(found, findings) == []


def test_pictures_of_one_colour_are_not_taken_for_one_another():
    assert duplicates.looks(Image.new("RGB", (50, 50), "red")) is None
    assert duplicates.numbered({"once": 1, "twice": 2}, {}) == {"once": duplicates.ALONE, "twice": 2}


@pytest.fixture(scope="module")
def noise():
    """The hashes of 600 pictures that have nothing in common."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (64, 64), dtype=np.uint8)) for _ in range(600)]
    return {f"{number:03d}": duplicates.looks(picture.resize((300, 200))) for number, picture in enumerate(pictures)}


def turned(looks, *bits):
    """A hash, upright and mirrored, with some of its bits turned."""
    out = np.unpackbits(np.frombuffer(looks, np.uint8)).reshape(2, -1)
    out[:, list(bits)] ^= 1
    return np.packbits(out).tobytes()


def together(numbers):
    """Which contents have one number."""
    groups = {}
    for content, number in sorted(numbers.items()):
        groups.setdefault(number, []).append(content)
    groups.pop(duplicates.ALONE, None)
    return sorted(groups.values())


def test_copies_and_mirrored_ones_are_found_among_many(noise):
    hashes = noise | {"copy": noise["500"], "mirror": noise["007"][32:] + noise["007"][:32]}
    assert together(duplicates.numbered(dict.fromkeys(hashes, 1), hashes)) == [["007", "mirror"], ["500", "copy"]]


def test_a_folder_that_changes_has_its_copies_found_as_a_new_one(noise):
    """Three in a row, the outer ones alike through the middle one alone, which comes, goes and comes again."""
    middle, right = turned(noise["000"], *range(220, 254)), turned(noise["000"], *range(186, 254))
    without, whole = noise | {"right": right}, noise | {"right": right, "middle": middle}
    known = {}
    for hashes, found in ((without, []), (whole, [["000", "middle", "right"]])) * 2:
        known = duplicates.numbered(dict.fromkeys(hashes, 1), hashes, known)
        assert together(known) == found


def test_what_was_compared_is_not_compared_again(noise, monkeypatch):
    known = duplicates.numbered(dict.fromkeys(noise, 1), noise)
    rows, alike = [], duplicates._alike
    monkeypatch.setattr(duplicates, "_alike", lambda *given: rows.append(given[3] - given[2]) or alike(*given))
    hashes = noise | {"copy": noise["003"]}
    assert together(duplicates.numbered(dict.fromkeys(hashes, 1), hashes, known)) == [["003", "copy"]]
    assert rows == [1]


def leaky(copy):
    (copy / "val" / "ants" / "copy.jpg").write_bytes(some(copy)[0].read_bytes())
    shutil.copytree(copy / "val", copy / "test")  # all of them: test has copies of val, and one of train
    return read_folder(copy)


def test_leaks_are_warned_about_and_on_record(copy, caplog):
    photos = leaky(copy)
    checked = check.without_leaks(photos, check.examine(photos), None)
    assert checked.splits == photos.splits and len(checked.checked["leaks"]) == 13
    assert "14 pictures of validation or test have copies on another side" in caplog.text


def test_a_log_names_some_of_many_leaks_and_how_many_more(copy, caplog):
    photos = leaky(copy)
    check.without_leaks(photos, check.examine(photos), None)
    assert caplog.text.count("same bytes: ") == check.LISTED < 13 and "and 3 more" in caplog.text


def test_drop_takes_copies_out_of_validation_and_test(copy):
    (copy / "val" / "ants" / "copy.jpg").write_bytes(some(copy)[0].read_bytes())
    photos = read_folder(copy)
    checked = check.without_leaks(photos, check.examine(photos), "drop")
    assert checked.checked["dropped"] == ["val/ants/copy.jpg"]
    assert {name: len(split) for name, split in checked.splits.items()} == {"train": 24, "val": 12}
    with pytest.raises(HymtlError, match="data.leaks=drop leaves no photo of class ants in test"):
        check.without_leaks(photos := leaky(copy), check.examine(photos), "drop")


def test_folds_that_drop_other_copies_are_of_one_dataset(copy):
    (copy / "val" / "ants" / "copy.jpg").write_bytes(some(copy)[0].read_bytes())
    whole = read_folder(copy)
    found = check.examine(whole)
    folds = [check.without_leaks(arrange(whole, folds=4, fold=fold), found, "drop") for fold in range(4)]
    assert len({photos.digest for photos in folds}) == 1
    assert all(photos.arrangement["leaks"] == "drop" for photos in folds)  # no table has both
    validated = [photo.name for photos in folds for photo in photos.splits["val"]]
    assert len(validated) == len(set(validated)) < sum(map(len, whole.splits.values()))


def test_a_copy_is_named_once_where_all_photos_train_and_validate(copy):
    (copy / "val" / "ants" / "copy.jpg").write_bytes(some(copy)[0].read_bytes())
    whole = read_folder(copy)
    (cluster,) = check.twice(arrange(whole, folds=4), check.examine(whole))
    assert len(cluster.names) == len(set(cluster.names)) == 2


def test_training_stops_skips_and_records(config, copy):
    faults = spoil(copy)
    (copy / "val" / "ants" / "copy.jpg").write_bytes(some(copy)[3].read_bytes())
    words = ["strategy=scratch", "backbone=garment_cnn", "data=folder", f"data.root={copy}", "data.resize=28"]
    with pytest.raises(HymtlError, match="5 of 42 pictures are no use"):
        prepare(config(*words))
    _, data, _ = prepare(config(*words, "data.on_bad=skip", "data.leaks=drop"))
    assert set(data.pictures.photos.checked["skipped"]) == faults
    assert data.pictures.photos.checked["dropped"] == ["val/ants/copy.jpg"]
    for wrong in ("data.on_bad=stop", "data.leaks=keep"):
        with pytest.raises(HymtlError, match=wrong):
            prepare(config(*words, wrong))


def test_the_command_names_everything_and_draws_the_worst(copy, capsys, tmp_path):
    faults = spoil(copy)
    (copy / "val" / "bees" / "leak.jpg").write_bytes(some(copy)[3].read_bytes())
    shutil.copy(some(copy)[4], some(copy)[4].with_name("twice.jpg"))
    Image.open(some(copy)[6]).resize((99, 98)).transpose(Image.Transpose.ROTATE_90).save(copy / "a.png")
    (copy / "a.png").rename(copy / "train" / "bees" / "named.jpg")
    (copy / "train" / "scan.psd").write_bytes(b"8BPS")
    shutil.copy(some(copy)[5], copy / "train" / "bees" / "kept.jpg.bak")
    assert cli.main(["check", str(copy)]) == 1
    said = capsys.readouterr().out
    for name in faults:
        assert str(copy / name) in said
    assert "train/scan.psd" in said and "kept.jpg.bak, which is JPEG: rename it" in said
    assert "named.jpg is PNG" in said and "LEAK" in said and "val/bees/leak.jpg" in said and "twice.jpg" in said
    with Image.open(tmp_path / "hymtl-check.png") as grid:
        assert grid.width > 4 * 176


def test_the_command_on_sound_pictures(pictures, capsys, tmp_path):
    assert cli.main(["check", str(pictures)]) == 0
    said = capsys.readouterr().out
    assert "Nothing is wrong" in said and "ants" in said and "12" in said
    assert not list(tmp_path.glob("*.png"))


def test_the_command_on_what_cannot_train(copy, capsys, tmp_path):
    shutil.rmtree(copy / "val")
    spoilt = some(copy)[0]
    spoilt.write_bytes(b"")
    assert cli.main(["check", str(copy)]) == 1
    said = capsys.readouterr().out
    assert "has no folder val/" in said and f"{spoilt} cannot be read as a picture: it is empty" in said
    assert cli.main(["check", str(tmp_path / "lost")]) == 1


def test_the_record_has_it(fitted):
    assert fitted("frozen").result["data_check"]["files"] == 36
    json.dumps(fitted("frozen").result["data_check"])
