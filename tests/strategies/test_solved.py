"""Strategies whose head is solved: probe, quantized_probe, and lp_ft, which goes on from there."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from hymtl import checkpoints, experiment
from hymtl.deploy import artifact, evaluation
from hymtl.errors import HymtlError
from hymtl.records import summary
from tests.strategies.test_strategies import HEAD, check_int8, trainable, transferred

SMALL = [
    "backbone=garment_cnn", "backbone.weights=null", "data=folder", "data.resize=28", "data.workers=0",
    "trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "~callbacks.pictures",
]  # fmt: skip


@pytest.fixture(scope="module")
def ten_classes(tmp_path_factory):
    """Noise of a brightness that is the class's, more or less."""
    root, random = tmp_path_factory.mktemp("ten"), np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 3)):
        for label in range(10):
            folder = root / split / f"class{label}"
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.normal(25 * label + 10, 25, (28, 28)).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.fixture
def folders(pictures, ten_classes):
    return {2: pictures, 10: ten_classes}


def state(module):
    return {name: value.clone() for name, value in module.network.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_probe_trains_the_head_alone_and_lp_ft_everything(backbone):
    assert trainable(transferred("probe", backbone)[1]) == HEAD
    assert trainable(transferred("quantized_probe", backbone)[1]) == HEAD
    _, network = transferred("lp_ft", backbone)
    assert trainable(network) == {name for name, _ in network.named_parameters()}


def test_quantized_probe_has_an_int8_backbone_and_a_linear_head():
    chosen, network = transferred("quantized_probe", "resnet18")
    check_int8(network, "resnet18")
    deployed = chosen.finish(network, [])
    check_int8(deployed, "resnet18")
    assert type(deployed.head) is nn.Linear


@pytest.mark.parametrize("classes", [2, 10])
def test_the_head_of_a_probe_has_the_least_loss_on_unaugmented_features(config, folders, classes):
    cfg = config("strategy=probe", *SMALL, f"data.root={folders[classes]}")
    built = experiment.prepare(cfg)
    experiment.fit(built)
    record = experiment.record(built, cfg)
    network, pictures = built.module.network, built.datamodule.pictures
    score = evaluation.score(network, pictures.loader("train"))
    assert built.history.columns()["train/loss"][0] == pytest.approx(score.loss, rel=1e-4)
    assert record.best.val_acc == pytest.approx(evaluation.score(network, pictures.loader("val")).accuracy)
    assert record.probe is None  # it is one

    # The penalty is the one number that is not seen from here: whichever it was, at the least loss the slope is 0.
    features, labels = score.features.double(), score.labels
    features = features - features.mean(0)
    scale2 = (features**2).sum(1).mean()
    weight = network.head.weight.detach().double().requires_grad_()
    bias = (network.head.bias + network.head.weight @ score.features.mean(0)).detach().double().requires_grad_()
    F.cross_entropy(features @ weight.T + bias, labels).backward()
    slope = -weight.grad / scale2 / weight.detach()
    penalty = slope[weight.detach().abs() > weight.detach().abs().mean()].median().item()
    assert F.mse_loss(weight.grad, -penalty * scale2 * weight.detach()).item() < 1e-10
    assert bias.grad.abs().max() < 1e-5
    assert np.log10(penalty) * 2 == pytest.approx(round(np.log10(penalty) * 2), abs=0.05)


def test_no_rate_and_no_decay_moves_a_solved_head(config, pictures):
    heads = []
    for more in ([], ["epochs=3", "optim.lr=0.5", "optim.weight_decay=0.1"], ["optim=adamw", "optim.lr=0.1"]):
        built = experiment.prepare(config("strategy=probe", *SMALL, f"data.root={pictures}", *more))
        experiment.fit(built)
        heads.append(state(built.module))
    assert same(heads[0], heads[1]) and same(heads[0], heads[2])


@pytest.mark.parametrize(("strategy", "epochs"), [("probe", 1), ("lp_ft", 3)])
def test_what_does_not_train_has_one_epoch_whatever_is_asked(config, pictures, strategy, epochs):
    more = ["epochs=3", "early_stopping=2", "+trainer.check_val_every_n_epoch=3", "+trainer.min_epochs=2"]
    made = experiment.run(config(f"strategy={strategy}", *SMALL, f"data.root={pictures}", *more))
    assert made.epochs == epochs and made.best.epoch == epochs - 1


@pytest.mark.parametrize("error", [ValueError, HymtlError, OSError])
def test_a_probe_that_fails_in_the_end_takes_no_result_along(config, ten_classes, weights, monkeypatch, caplog, error):
    def fails(*_):
        raise error("no folds")

    monkeypatch.setattr("hymtl.features.probe.of_start", fails)
    words = [word for word in SMALL if "weights" not in word] + [f"backbone.weights={weights}"]
    made = experiment.run(config("strategy=finetune", *words, f"data.root={ten_classes}", "epochs=1"))
    assert made.probe is None and "could not be found out: no folds" in caplog.text


def test_without_kept_features_the_head_is_the_same_up_to_rounding(config, pictures):
    heads = []
    for more in ([], ["~callbacks.features"], ["data.augmentation=random_crop"]):
        built = experiment.prepare(config("strategy=probe", *SMALL, f"data.root={pictures}", *more))
        experiment.fit(built)
        heads.append(built.module.network.head.weight.detach())
    torch.testing.assert_close(heads[0], heads[1], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(heads[0], heads[2], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("strategy", ["probe", "lp_ft"])
@pytest.mark.parametrize("classes", [2, 10])
def test_a_resumed_run_is_bit_equal_to_one_never_stopped(config, folders, strategy, classes, tmp_path):
    def fitted(epochs, folder, ckpt=None):
        words = [f"strategy={strategy}", *SMALL, f"data.root={folders[classes]}", f"epochs={epochs}"]
        cfg = config(*words)
        cfg.run_dir, cfg.ckpt_path = str(tmp_path / folder), ckpt
        built = experiment.prepare(cfg)
        experiment.fit(built, ckpt)
        return built

    whole = fitted(3, "whole")
    fitted(1, "part")
    resumed = fitted(3, "part", str(tmp_path / "part" / "checkpoints" / "last.ckpt"))
    assert same(state(whole.module), state(resumed.module))
    assert whole.history.columns() == resumed.history.columns()


def test_lp_ft_begins_with_the_head_of_a_probe_and_trains_on(config, pictures):
    heads = {}
    for name, more in (("probe", []), ("lp_ft", ["optim.lr=0", "epochs=1"]), ("moved", ["optim.lr=1e-2", "epochs=1"])):
        words = [f"strategy={'probe' if name == 'probe' else 'lp_ft'}", *SMALL, f"data.root={pictures}", *more]
        built = experiment.prepare(config(*words, "data.resize=28"))
        experiment.fit(built)
        heads[name] = built.module.network.head.weight.detach()
    torch.testing.assert_close(heads["lp_ft"], heads["probe"], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(heads["moved"], heads["lp_ft"], rtol=1e-3, atol=1e-5)


def test_rare_classes_count_in_a_solved_head_as_in_training(config, pictures):
    uneven = [f"data.root={pictures}", "strategy=probe", *SMALL, "data.test_fraction=0.2"]
    biases = []
    for more in ([], ["loss.class_weights=auto"], ["data.balance=true"]):
        built = experiment.prepare(config(*uneven, *more))
        train = built.datamodule.pictures.photos.splits["train"]
        del train[3:10]  # ants become rare
        experiment.fit(built)
        biases.append(built.module.network.head.weight.detach().clone())
    assert not torch.allclose(biases[0], biases[2])


def test_a_probes_artifact_scores_what_was_recorded(config, pictures):
    cfg = config("strategy=probe", *SMALL, f"data.root={pictures}")
    record = experiment.run(cfg)
    loaded = artifact.load(Path(cfg.run_dir) / "artifact")
    assert loaded.classes == ["ants", "bees"]
    assert record.epochs == 1 and record.strategy == "probe"
    assert json.loads((Path(cfg.run_dir) / "result.json").read_text())["options"] == {"name": "probe"}


@pytest.fixture
def weights(tmp_path):
    """A state dict to train from: what counts is that it is no random start."""
    from hymtl import backbones

    torch.manual_seed(0)
    backbone = backbones.get("garment_cnn")
    file = tmp_path / "weights.pth"
    torch.save(backbone.build().state_dict(), file)
    return file


def test_what_a_run_learned_begins_another_as_its_weights_with_a_head_of_its_own(
    config, ten_classes, pictures, tmp_path
):
    first = config("strategy=finetune", *SMALL, f"data.root={ten_classes}", "epochs=1", "optim.lr=0.1")
    first.run_dir = str(tmp_path / "first")
    experiment.run(first)
    best = tmp_path / "first" / "checkpoints" / "best.ckpt"
    trained = checkpoints.read(best)["state_dict"]
    words = [word for word in SMALL if "weights" not in word] + [f"backbone.weights={best}"]
    built = experiment.prepare(config("strategy=probe", *words, f"data.root={pictures}"))
    experiment.fit(built)
    body = built.module.network.backbone.state_dict()
    assert all(torch.equal(value, trained[f"network.backbone.{name}"]) for name, value in body.items())
    assert built.module.network.head.out_features == 2 and built.trainer.current_epoch == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optim.lr=1e-5"], "its run had other settings, optim.lr (0.1, now 1e-05), and a checkpoint"),
        (["strategy=lp_ft", "optim.lr=0.1"], "its run had other settings, strategy."),
        (["data.root={pictures}"], "its dataset has changed since"),
    ],
)
def test_a_checkpoint_of_other_settings_or_pictures_is_not_gone_on_with(
    config, ten_classes, pictures, tmp_path, words, said
):
    base = ["strategy=finetune", *SMALL, f"data.root={ten_classes}", "optim.lr=0.1"]
    first = config(*base, "epochs=1")
    first.run_dir = str(tmp_path / "first")
    experiment.run(first)
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    assert experiment.run(config(*base, "epochs=2", f"ckpt_path={last}")).epochs == 2
    with pytest.raises(HymtlError) as refused:
        experiment.run(config(*base, f"ckpt_path={last}", *(word.format(pictures=pictures) for word in words)))
    assert said in str(refused.value) and f"new run with its weights: backbone.weights={last}." in str(refused.value)


def test_a_run_that_ends_below_a_probe_on_its_start_says_so(config, ten_classes, weights):
    words = [word for word in SMALL if "weights" not in word] + [f"backbone.weights={weights}"]
    cfg = config("strategy=finetune", *words, f"data.root={ten_classes}", "epochs=1", "optim.lr=0")
    ended = experiment.run(cfg)
    assert ended.below_probe and ended.probe.val_acc > ended.accuracy
    assert json.loads((Path(cfg.run_dir) / "result.json").read_text())["probe"]["val_acc"] == ended.probe.val_acc
    said = summary.text(ended, cfg.run_dir)
    assert f"below the {ended.probe.val_acc:.4f} of logistic regression" in said and "Try strategy=probe" in said
    of_the_head = ended.model_copy(update={"options": {"head_epochs": 3, "backbone_lr": 1e-4}})
    said = summary.text(of_the_head, cfg.run_dir)
    assert "The best epoch is one of the head alone" in said and "Training the backbone" not in said

    def accurate(value):
        changed = {"best": ended.best.model_copy(update={"val_acc": value})}
        changed |= {"dataset": ended.dataset.model_copy(update={"val": 100}), "val": None}
        return summary.text(ended.model_copy(update=changed), cfg.run_dir)

    start = ended.probe.val_acc
    few, many = accurate(start - 0.05), accurate(start - 0.06)
    assert "won nothing" in few and "is 5 of 100 photos below" in few and "may be chance" in few
    assert "lost more than it won" in many and "is 6 of 100 photos below" in many and "chance" not in many
    itself = summary.text(ended.model_copy(update={"strategy": "lp_ft"}), cfg.run_dir)
    assert "keep them, gradual to change them gently" in itself

    def learned(value, **options):
        changed = {"options": ended.options | options, "history": ended.history | {"train/acc": [value]}}
        return summary.text(ended.model_copy(update=changed), cfg.run_dir)

    assert "or a smaller optim.lr." in learned(start)
    hardly = learned(start - 0.2, backbone_lr=1e-4)
    assert f"another strategy.backbone_lr: with {start - 0.2:.4f} of the training photos right" in hardly
    assert "Smaller where the training loss jumps; larger, or more epochs, where it falls slowly." in hardly

    above = ended.model_copy(update={"best": ended.best.model_copy(update={"val_acc": 1.0}), "val": None})
    assert not above.below_probe and "Try strategy=probe" not in summary.text(above, cfg.run_dir)


def test_what_it_is_compared_with_is_the_probe_strategys_score(config, ten_classes, weights):
    words = [word for word in SMALL if "weights" not in word] + [f"backbone.weights={weights}"]
    own = experiment.run(config("strategy=probe", *words, f"data.root={ten_classes}"))
    tuned = experiment.run(config("strategy=lp_ft", *words, f"data.root={ten_classes}", "epochs=1"))
    assert tuned.probe.val_acc == own.best.val_acc
    assert tuned.probe.val_loss == pytest.approx(own.best.val_loss, rel=1e-4)


@pytest.mark.parametrize("strategy", ["frozen", "scratch"])
def test_a_run_without_a_pretrained_backbone_to_train_is_compared_with_no_probe(config, pictures, strategy):
    assert experiment.run(config(f"strategy={strategy}", *SMALL, f"data.root={pictures}", "epochs=1")).probe is None
