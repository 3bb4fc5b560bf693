"""Fitting for real: checkpoints, events, the record, and what conversion leaves alone."""

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.nn import functional as F

from hymtl import experiment
from hymtl.callbacks.best_checkpoint import BestCheckpoint
from hymtl.deploy import artifact, evaluation
from hymtl.errors import HymtlError
from hymtl.module import TransferModule
from hymtl.records import predictions
from tests.conftest import EPOCHS, deployed_accuracy, fit, prepare, settings

STRATEGIES = ("finetune", "frozen", "quantized", "qat")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_event_file_has_every_scalar_of_every_epoch(fitted, strategy):
    events = EventAccumulator(str(fitted(strategy).folder)).Reload()
    for tag in ("train/loss", "train/acc", "val/loss", "val/acc", "lr"):
        assert [event.step for event in events.Scalars(tag)] == list(range(EPOCHS)), tag
        assert all(event.value == event.value for event in events.Scalars(tag)), f"{tag} is not a number"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_hparams_carry_the_real_metric(fitted, strategy):
    run = fitted(strategy)
    events = EventAccumulator(str(run.folder)).Reload()
    assert not {"hp_metric", "best/val_acc"} & set(events.Tags()["scalars"])  # single points are no curves
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    columns = HParamsPluginData.FromString(content).session_start_info.hparams
    assert columns["\u2192 best/val_acc"].number_value == pytest.approx(run.result["best"]["val_acc"])
    assert columns["strategy"].string_value == strategy
    assert f"strategy: {strategy}" in (run.folder / "hparams.yaml").read_text()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_train_and_validation_are_two_lines_of_one_chart(fitted, strategy):
    run = fitted(strategy)
    for chart, metric in (("accuracy", "acc"), ("loss", "loss")):
        for stage in ("train", "val"):
            events = EventAccumulator(str(run.folder / stage)).Reload().Scalars(chart)
            assert [event.value for event in events] == pytest.approx(run.result["history"][f"{stage}/{metric}"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_record_keeps_its_names_and_agrees_with_the_events(fitted, strategy):
    run = fitted(strategy)
    result = json.loads((run.folder / "result.json").read_text())
    assert (result["strategy"], result["seed"], result["epochs"]) == (strategy, 0, EPOCHS)
    assert (result["dataset"]["name"], result["dataset"]["train"], result["dataset"]["val"]) == ("folder", 24, 12)
    assert len(result["dataset"]["digest"]) == 64
    assert result["backbone"] == {"name": "small_resnet18", "weights": "random", "digest": None}
    accuracies = [e.value for e in EventAccumulator(str(run.folder)).Reload().Scalars("val/acc")]
    losses = [e.value for e in EventAccumulator(str(run.folder)).Reload().Scalars("val/loss")]
    best = min(range(EPOCHS), key=lambda epoch: (-accuracies[epoch], losses[epoch]))
    assert result["best"]["epoch"] == best
    assert result["best"]["val_acc"] == pytest.approx(accuracies[best])
    assert result["best"]["val_loss"] == pytest.approx(losses[best])
    assert result["seconds"]["fit"] > 0 and result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert (result["int8"] is not None) == (strategy in ("quantized", "qat")) == (result["engine"] is not None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_best_checkpoint_loads_by_itself_and_scores_what_was_recorded(fitted, strategy):
    run = fitted(strategy)
    # torch's default: weights_only=True, so no config object may hide in the file.
    torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    module = TransferModule.load_from_checkpoint(run.folder / "checkpoints" / "best.ckpt", map_location="cpu")
    score = evaluation.score(module.network, run.data.val_dataloader())
    assert score.accuracy == pytest.approx(run.result["best"]["val_acc"])
    assert score.loss == pytest.approx(run.result["best"]["val_loss"], rel=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_artifact_scores_what_was_recorded(fitted, strategy):
    run = fitted(strategy)
    loaded = artifact.load(run.folder / "artifact")
    score = evaluation.score(loaded.network, run.data.val_dataloader())
    assert score.accuracy == pytest.approx(deployed_accuracy(run.result))
    assert loaded.classes == ["ants", "bees"]
    weights = (run.folder / "artifact" / "weights.pt").stat().st_size
    assert weights == run.result["bytes"]["int8" if run.result["int8"] else "float"]
    if run.result["int8"]:
        assert weights < 0.27 * run.result["bytes"]["float"]


def test_after_qat_the_same_module_is_tested_and_fitted_again(config, pictures):
    """Lightning's own callback converted the live module, after which neither worked (#7427, #12896)."""
    cfg = config(*settings("qat", pictures, "epochs=1"))
    module, trainer = fit(cfg)
    kinds = [type(part) for part in module.modules()]
    tested = trainer.test(module, trainer.datamodule, ckpt_path="best")[0]
    assert tested["test/acc"] == pytest.approx(trainer.checkpoint_callback.best_model_score.item())
    trainer.fit_loop.max_epochs = 2
    weight = module.network.backbone.conv1.weight.clone()
    trainer.fit(module, trainer.datamodule)
    assert trainer.current_epoch == 2
    assert not torch.equal(weight, module.network.backbone.conv1.weight)
    assert [type(part) for part in module.modules()] == kinds


def test_looking_at_validation_photos_moves_no_observer_and_no_batch_norm(config, pictures):
    """Bit for bit: the sanity check before fitting, then validation, test and prediction."""
    module, data, trainer = prepare(config(*settings("qat", pictures, "epochs=1", "trainer.num_sanity_val_steps=-1")))
    states = [{key: value.clone() for key, value in module.network.state_dict().items()}]

    class AfterTheSanityCheck(pl.Callback):
        def on_sanity_check_end(self, trainer, pl_module):
            states.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})

        def on_validation_end(self, trainer, pl_module):
            states.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})

        def on_train_epoch_end(self, trainer, pl_module):  # validation has run within the epoch
            states.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})

    trainer.callbacks.insert(0, AfterTheSanityCheck())
    trainer.fit(module, data)
    start, sanity_loop, sanity, validated, epoch_end = states
    assert_same(start, sanity_loop)
    assert_same(start, sanity)
    assert_same(validated, epoch_end)
    scale = "backbone.quant.activation_post_process.scale"
    assert not torch.equal(start[scale], validated[scale])  # training did move them
    for evaluate in (trainer.validate, trainer.test, trainer.predict):
        evaluate(module, data.val_dataloader())
        assert_same(epoch_end, module.network.state_dict())


def assert_same(before, after):
    assert [key for key in before if not torch.equal(before[key], after[key])] == []


def test_batch_norm_then_observers_freeze_on_schedule_and_tensorboard_shows_it(config, pictures):
    schedule = ["strategy.freeze_batch_norm_after=1", "strategy.freeze_observers_after=2"]
    cfg = config(*settings("qat", pictures, "epochs=3", *schedule))
    module, data, trainer = prepare(cfg)
    states = []

    class EachEpoch(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            states.append({key: value.clone() for key, value in pl_module.network.state_dict().items()})

    trainer.callbacks.insert(0, EachEpoch())
    trainer.fit(module, data)
    mean, scale = "backbone.conv1.bn.running_mean", "backbone.quant.activation_post_process.scale"
    assert torch.equal(states[0][mean], states[1][mean]) and torch.equal(states[0][mean], states[2][mean])
    assert not torch.equal(states[0][scale], states[1][scale]) and torch.equal(states[1][scale], states[2][scale])
    assert not torch.equal(states[1]["head.1.weight"], states[2]["head.1.weight"])
    events = EventAccumulator(cfg.run_dir).Reload()
    assert [event.value for event in events.Scalars("qat/batch_norm")] == [1, 0, 0]
    assert [event.value for event in events.Scalars("qat/observers")] == [1, 1, 0]


@pytest.mark.parametrize("strategy", ["quantized", "qat", "ptq"])
def test_the_record_says_what_int8_cost(fitted, strategy):
    run = fitted(strategy)
    cost = json.loads((run.folder / "result.json").read_text())["int8_cost"]
    names = ["float", "fake_quant", "int8"] if strategy == "qat" else ["float", "int8"]
    assert list(cost["val_acc"]) == names
    assert [(step["from"], step["to"]) for step in cost["steps"]] == list(pairwise(names))
    assert cost["val_acc"]["int8"] == run.result["int8"]["val_acc"]
    assert cost["val_acc"][names[-2]] == pytest.approx(run.result["best"]["val_acc"]) or strategy == "quantized"
    for step in cost["steps"]:
        flipped = len(step["gained"]) - len(step["lost"])
        assert flipped == round((cost["val_acc"][step["to"]] - cost["val_acc"][step["from"]]) * 12)
        assert -1 <= step["feature_cosine"]["min"] <= step["feature_cosine"]["mean"] <= 1.0001
    ratios = [layer["sqnr_db"] for layer in cost["worst_layers"]]
    assert len(ratios) == 10 and ratios == sorted(ratios) and 3 < ratios[0] < ratios[-1] < 60
    assert (run.folder / "pictures" / "int8_cost.png").is_file()


def test_float_strategies_have_no_int8_cost(fitted):
    run = fitted("finetune")
    assert run.result["int8_cost"] is None and not (run.folder / "pictures" / "int8_cost.png").exists()


@pytest.mark.parametrize(
    ("name", "stop", "options"),
    [("finetune", 1, []), pytest.param("gradual", 2, ["strategy.head_epochs=1"], marks=pytest.mark.slow)],
    ids=["finetune", "gradual, in its second phase"],
)
def test_resuming_equals_never_having_stopped(config, pictures, tmp_path, name, stop, options):
    whole, trainer = fit(config(*settings(name, pictures, f"epochs={stop + 1}", *options)))
    first = config(*settings(name, pictures, f"epochs={stop}", *options))
    first.run_dir = str(tmp_path / "first")
    fit(first)
    last = tmp_path / "first" / "checkpoints" / "last.ckpt"
    rest = config(*settings(name, pictures, f"epochs={stop + 1}", f"ckpt_path={last}", *options))
    rest.run_dir = str(tmp_path / "first")
    resumed, resumed_trainer = fit(rest)
    assert all(parameter.requires_grad for parameter in resumed.network.parameters())
    for (name, expected), (_, value) in zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True):
        assert torch.equal(expected, value), name
    assert resumed_trainer.checkpoint_callback.best_epoch == trainer.checkpoint_callback.best_epoch


def test_losses_and_accuracies_are_means_over_samples(config, pictures):
    """12 validation photos in batches of 5: a mean over batch means would weigh the last two too much."""
    module, trainer = fit(config(*settings("finetune", pictures, "epochs=1", "data.batch_size=5")))
    with torch.no_grad():
        batches = [(module.eval()(pictures), labels) for pictures, labels in trainer.datamodule.val_dataloader()]
    logits, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(
        F.cross_entropy(logits, labels).item(), rel=1e-5
    )
    assert trainer.callback_metrics["val/acc"].item() == pytest.approx(
        (logits.argmax(1) == labels).float().mean().item()
    )


def test_equal_accuracies_go_to_the_lower_loss(tmp_path):
    callback = BestCheckpoint(str(tmp_path))
    saved = []
    callback._save_checkpoint = lambda trainer, path: saved.append(trainer.current_epoch)
    epochs = [(0.5, 1.0), (0.9, 0.4), (0.9, 0.5), (0.9, 0.3), (0.8, 0.1)]
    for epoch, (accuracy, loss) in enumerate(epochs):
        metrics = {"val/acc": torch.tensor(accuracy), "val/loss": torch.tensor(loss)}
        trainer = SimpleNamespace(
            callback_metrics=metrics, current_epoch=epoch, global_step=epoch, is_global_zero=True,
            strategy=SimpleNamespace(reduce_boolean_decision=bool, broadcast=lambda value: value),
        )  # fmt: skip
        callback._save_topk_checkpoint(trainer, metrics | {"epoch": torch.tensor(epoch), "step": torch.tensor(epoch)})
    assert saved == [0, 1, 3]
    assert (callback.best_epoch, callback.best_loss) == (3, pytest.approx(0.3))


def test_resuming_in_another_folder_brings_the_best_checkpoint_along(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    (old / "best.ckpt").write_bytes(b"the best")
    first = BestCheckpoint(str(old))
    first.best_model_path = first.kth_best_model_path = str(old / "best.ckpt")
    first.best_model_score = first.kth_value = torch.tensor(0.9)
    first.best_k_models = {first.best_model_path: first.best_model_score}
    first.best_epoch, first.best_loss = 3, 0.2
    second = BestCheckpoint(str(new))
    second.load_state_dict(first.state_dict())
    assert (new / "best.ckpt").read_bytes() == b"the best"
    assert second.best_model_path == str(new / "best.ckpt")
    assert (second.best_model_score, second.best_epoch, second.best_loss) == (torch.tensor(0.9), 3, 0.2)
    everyone = SimpleNamespace(strategy=SimpleNamespace(reduce_boolean_decision=bool))
    assert not second.check_monitor_top_k(everyone, torch.tensor(0.8))
    assert second.check_monitor_top_k(everyone, torch.tensor(0.95))


def test_int8_training_on_a_gpu_is_refused(config, pictures):
    with pytest.raises(HymtlError, match="int8 networks run on the CPU only"):
        fit(config(*settings("quantized", pictures, "trainer.accelerator=gpu")))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=0", "epochs=0: expected a whole number of at least 1"),
        ("epochs=abc", "epochs=abc: expected a whole number"),
        ("data.batch_size=0", "data.batch_size=0: expected a whole number from 1 to 1000000"),
        ("data.workers=many", "data.workers=many: expected 'auto'"),
        ("optim.lr=-1", "optim.lr=-1: expected a number of at least 0"),
        ("+optim.momentun=0.9", "momentun"),
    ],
)
def test_bad_settings_are_named_before_anything_slow_begins(config, pictures, override, message):
    with pytest.raises(HymtlError, match=message):
        fit(config(*settings("finetune", pictures, override)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("strategy", ["finetune", "frozen", "qat"])
def test_a_gpu_trains_and_the_cpu_deploys(config, pictures, strategy):
    cfg = config(*settings(strategy, pictures, "trainer.accelerator=gpu"))
    result = experiment.run(cfg)
    loaded = artifact.load(Path(cfg.run_dir) / "artifact")
    assert {value.device.type for value in loaded.network.state_dict().values() if torch.is_tensor(value)} == {"cpu"}
    assert "x NVIDIA" in result.device


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_photo_has_its_prediction(fitted, strategy):
    run = fitted(strategy)
    rows = predictions.read(run.folder / "predictions.csv")
    assert [row.photo for row in rows] == [photo.name for photo in run.data.pictures.photos.splits["val"]]
    right = sum(row.label == row.guess for row in rows)
    assert right / len(rows) == pytest.approx(deployed_accuracy(run.result))
    for row in rows:
        assert row.guess == max(row.probabilities, key=row.probabilities.get)
        assert sum(row.probabilities.values()) == pytest.approx(1, abs=1e-4)
