"""Batches, and the folders they come from."""

import copy
import multiprocessing
import os
import pickle
import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from hymtl.backbones import get
from hymtl.data import batches, room
from hymtl.data import transforms as T
from hymtl.data.batches import PictureBatches
from hymtl.data.dataset import EpochSampler
from hymtl.data.photos import read_folder
from hymtl.data.sources import find_photos, hymenoptera
from hymtl.errors import HymtlError
from hymtl.preprocessing import Preprocessing


def datamodule(folder, **options):
    return PictureBatches(read_folder(folder), Preprocessing(), **{"batch_size": 5, "workers": 0} | options)


def epoch(loader, number=0):
    loader.sampler.set_epoch(number)
    batches = list(loader)
    return torch.cat([pictures for pictures, _ in batches]), torch.cat([labels for _, labels in batches])


def test_a_batch_is_normalized_float_with_int64_labels(pictures):
    batch, labels = next(iter(datamodule(pictures).loader("train", shuffle=True)))
    assert batch.shape == (5, 3, 224, 224) and batch.dtype == torch.float32
    assert labels.shape == (5,) and labels.dtype == torch.int64
    assert -2.2 < batch.min() < 0 < batch.max() < 2.7  # (0 - mean) / std to (1 - mean) / std


def test_every_photo_comes_once_an_epoch_in_another_order_each(pictures):
    sampler = EpochSampler(24, seed=0, shuffle=True)
    orders = []
    for number in (0, 1):
        sampler.set_epoch(number)
        keys = list(sampler)
        assert {key.view for key in keys} == {number}
        orders.append([key.number for key in keys])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(24))
    assert orders[0] != orders[1]


def test_augmentation_hangs_on_seed_epoch_and_picture_alone(pictures):
    reference, labels = epoch(datamodule(pictures, seed=1).loader("train", shuffle=True))
    for options in ({"workers": 2}, {"cache_gb": 0.0}, {"cache_gb": 1e6}):  # nor on workers, nor on where they are kept
        again, same_labels = epoch(datamodule(pictures, seed=1, **options).loader("train", shuffle=True))
        assert torch.equal(reference, again) and torch.equal(labels, same_labels)
    torch.rand(100)  # nor on what else was drawn
    assert torch.equal(reference, epoch(datamodule(pictures, seed=1).loader("train", shuffle=True))[0])
    assert not torch.equal(reference, epoch(datamodule(pictures, seed=2).loader("train", shuffle=True))[0])
    assert not torch.equal(reference, epoch(datamodule(pictures, seed=1).loader("train", shuffle=True), number=1)[0])


def test_a_picture_that_comes_twice_is_augmented_twice_and_its_name_and_place_do_not_matter(pictures, tmp_path):
    dataset = datamodule(pictures).dataset("train")
    assert torch.equal(dataset[0, 3][0], dataset[0, 3, 0][0]) and not torch.equal(dataset[0, 3][0], dataset[0, 3, 1][0])
    copy = shutil.copytree(pictures, tmp_path / "copy")
    first = min((copy / "train" / "ants").iterdir())
    first.rename(first.with_name("zzz.png"))
    moved = datamodule(copy).dataset("train")
    place = [photo.digest for photo in moved.photos].index(dataset.photos[0].digest)
    assert place != 0 and torch.equal(dataset[5, 0][0], moved[5, place][0])


def test_workers_that_live_on_learn_of_the_next_epoch(pictures):
    loader, reference = (
        datamodule(pictures, workers=2).loader("train", shuffle=True),
        datamodule(pictures).loader("train", shuffle=True),
    )
    for number in (0, 1):
        assert torch.equal(epoch(loader, number)[0], epoch(reference, number)[0])


def test_loading_leaves_the_global_random_state_alone(pictures):
    loader = datamodule(pictures).loader("train", shuffle=True)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    iterator = iter(loader)  # DataLoader itself draws one seed
    torch.manual_seed(5)
    next(iterator)
    assert torch.equal(torch.rand(3), expected)


def test_validation_follows_the_weights_preprocessing(pictures):
    """Against PIL: shorter side resized, centre crop, the backbone's own mean and deviation."""
    preprocessing = get("efficientnet_lite0").preprocessing
    photos = read_folder(pictures)
    module = PictureBatches(photos, preprocessing, batch_size=1, workers=0, resize=256)
    batch, _ = next(iter(module.loader("val")))
    with Image.open(photos.splits["val"][0].file) as image:
        scale = 256 / min(image.size)
        # torchvision cuts fractions of the longer side off
        image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    left, top = (round((side - 224) / 2) for side in image.size)
    image = image.crop((left, top, left + 224, top + 224))
    reference = torch.tensor(list(image.tobytes())).view(224, 224, 3).permute(2, 0, 1)
    difference = (T.denormalize(batch, preprocessing)[0].int() - reference).abs()
    assert difference.float().mean() < 1 and difference.max() <= 16  # resizing rounds differently in the two


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("augmentation", ["random_resized_crop", "random_crop"])
def test_augmentation_draws_what_torchvisions_transforms_draw(augmentation, interpolation):
    """Bit for bit; the long pictures are those in which a random box may find no room."""
    recipe = T.training(Preprocessing(interpolation=interpolation), augmentation, 224)
    mode = v2.InterpolationMode(interpolation)
    crop = {
        "random_resized_crop": [v2.RandomResizedCrop(224, interpolation=mode)],
        "random_crop": [v2.Resize(224, interpolation=mode), v2.RandomCrop(224)],
    }[augmentation]
    reference = v2.Compose([v2.RGB(), *crop, v2.RandomHorizontalFlip()])
    for seed, shape in enumerate([(300, 400), (500, 300), (224, 224), (230, 1500), (1500, 230)] * 3):
        picture = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
        torch.manual_seed(seed)
        expected = reference(picture)
        ours = recipe.augment(recipe.once(picture), torch.Generator().manual_seed(seed))
        assert torch.equal(ours, expected), (seed, shape)


def test_views_come_around_again_in_another_order(pictures):
    module = datamodule(pictures, views=2)
    loader = module.loader("train", shuffle=True)
    seen = []
    for number in range(3):
        loader.sampler.set_epoch(number)
        keys = list(loader.sampler)
        assert {key.view for key in keys} == {number % 2}
        seen.append((keys, torch.stack([module.dataset("train")[key][0] for key in sorted(keys)])))
    assert seen[0][0] != seen[2][0] and torch.equal(seen[0][1], seen[2][1])
    assert not torch.equal(seen[0][1], seen[1][1])
    assert {key.view for key in module.loader("val").sampler} == {0}


def test_pictures_are_kept_as_far_as_memory_goes_and_prepared_once(pictures):
    module = datamodule(pictures, augmentation="random_crop", resize=224, cache_gb=0.005)  # of 7 MB
    decoded = count_decoding(module)
    for number in range(2):
        epoch(module.loader("val"), number)
    assert decoded["val"] == 12  # they come first, and there is room for them
    for number in range(2):
        epoch(module.loader("train", shuffle=True), number)
    assert 24 < decoded["train"] < 48
    plenty = datamodule(pictures, augmentation="random_crop", resize=224)
    decoded = count_decoding(plenty)
    for number in range(2):
        epoch(plenty.loader("train", shuffle=True), number)
    assert decoded == {"train": 24, "val": 0}


def test_training_begins_before_all_pictures_are_decoded(pictures):
    module = datamodule(pictures)
    decoded = count_decoding(module)
    loader = module.loader("train", shuffle=True)
    assert decoded["train"] == 0
    next(iter(loader))
    assert decoded["train"] > 0


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(method, marks=() if method == "fork" else pytest.mark.second)  # they import torch first
        for method in multiprocessing.get_all_start_methods()
    ],
)
def test_worker_processes_share_what_they_decoded(begun, pictures, monkeypatch):
    """Also those that are not forked, where the system has memory that can be sent."""
    for part in (batches, room):
        monkeypatch.setattr(part, "of_workers", lambda: multiprocessing.get_context(begun))
    module = datamodule(pictures, workers=2)
    reference = epoch(datamodule(pictures, cache_gb=0).loader("train", shuffle=True), 1)[0]
    loader = module.loader("train", shuffle=True)
    epoch(loader, 0)
    if begun == "fork" or hasattr(os, "memfd_create"):
        assert not module.dataset("train").decodes  # here, where nothing was decoded
    assert torch.equal(epoch(loader, 1)[0], reference)
    sent = pickle.loads(pickle.dumps(module.dataset("train")))  # as by who starts no process
    assert sent.decodes and torch.equal(sent[0, 3][0], module.dataset("train")[0, 3][0])


def test_the_next_run_in_this_process_decodes_only_what_it_prepares_otherwise(pictures):
    """As the jobs of a sweep; of pictures whose digest is not known it finds none."""
    photos = read_folder(pictures)
    for split, listed in photos.splits.items():
        photos.splits[split] = [replace(photo, sha256=photo.digest) for photo in listed]

    def decoded(**options):
        batches = PictureBatches(copy.deepcopy(photos), Preprocessing(), workers=0, cache_gb=0.5, **options)
        counted = count_decoding(batches)
        seen = [epoch(batches.loader(split))[0] for split in ("train", "val")]
        return counted, seen

    first, seen = decoded(seed=1)
    assert first == {"train": 24, "val": 12}
    again, same = decoded(seed=1)
    assert again == {"train": 0, "val": 0} and all(map(torch.equal, seen, same))
    assert decoded(resize=300)[0] == {"train": 0, "val": 12}  # crops are of the whole picture
    photos.splits["val"].append(photos.splits["train"].pop())
    assert decoded(seed=2)[0] == {"train": 1, "val": 0}  # the one of train, as validation sees it


def count_decoding(module):
    """How many photos of each split were decoded, from now on."""
    decoded = {"train": 0, "val": 0}

    def counting(photo):
        def decode(then):
            decoded[photo.name.split("/")[0]] += 1
            return photo.decode(then)

        return SimpleNamespace(decode=decode, label=photo.label, digest=photo.digest, sha256=photo.sha256)

    for split in decoded:
        module.photos.splits[split] = [counting(photo) for photo in module.photos.splits[split]]
    return decoded


def test_who_stops_reading_early_leaves_no_thread_behind(pictures):
    before = threading.active_count()
    batches = iter(datamodule(pictures, batch_size=1, cache_gb=0).loader("train", shuffle=True))
    next(batches)
    assert threading.active_count() > before
    batches.close()
    assert threading.active_count() == before


def test_normalize_and_its_way_back():
    pictures = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    assert torch.equal(T.denormalize(T.normalize(pictures, Preprocessing()), Preprocessing()), pictures)


def test_calibration_sees_training_photos_only(pictures):
    module = datamodule(pictures)
    module.photos.splits["val"].clear()
    batches = list(module.calibration_batches(20))
    assert sum(len(batch) for batch in batches) == 20
    assert torch.equal(batches[0], next(iter(datamodule(pictures).calibration_batches(20))))


def test_random_crop_needs_a_picture_as_large_as_the_crop(pictures):
    with pytest.raises(HymtlError, match="data.resize=100 is less than the 224 pixels"):
        datamodule(pictures, resize=100)


def test_the_digest_changes_with_a_byte_a_name_or_a_class(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    assert read_folder(copy).digest == read_folder(pictures).digest
    file = next((copy / "train" / "ants").iterdir())
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    changed = read_folder(copy).digest
    assert changed != read_folder(pictures).digest
    file.rename(copy / "train" / "bees" / file.name.replace(".", "-moved."))
    assert read_folder(copy).digest != changed


def test_stray_files_are_ignored(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    for name in ("scan.psd", "._hidden.jpg", "notes.txt"):
        (copy / "train" / "ants" / name).write_bytes(b"no picture")
    assert read_folder(copy).record["train"] == 24


def test_a_broken_picture_is_named(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    (copy / "train" / "ants" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(HymtlError, match="broken.jpg cannot be read as a picture"):
        epoch(datamodule(copy).loader("train", shuffle=True), 0)


def test_grey_and_transparent_pictures_become_rgb(pictures, tmp_path):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    for mode in ("L", "RGBA", "P", "CMYK"):
        suffix = "tif" if mode == "CMYK" else "png"
        Image.new(mode, (30, 20)).save(copy / "train" / "ants" / f"0-{mode}.{suffix}")
    photos = read_folder(copy).splits["train"]
    assert [photo.decode().shape for photo in photos if photo.file.name.startswith("0-")] == [(3, 20, 30)] * 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: shutil.rmtree(root), "there is no such folder"),
        (lambda root: shutil.rmtree(root / "val"), "has no folder val/"),
        (lambda root: shutil.rmtree(root / "val" / "bees"), "1 class folder;"),
        (lambda root: (root / "val" / "bees").rename(root / "val" / "wasps"), "differ .bees, wasps in one only"),
        (lambda root: [file.unlink() for file in (root / "val" / "bees").iterdir()], "val/bees holds no pictures"),
    ],
)
def test_a_folder_that_is_not_as_it_must_be(pictures, tmp_path, damage, message):
    copy = shutil.copytree(pictures, tmp_path / "copy")
    damage(copy)
    with pytest.raises(HymtlError, match=message):
        find_photos("folder", str(copy))


def test_auto_draws_with_a_warning_where_there_are_no_photos(monkeypatch, tmp_path):
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    monkeypatch.setenv("HYMTL_HYMENOPTERA_URL", "http://127.0.0.1:9/nothing.zip")
    monkeypatch.setattr("hymtl.data.drawn.write", lambda folder, write=_small_write(): write(folder))
    photos = find_photos("auto", None)
    assert photos.name == "drawn" and "DRAWN" in photos.fallback and "DRAWN" in photos.record["fallback"]
    with pytest.raises(HymtlError, match="hymenoptera photos could not be found.*data.root=.*data=drawn"):
        find_photos("hymenoptera", None)


def _small_write():
    from hymtl.data import drawn

    write = drawn.write
    return lambda folder: write(folder, train=4, val=4)


def test_photos_are_found_in_root_and_at_home(pictures, monkeypatch, tmp_path):
    shutil.copytree(pictures, tmp_path / hymenoptera.FOLDER)
    monkeypatch.setenv("HYMTL_HOME", str(tmp_path))
    for root in (None, str(tmp_path), str(tmp_path / hymenoptera.FOLDER)):
        photos = find_photos("auto", root)
        assert (photos.name, photos.fallback) == ("hymenoptera", None)


def test_the_real_photos(photos):
    found = find_photos("hymenoptera", str(photos))
    assert found.record["train"] == 244 and found.record["val"] == 153
    assert found.classes == ["ants", "bees"]
