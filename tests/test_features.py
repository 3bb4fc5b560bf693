"""Features of a fixed backbone: those of the pictures, computed once, and anew when anything they hang on changes."""

import dataclasses
import io
import logging
import os
import shutil

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from hymtl import experiment
from hymtl.backbones import Preprocessing
from hymtl.data import PhotoDataModule
from hymtl.data.photos import read_folder
from hymtl.errors import HymtlError
from hymtl.feature_store import FeatureStore
from hymtl.features import Features
from hymtl.module import TransferModule
from tests.conftest import EPOCHS, settings

SMALL = Preprocessing(size=32)
CPU = torch.device("cpu")


class Losses(pl.Callback):
    def __init__(self):
        self.epochs = []

    def on_train_epoch_end(self, trainer, pl_module):  # validation has run within the epoch
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


class Seen:
    """How many pictures went through the backbone of a module or a copy of it."""

    def __init__(self, monkeypatch, module):
        self.pictures = 0
        kind = type(module.network.backbone)
        forward = kind.forward

        def counting(backbone, batch):
            self.pictures += len(batch)
            return forward(backbone, batch)

        monkeypatch.setattr(kind, "forward", counting)


def small(strategy, pictures, *overrides):
    """Settings of a run that takes a moment."""
    return [
        f"strategy={strategy}", "data=folder", f"data.root={pictures}", "backbone=garment_cnn", "data.resize=28",
        "epochs=3", "data.workers=0", "data.batch_size=5", "trainer.enable_progress_bar=false",
        "~callbacks.convert", "~callbacks.pictures", "~callbacks.best", *overrides,
    ]  # fmt: skip


def fit(cfg):
    """Losses and accuracies of each epoch, the pictures that the backbone saw, and the fitted module."""
    module, data, trainer = experiment.prepare(cfg)
    losses = Losses()
    trainer.callbacks.append(losses)
    with pytest.MonkeyPatch.context() as patch:
        seen = Seen(patch, module)
        trainer.fit(module, data)
    return losses.epochs, seen.pictures, module


@pytest.mark.parametrize("strategy", ["frozen", "quantized"])
def test_training_on_features_is_training_on_pictures(config, pictures, strategy):
    """Same photos, augmentation, order and dropout; every view of a photo goes through the backbone once."""
    bare = ["~callbacks.convert", "~callbacks.pictures", "~callbacks.best", "data.batch_size=5"]
    slow, slowly_seen, expected = fit(config(*settings(strategy, pictures, *bare, "~callbacks.features")))
    fast, seen, module = fit(config(*settings(strategy, pictures, *bare)))
    assert (slowly_seen, seen) == (EPOCHS * (24 + 12), EPOCHS * 24 + 12)
    tolerance = {"rel": 1e-4, "abs": 1e-5} if strategy == "frozen" else {"rel": 0, "abs": 0}  # int8: to the bit
    assert len(slow) == len(fast) == EPOCHS
    for before, now in zip(slow, fast, strict=True):
        assert now == pytest.approx(before, **tolerance)
    for name, weight in expected.network.head.state_dict().items():
        torch.testing.assert_close(module.network.head.state_dict()[name], weight, **_close(strategy))
    assert module.network.state_dict().keys() == expected.network.state_dict().keys()  # the whole network is saved


def _close(strategy):
    return {"rtol": 1e-4, "atol": 1e-6} if strategy == "frozen" else {"rtol": 0, "atol": 0}


def test_another_learning_rate_finds_the_features_of_the_first(config, pictures, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    first, seen, _ = fit(config(*small("frozen", pictures)))
    again, none, module = fit(config(*small("frozen", pictures, "optim.lr=0.1")))
    assert (seen, none) == (3 * 24 + 12, 0)
    assert "of 4 views computed, of 0 found" in caplog.text and "of 0 views computed, of 4 found" in caplog.text
    assert again != first
    assert module.trainer.datamodule._datasets == {}  # no photo was decoded
    assert len(list((tmp_path / "home" / "features").iterdir())) == 4
    assert fit(config(*small("frozen", pictures, "data.features_gb=0")))[0] == first  # kept or not


def test_after_fitting_batches_are_pictures_again(fitted):
    run = fitted("frozen")
    assert run.data.features is None
    assert next(iter(run.data.train_dataloader()))[0].ndim == 4
    tested = run.trainer.test(run.module, run.data, ckpt_path="best", verbose=False)[0]
    assert tested["test/acc"] == pytest.approx(run.result["best"]["val_acc"])
    assert tested["test/loss"] == pytest.approx(run.result["best"]["val_loss"], rel=1e-4)
    TransferModule.load_from_checkpoint(run.folder / "checkpoints" / "last.ckpt", map_location="cpu")


def test_a_run_that_breaks_leaves_the_data_as_it_was(config, pictures):
    module, data, trainer = experiment.prepare(config(*small("frozen", pictures)))

    class Breaks(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            assert data.features is not None
            raise RuntimeError("broken")

    trainer.callbacks.append(Breaks())
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit(module, data)
    assert data.features is None


@pytest.mark.parametrize(
    ("strategy", "overrides"),
    [
        ("frozen", ["strategy.batch_norm=moving"]),
        ("frozen", ["trainer.limit_train_batches=2"]),
        ("finetune", ["trainer.limit_train_batches=1"]),
    ],
)
def test_who_cannot_use_features_trains_on_pictures(config, pictures, strategy, overrides, tmp_path):
    _, _, module = fit(config(*small(strategy, pictures, *overrides)))
    assert module.trainer.datamodule._datasets.keys() == {"train", "val"}
    assert not (tmp_path / "home").exists()


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
        experiment.prepare(config(*small("frozen", pictures, f"strategy.views={views}")))


class Backbone(nn.Module):
    """One convolution, and a count of the pictures that it saw."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 8)
        self.seen = 0

    def forward(self, pictures):
        self.seen += len(pictures)
        return self.conv(pictures).mean(dim=(2, 3))


def data(folder, preprocessing=SMALL, **options):
    options = {"batch_size": 5, "workers": 0, "resize": 40, "augmentation": "random_crop"} | options
    return PhotoDataModule(read_folder(folder), preprocessing, **options)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path / "features", limit=1e6)


def features(backbone, module, store):
    return Features(backbone.eval(), module, CPU, store)


def seen(backbone, module, store, split="train"):
    """Pictures that the backbone sees when features are asked for."""
    features(backbone, module, store).view(split, 0)
    return backbone.seen


def test_batches_are_the_loaders_own_as_features(pictures, store):
    backbone, module = Backbone(), data(pictures)
    loader = features(backbone, module, store).loader("train", shuffle=True)
    reference = module.pictures("train", shuffle=True)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        reference.sampler.set_epoch(epoch)
        for (batch, labels), (shown, same) in zip(loader, reference, strict=True):
            torch.testing.assert_close(batch, backbone(shown).detach())
            assert torch.equal(labels, same) and not batch.requires_grad
    assert len(loader) == len(reference) == 5


def _with_another_weight(backbone):
    with torch.no_grad():
        backbone.conv.weight[0, 0, 0, 0] += 1e-6
    return backbone


def test_whatever_features_hang_on_makes_them_be_computed_again(pictures, store, tmp_path):
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
    assert seen(Backbone(), data(copy), store) == 24
    first, second = sorted((copy / "train" / "bees").iterdir())[:2]
    first.rename(first.with_name("zzz.png"))  # another order
    assert seen(Backbone(), data(copy), store) == 24


def test_an_int8_backbone_is_told_by_its_scales(pictures):
    from hymtl import backbones, quantization
    from hymtl.features import _identity

    def identity(brightness):
        torch.manual_seed(0)
        body = backbones.get("efficientnet_lite0").build()
        return _identity(quantization.post_training(body, "onednn", [brightness * torch.ones(2, 3, 32, 32)]))

    assert identity(1.0) == identity(1.0) != identity(1.1)


def test_without_augmentation_every_epoch_is_the_same_view(pictures, store):
    backbone, module = Backbone(), data(pictures, augmentation="none")
    kept = features(backbone, module, store)
    assert torch.equal(kept.view("train", 0), kept.view("train", 7)) and backbone.seen == 24


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


def test_the_longest_unused_make_room(tmp_path):
    buffer = io.BytesIO()
    torch.save(torch.zeros(10), buffer)
    size = len(buffer.getvalue()) + 32

    def store(limit=3.5 * size):
        return FeatureStore(tmp_path / "features", limit)

    for age, name in enumerate("abc"):
        store().save(name, torch.zeros(10))
        os.utime(tmp_path / "features" / f"{name}.pt", (age, age))
    assert store().load("a") is not None  # now the longest unused is b
    last = store()
    last.save("d", torch.zeros(10))
    assert [name for name in "abcd" if store().load(name) is not None] == ["a", "c", "d"]
    last.save("e", torch.zeros(10_000))  # no room at all, and what this run used stays
    assert [name for name in "abcde" if store().load(name) is not None] == ["d"]
    store(limit=0).save("f", torch.zeros(10))
    assert store().load("f") is None


def test_a_folder_that_cannot_be_written_to_ends_no_run(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    store = FeatureStore(tmp_path / "file" / "features", 1e6)
    for name in ("a", "b"):
        assert store.load(name) is None
        store.save(name, torch.zeros(10))
    assert caplog.text.count("are not kept") == 1 and "$HYMTL_HOME" in caplog.text
