"""Rare classes: scores in which each class counts alike, a loss and a sampler that do, and what best means."""

import shutil

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from hymtl import metrics
from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.data.balance import class_weights, shares
from hymtl.data.photos import read_folder
from hymtl.deploy.evaluation import Score
from hymtl.errors import HymtlError
from hymtl.records import summary
from tests.conftest import fit, prepare

ALWAYS_FIRST = np.array([[100, 0], [10, 0]])  # 100 : 10, and the first class is always guessed


@pytest.fixture
def uneven(pictures, tmp_path):
    """12 ants to train on and 3 bees; 6 and 2 to validate on."""
    folder = shutil.copytree(pictures, tmp_path / "uneven")
    for split, kept in (("train", 3), ("val", 2)):
        for file in sorted((folder / split / "bees").iterdir())[kept:]:
            file.unlink()
    return folder


def settings(folder, *more):
    return [
        "strategy=scratch", "backbone=garment_cnn", "data=folder", f"data.root={folder}", "epochs=2", "data.workers=0",
        "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures", *more,
    ]  # fmt: skip


def test_always_guessing_one_class_has_half_the_balanced_accuracy_of_being_right():
    assert metrics.balanced_accuracy(ALWAYS_FIRST) == 0.5
    assert metrics.recalls(ALWAYS_FIRST).tolist() == [1.0, 0.0]
    assert metrics.macro_f1(ALWAYS_FIRST) == pytest.approx((2 * 100 / (200 + 10)) / 2)


def test_a_class_without_photos_counts_only_where_it_is_guessed():
    matrix = np.array([[3, 0, 1], [0, 4, 0], [0, 0, 0]])
    assert metrics.balanced_accuracy(matrix) == pytest.approx((0.75 + 1) / 2)
    assert metrics.macro_f1(matrix) == pytest.approx((6 / 7 + 1 + 0) / 3)
    assert metrics.macro_f1(matrix[:2, :2]) == 1.0


def test_a_score_counts_pairs_of_class_and_guess():
    logits, labels = torch.eye(3)[[0, 1, 2, 2]], torch.tensor([0, 1, 1, 2])
    assert Score(logits, logits, labels).confusion.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_weights_and_shares_make_classes_count_alike(uneven):
    photos = read_folder(uneven).splits["train"]
    weights = class_weights(photos, 3)  # the third has none
    assert weights == [15 / (2 * 12), 15 / (2 * 3), 0.0]
    assert sum(weights[photo.label] for photo in photos) == pytest.approx(len(photos))
    assert sum(share for photo, share in zip(photos, shares(photos)) if photo.label == 0) == pytest.approx(1)


def test_the_training_loss_is_weighted_and_no_other(config, uneven):
    module, data, _ = prepare(config(*settings(uneven, "loss.class_weights=auto")))
    plain, _, _ = prepare(config(*settings(uneven)))
    assert plain.loss_weights is None and plain.hparams.class_weights is None
    assert module.hparams.class_weights == [15 / (2 * 12), 15 / (2 * 3)]
    module.log = lambda *args, **more: None
    pictures, labels = data.pictures.first_batch("train")
    each = F.cross_entropy(module(pictures), labels, reduction="none")
    weights = torch.tensor([0.625, 2.5])[labels]
    torch.testing.assert_close(module.training_step((pictures, labels), 0), (each * weights).mean())
    torch.testing.assert_close(module.validation_step((pictures, labels), 0), each.mean())


def test_a_run_records_what_each_class_came_to(config, uneven):
    from hymtl import experiment

    cfg = config(*settings(uneven, "monitor=val/balanced_acc"))
    made = experiment.run(cfg)
    assert {name: recall.photos for name, recall in made.val.classes.items()} == {"ants": 6, "bees": 2}
    for recall in made.val.classes.values():
        assert recall.low <= recall.recall <= recall.high
    balanced = [recall.recall for recall in made.val.classes.values()]
    assert made.val.balanced_acc == pytest.approx(sum(balanced) / 2)
    assert made.best.monitor == "val/balanced_acc"
    assert made.best.balanced_acc == pytest.approx(max(made.history["val/balanced_acc"]))
    assert made.best.val_acc == pytest.approx(made.history["val/acc"][made.best.epoch])
    assert "balanced accuracy" in summary.text(made, "run")


@pytest.mark.parametrize(("monitor", "best"), [("val/acc", max), ("val/balanced_acc", max), ("val/loss", min)])
def test_the_best_epoch_is_that_of_the_monitor(config, uneven, monitor, best):
    _, trainer = fit(config(*settings(uneven, f"monitor={monitor}", "epochs=3", "optim.lr=0.05")))
    checkpoint = trainer.checkpoint_callback
    history = next(callback for callback in trainer.callbacks if type(callback).__name__ == "History").columns()
    assert isinstance(checkpoint, BestCheckpoint)
    assert history[monitor][checkpoint.best_epoch] == best(history[monitor])
    assert checkpoint.best_acc == pytest.approx(history["val/acc"][checkpoint.best_epoch])


def test_training_stops_after_so_many_epochs_without_a_better_monitor(config, uneven):
    _, trainer = fit(config(*settings(uneven, "early_stopping=2", "epochs=20", "optim.lr=0")))  # nothing gets better
    assert trainer.current_epoch == 3


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (["monitor=val/f1"], "monitor=val/f1: expected val/acc or val/balanced_acc or val/loss"),
        (["early_stopping=0"], "early_stopping=0: expected null or a whole number"),
        (["loss.class_weights=5"], "loss.class_weights=5: expected auto or null"),
        (["loss.class_weights=auto", "data.balance=true"], "choose one"),
    ],
)
def test_bad_values_are_refused_by_name(config, uneven, override, said):
    with pytest.raises(HymtlError, match=said):
        prepare(config(*settings(uneven, *override)))


def test_a_balanced_epoch_has_each_class_alike_and_is_the_same_whenever_it_is_drawn(uneven):
    from hymtl.backbones import get
    from hymtl.data.batches import PictureBatches

    photos = read_folder(uneven)
    train = photos.splits["train"]

    def epoch(number, **options):
        data = PictureBatches(photos, get("garment_cnn").preprocessing, resize=28, workers=0, **options)
        sampler = data.sampler("train", shuffle=True)
        sampler.set_epoch(number)
        return [key[1] for key in sampler]

    drawn = [train[index].label for number in range(200) for index in epoch(number, balance=True)]
    assert np.mean(drawn) == pytest.approx(0.5, abs=0.05)
    assert len(epoch(3, balance=True)) == len(train)
    assert epoch(3, balance=True) == epoch(3, balance=True) != epoch(4, balance=True)
    assert sorted(epoch(3)) == list(range(len(train)))


def test_a_run_out_of_patience_that_is_resumed_trains_no_further(config, uneven, tmp_path):
    """As one that was killed after its last epoch, before its network was converted."""
    words = settings(uneven, "early_stopping=2", "epochs=20", "optim.lr=0")
    _, whole = fit(config(*words))
    module, resumed = fit(config(*words, f"ckpt_path={tmp_path}/run/checkpoints/last.ckpt"))
    assert resumed.current_epoch == whole.current_epoch == 3 and module.deployed is not None


def test_a_balanced_run_that_is_resumed_is_one_that_was_never_stopped(config, uneven, tmp_path):
    words = settings(uneven, "data.balance=true", "data.augmentation=random_crop", "data.resize=32")
    whole, _ = fit(config(*words))
    fit(config(*words, "epochs=1"))  # whose last.ckpt takes the place of the whole run's
    resumed, _ = fit(config(*words, f"ckpt_path={tmp_path}/run/checkpoints/last.ckpt"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_picture_that_is_drawn_twice_is_augmented_twice(uneven):
    from hymtl.backbones import get
    from hymtl.data.batches import PictureBatches

    data = PictureBatches(
        read_folder(uneven), get("garment_cnn").preprocessing, resize=40, augmentation="random_crop", workers=0,
        balance=True,
    )  # fmt: skip
    keys = list(data.sampler("train", shuffle=True))
    again = next(key for key in keys if key.time == 1)
    dataset = data.dataset("train")
    assert len(set(keys)) == len(keys)
    assert not torch.equal(dataset[again][0], dataset[again._replace(time=0)][0])
