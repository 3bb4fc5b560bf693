"""Features of a fixed backbone: those of the pictures, computed once, and anew when anything they hang on changes."""

import dataclasses
import hashlib
import io
import logging
import os
import shutil
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from hymtl import backbones
from hymtl.callbacks.convert_best import ConvertBest
from hymtl.data.batches import PictureBatches
from hymtl.data.photos import read_folder
from hymtl.data.splits import arrange
from hymtl.errors import HymtlError
from hymtl.features.batches import FeatureBatches
from hymtl.features.store import FeatureStore
from hymtl.module import TransferModule
from hymtl.preprocessing import Preprocessing
from hymtl.quantization import eager
from tests.conftest import EPOCHS, prepare, settings

SMALL = Preprocessing(size=32)
CPU = torch.device("cpu")


class Losses(pl.Callback):
    def __init__(self):
        self.epochs = []

    def on_train_epoch_end(self, trainer, pl_module):  # validation has run within the epoch
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def different(pictures):
    """How many there are: batches are filled up with copies."""
    return len(pictures.flatten(1).unique(dim=0))


class Seen:
    """How many pictures went through the backbone of a module or a copy of it."""

    def __init__(self, monkeypatch, module):
        self.pictures = 0
        kind = type(module.network.backbone)
        forward = kind.forward

        def counting(backbone, batch):
            if isinstance(batch, torch.Tensor):  # else it is traced, to be cut in two
                self.pictures += different(batch)
            return forward(backbone, batch)

        monkeypatch.setattr(kind, "forward", counting)


def small(strategy, pictures, *overrides):
    """Settings of a run that takes a moment."""
    return [
        f"strategy={strategy}", "data=folder", f"data.root={pictures}", "backbone=garment_cnn", "data.resize=28",
        "epochs=3", "data.workers=0", "data.batch_size=5", "trainer.enable_progress_bar=false",
        "~callbacks.pictures", *overrides,
    ]  # fmt: skip


def fit(cfg):
    """Losses and accuracies of each epoch, the pictures that the backbone saw, and the fitted module."""
    module, data, trainer = prepare(cfg)
    losses = Losses()
    # Without conversion, which looks at pictures once more.
    trainer.callbacks[:] = [callback for callback in trainer.callbacks if not isinstance(callback, ConvertBest)]
    trainer.callbacks.append(losses)
    with pytest.MonkeyPatch.context() as patch:
        seen = Seen(patch, module)
        trainer.fit(module, data)
    return losses.epochs, seen.pictures, module


@pytest.mark.parametrize("strategy", ["frozen", "quantized", "partial"])
def test_training_on_features_is_training_on_pictures(config, pictures, strategy, caplog):
    """Same photos, augmentation, order and dropout; every view of a photo goes through what is fixed once."""
    caplog.set_level(logging.INFO)
    bare = ["~callbacks.pictures", "data.batch_size=5"]
    slow, slowly_seen, expected = fit(config(*settings(strategy, pictures, *bare, "~callbacks.features")))
    fast, seen, module = fit(config(*settings(strategy, pictures, *bare)))
    # partial: only a blank one goes through the whole of it, to see that the parts give the same
    whole = 1 if strategy == "partial" else EPOCHS * 24 + 12
    assert (slowly_seen, seen) == (EPOCHS * (24 + 12), whole)
    assert f"features  {EPOCHS + 1} views computed, 0 found" in caplog.text
    tolerance = {"rel": 0, "abs": 0} if strategy == "quantized" else {"rel": 1e-4, "abs": 1e-5}  # int8: to the bit
    assert len(slow) == len(fast) == EPOCHS
    for before, now in zip(slow, fast, strict=True):
        assert now == pytest.approx(before, **tolerance)
    fitted = module.network.state_dict()
    assert fitted.keys() == expected.network.state_dict().keys()  # the whole network is saved
    # Fusing rounds otherwise, which batch norm over five pictures magnifies.
    tolerance = {"quantized": 0, "frozen": 1e-4, "partial": 1e-3}[strategy]
    for name, value in expected.network.state_dict().items():
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            assert (fitted[name] - value).abs().max() <= tolerance * (value.abs().max() + 1e-2), name


def test_another_learning_rate_finds_the_features_of_the_first(config, pictures, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first, seen, _ = fit(config(*small("frozen", pictures)))
    again, none, module = fit(config(*small("frozen", pictures, "optim.lr=0.1")))
    assert (seen, none) == (3 * 24 + 12, 0)
    assert "  4 views computed, 0 found" in caplog.text and "  0 views computed, 4 found" in caplog.text
    assert again != first
    assert module.trainer.datamodule.pictures._datasets == {}  # no photo was decoded
    assert len(list((tmp_path / "home" / "features").iterdir())) == 4
    alone, all_of_them, _ = fit(config(*small("frozen", pictures, "data.features_gb=0")))
    assert (alone, all_of_them) == (first, seen)  # found, or computed


def test_after_fitting_batches_are_pictures_again(fitted):
    run = fitted("frozen")
    assert run.data.batches is run.data.pictures
    assert next(iter(run.data.batches.loader("train", shuffle=True)))[0].ndim == 4
    tested = run.trainer.test(run.module, run.data, ckpt_path="best", verbose=False)[0]
    assert tested["test/acc"] == pytest.approx(run.result["best"]["val_acc"])
    assert tested["test/loss"] == pytest.approx(run.result["best"]["val_loss"], rel=1e-4)
    TransferModule.load_from_checkpoint(run.folder / "checkpoints" / "last.ckpt", map_location="cpu")


def test_a_run_that_breaks_leaves_the_data_as_it_was(config, pictures):
    module, data, trainer = prepare(config(*small("frozen", pictures)))

    class Breaks(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            assert data.batches is not data.pictures
            raise RuntimeError("broken")

    trainer.callbacks.append(Breaks())
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit(module, data)
    assert data.batches is data.pictures


@pytest.mark.parametrize(
    ("strategy", "overrides"),
    [
        ("frozen", ["strategy.batch_norm=moving"]),
        ("frozen", ["trainer.limit_train_batches=2"]),
        ("finetune", ["trainer.limit_train_batches=1"]),
        ("partial", ["strategy.stages=2"]),  # of two: nothing is fixed
        ("partial", ["data.cache_gb=1e-6"]),
    ],
)
def test_who_cannot_use_features_trains_on_pictures(config, pictures, strategy, overrides, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    _, _, module = fit(config(*small(strategy, pictures, *overrides)))
    assert module.trainer.datamodule.pictures._datasets.keys() == {"train", "val"}
    assert not (tmp_path / "home" / "features").exists()
    assert ("more than data.cache_gb=1e-06" in caplog.text) == ("data.cache_gb=1e-6" in overrides)


def test_views_come_around_again(config, pictures):
    epochs, seen, module = fit(config(*small("frozen", pictures, "strategy.views=2")))
    assert seen == 2 * 24 + 12
    assert module.strategy.spec()["views"] == 2
    slow = fit(config(*small("frozen", pictures, "strategy.views=2", "~callbacks.features")))[0]
    for before, now in zip(slow, epochs, strict=True):
        assert now == pytest.approx(before, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("views", ["0", "many", "1.5"])
def test_a_bad_number_of_views_is_named(config, pictures, views):
    with pytest.raises(HymtlError, match=f"strategy.views={views}"):
        prepare(config(*small("frozen", pictures, f"strategy.views={views}")))


class FirstPart(nn.Module):
    """One convolution, and a count of the pictures that it saw."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 8)
        self.seen = 0

    def forward(self, pictures):
        self.seen += different(pictures)
        return self.conv(pictures)


class Backbone(FirstPart):
    def forward(self, pictures):
        return super().forward(pictures).mean(dim=(2, 3))


def data(folder, preprocessing=SMALL, **options):
    options = {"batch_size": 5, "workers": 0, "resize": 40, "augmentation": "random_crop"} | options
    return PictureBatches(read_folder(folder), preprocessing, **options)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features", limit=1e8)


def features(backbone, module, store):
    return FeatureBatches(backbone.eval(), module, CPU, store)


def seen(backbone, module, store, split="train"):
    """Pictures that the backbone sees when features are asked for."""
    features(backbone, module, store).view(split, 0)
    return backbone.seen


def test_batches_are_the_loaders_own_as_features(pictures, store):
    backbone, module = Backbone(), data(pictures)
    loader = features(backbone, module, store).loader("train", shuffle=True)
    reference = module.loader("train", shuffle=True)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        reference.sampler.set_epoch(epoch)
        for (batch, labels), (shown, same) in zip(loader, reference, strict=True):
            torch.testing.assert_close(batch.values, backbone(shown).detach())
            assert torch.equal(labels, same) and not batch.values.requires_grad
    assert len(loader) == len(reference) == 5


def _with_another_weight(backbone):
    with torch.no_grad():
        backbone.conv.weight[0, 0, 0, 0] += 1e-6
    return backbone


@pytest.mark.parametrize("Backbone", [Backbone, FirstPart])
def test_whatever_features_hang_on_makes_them_be_computed_again(Backbone, pictures, store, tmp_path):
    assert seen(Backbone(), data(pictures), store) == 24
    assert seen(Backbone(), data(pictures), store) == 0
    assert seen(_with_another_weight(Backbone()), data(pictures), store) == 24
    for options in (
        {"seed": 1},
        {"resize": 41},
        {"augmentation": "none"},
        {"preprocessing": dataclasses.replace(SMALL, mean=(0.485, 0.456, 0.407))},
        {"preprocessing": dataclasses.replace(SMALL, size=31)},
        {"preprocessing": dataclasses.replace(SMALL, interpolation="bicubic")},
    ):
        assert seen(Backbone(), data(pictures, **options), store) == 24, options
    seen(Backbone(), data(pictures), store, "val")
    assert seen(Backbone(), data(pictures, seed=1), store, "val") == 0  # a seed augments training photos only
    copy = shutil.copytree(pictures, tmp_path / "copy")
    assert seen(Backbone(), data(copy), store) == 0  # the same photos elsewhere
    file = next((copy / "train" / "ants").iterdir())
    file.write_bytes(file.read_bytes() + b"\0")
    assert seen(Backbone(), data(copy), store) == 1  # the others are what they were
    first = min((copy / "train" / "bees").iterdir())
    first.rename(first.with_name("zzz.png"))  # another order
    assert seen(Backbone(), data(copy), store) == 0


def test_the_engine_that_int8_runs_on_is_no_business_of_float_features(pictures, store, monkeypatch):
    """One job of a sweep sets it, and the next, in float, is to find what an earlier one kept."""
    int8 = eager.post_training(backbones.get("resnet18").build(), "onednn", [torch.zeros(1, 3, 32, 32)])
    keys = {}
    for engine in ("onednn", "x86"):
        monkeypatch.setattr(torch.backends.quantized, "engine", engine)
        keys[engine] = [features(body, data(pictures), store)._facts("val", 0) for body in (Backbone(), int8)]
    (float_key, int8_key), (same, another) = keys.values()
    assert float_key == same and int8_key != another


def test_folds_and_a_growing_folder_share_what_pictures_gave(pictures, store, tmp_path):
    """To the bit what they give alone."""

    def fold(number):
        photos = arrange(read_folder(pictures), folds=3, fold=number)
        return PictureBatches(photos, SMALL, batch_size=5, workers=0, resize=40, augmentation="random_crop")

    nothing_kept = FeatureStore(tmp_path / "nothing", limit=0)
    counts = []
    for number in range(3):
        backbone = Backbone()
        shared = features(backbone, fold(number), store).view("train", 4)
        counts.append(backbone.seen)
        assert torch.equal(shared, features(Backbone(), fold(number), nothing_kept).view("train", 4))
    assert counts == [24, 12, 0]

    grown = shutil.copytree(pictures, tmp_path / "grown")
    one = min((grown / "train" / "ants").iterdir())
    shutil.copy(min((grown / "val" / "ants").iterdir()), one.with_name("another.png"))
    assert seen(Backbone(), data(pictures), store) == 24
    assert seen(Backbone(), data(grown), store) == 1


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0"])
@pytest.mark.parametrize("int8", [False, True])
def test_what_a_picture_gives_is_the_same_to_the_bit_whatever_else_is_in_the_batch(name, int8, pictures, tmp_path):
    body = backbones.get(name).build().eval()
    batches = PictureBatches(read_folder(pictures), backbones.get(name).preprocessing, workers=0, augmentation="none")
    if int8:
        body = eager.post_training(body, "onednn", batches.calibration_batches())
    kept = features(body, batches, FeatureStore(tmp_path, limit=0))
    together = kept.view("train", 0)
    apart = torch.cat([kept._compute("train", 0, [index]) for index in (0, 7, 23)])
    assert torch.equal(together[[0, 7, 23]], apart)


def test_without_augmentation_every_epoch_is_the_same_view(pictures, store):
    backbone, module = Backbone(), data(pictures, augmentation="none")
    kept = features(backbone, module, store)
    assert torch.equal(kept.view("train", 0), kept.view("train", 7)) and backbone.seen == 24


def test_of_a_cycle_the_first_views_stay_in_memory(pictures, tmp_path):
    """As many as find room: more would drive each other out just before they are wanted."""
    nothing_kept = FeatureStore(tmp_path / "features", limit=0)
    backbone = Backbone()
    view_gb = 24 * 4 * 4 / 1e9  # photos, features, bytes
    kept = features(backbone, data(pictures, views=4, cache_gb=3.5 * view_gb), nothing_kept)
    for _ in range(2):
        for view in range(4):
            kept.view("train", view)
    assert backbone.seen == (4 + 2) * 24


def test_a_damaged_file_is_computed_again(pictures, store, caplog):
    expected = features(Backbone(), data(pictures), store).view("train", 0)
    (file,) = store.folder.iterdir()
    whole = file.read_bytes()
    for damaged in (whole[:-9], whole[:10], b"", whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]):
        file.write_bytes(damaged)
        caplog.clear()
        backbone = Backbone()
        assert torch.equal(features(backbone, data(pictures), store).view("train", 0), expected)
        assert backbone.seen == 24 and f"{file} is damaged" in caplog.text
    assert file.read_bytes() == whole


class Smuggled:
    def __reduce__(self):
        return Path.touch, (Path("smuggled"),)


@pytest.mark.parametrize(
    "table",
    [
        {"digests": ["a"], "tensors": torch.zeros(1).expand(1, 2**40)},  # terabytes, of four bytes
        {"digests": ["a"], "tensors": torch.full((1, 4), torch.nan)},
        {"digests": ["a", "a"], "tensors": torch.zeros(2, 4)},
        {"digests": ["a"], "tensors": torch.zeros(2, 4)},
        {"digests": 7, "tensors": torch.zeros(2, 4)},
        {"digests": ["a"], "tensors": Smuggled()},
        [1],
    ],
)
def test_a_signed_table_of_something_else_is_as_good_as_damaged(store, tmp_path, table, caplog, monkeypatch):
    """Its digest says that it is whole, not that hymtl made it."""
    monkeypatch.chdir(tmp_path)
    payload = io.BytesIO()
    torch.save(table, payload)
    store.folder.mkdir()
    file = store.folder / "key.pt"
    file.write_bytes(hashlib.sha256(payload.getvalue()).digest() + payload.getvalue())
    assert store.load("key") == {}
    assert f"{file} is damaged" in caplog.text and not Path("smuggled").exists()


def test_a_table_of_more_bytes_than_fit_is_not_read(store, caplog):
    store.folder.mkdir()
    with (store.folder / "key.pt").open("wb") as sparse:
        sparse.truncate(50 * 2**30)
    assert store.load("key") == {} and "has more than" in caplog.text


SIZE = 100_000  # bytes of a small file, and a little more


def _keep(folder, limit, names, size=SIZE):
    """What a run does that keeps files of these names, a letter each, in a folder of at most ``limit`` bytes."""
    store = FeatureStore(folder, limit)
    for name in names:
        store.save(name, {"row": torch.zeros(size // 4)})


def _unused(folder, hours):
    """Let hours pass since files were used, by name."""
    for name, passed in hours.items():
        os.utime(folder / f"{name}.pt", (time.time() - 3600 * passed,) * 2)


def _kept(folder):
    return "".join(sorted(file.stem for file in folder.iterdir()))


def test_the_longest_unused_make_room(tmp_path):
    limit = 3.5 * SIZE
    for name in "abc":
        _keep(tmp_path, limit, name)
    _unused(tmp_path, {"a": 3, "b": 2, "c": 1})
    assert FeatureStore(tmp_path, limit).load("a")  # now the longest unused is b
    _keep(tmp_path, limit, "d")
    assert _kept(tmp_path) == "acd"
    _keep(tmp_path, 0, "e")
    assert _kept(tmp_path) == "acd"


def test_a_run_leaves_half_of_the_folder_to_others(tmp_path):
    limit = 6.5 * SIZE
    _keep(tmp_path, limit, "abcdef")
    assert _kept(tmp_path) == "abc"  # the first, which the next run like it wants first
    _keep(tmp_path, limit, "uvwxyz")
    assert _kept(tmp_path) == "abcuvw"
    _keep(tmp_path, limit, "l", size=4 * SIZE)  # nothing is deleted in vain
    assert _kept(tmp_path) == "abcuvw"


def test_large_files_drive_out_large_ones(tmp_path):
    limit = 10 * SIZE
    _keep(tmp_path, limit, "abc")
    _keep(tmp_path, limit, "l", size=4 * SIZE)
    _unused(tmp_path, {"a": 2, "b": 2, "c": 2, "l": 1})
    _keep(tmp_path, limit, "m", size=4 * SIZE)
    assert _kept(tmp_path) == "abcm"


def test_a_folder_that_cannot_be_written_to_ends_no_run(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = FeatureStore(tmp_path / "file" / "features", 1e6)
    for name in ("a", "b"):
        assert store.load(name) == {}
        store.save(name, {"row": torch.zeros(10)})
    assert caplog.text.count("are not kept") == 1 and "$HYMTL_HOME" in caplog.text
