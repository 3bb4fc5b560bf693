"""Loggers, debugging presets and progress: what is told, to whom, and that it decides nothing."""

import csv
import json
import sqlite3
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from hymtl import experiment
from hymtl.errors import HymtlError
from hymtl.settings.overrides import Overrides

ROOT = Path(__file__).parents[1]
SMALL = [
    "strategy=scratch", "backbone=garment_cnn", "data=folder", "data.resize=28", "epochs=2", "data.workers=0",
    "trainer.accelerator=cpu", "~callbacks.pictures",
]  # fmt: skip


@pytest.fixture
def run(config, pictures, tmp_path, monkeypatch):
    """A small run with some overrides: its result, and its folder."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def ran(*words, folder="run"):
        with Overrides(ROOT / "conf") as overrides:
            words = [overrides.for_hydra(word) for word in words]
        cfg = config(*SMALL, f"data.root={pictures}", *words)
        cfg.run_dir = str(tmp_path / folder)
        return experiment.run(cfg), tmp_path / folder

    return ran


def repeatable(folder):
    result = json.loads((folder / "result.json").read_text())
    del result["seconds"]
    return result


def test_the_result_is_the_same_whoever_is_told(run):
    _, usual = run(folder="usual")
    for words in (["logger=csv"], ["logger=null"], ["~logger"]):
        _, other = run(*words, folder="-".join(words))
        assert repeatable(other) == repeatable(usual), words
        assert not list(other.glob("events.*"))
    with (other.parent / "logger=csv" / "metrics.csv").open() as file:
        assert {"val/acc", "train/loss", "lr"} <= set(next(csv.reader(file)))


@pytest.mark.parametrize("logger", ["wandb", "mlflow"])
def test_wandb_and_mlflow_are_told_offline(run, logger, tmp_path):
    pytest.importorskip(logger)
    words = [f"logger.tracking_uri=sqlite:///{tmp_path}/mlflow.db"] if logger == "mlflow" else []
    _, folder = run(f"logger={logger}", *words, folder=logger)
    _, usual = run(folder="usual")
    assert repeatable(folder) == repeatable(usual)
    if logger == "wandb":
        assert list(folder.glob("wandb/offline-run-*"))
    else:
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            assert ("val/acc",) in set(database.execute("select key from metrics"))


def test_all_loggers_at_once_are_told_and_change_nothing(run, tmp_path):
    for extra in ("wandb", "mlflow"):
        pytest.importorskip(extra)
    _, folder = run("logger=many", f"logger.mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db", folder="many")
    _, usual = run(folder="usual")
    assert repeatable(folder) == repeatable(usual)
    for pattern in ("events.*", "metrics.csv", "wandb/offline-run-*", "../mlflow.db"):
        assert list(folder.glob(pattern)), pattern


def test_where_no_validation_is_due_none_is_recorded_or_drawn(run, caplog):
    caplog.set_level("INFO")
    made, folder = run("+trainer.check_val_every_n_epoch=2", "epochs=5", folder="seldom")
    assert [value is not None for value in made.history["val/loss"]] == [False, True, False, True, False]
    drawn = EventAccumulator(str(folder / "val")).Reload().Scalars("loss")
    told = EventAccumulator(str(folder)).Reload().Scalars("val/loss")
    assert [(one.step, one.value) for one in drawn] == [(one.step, one.value) for one in told]
    lines = [line for line in caplog.messages if line.startswith("epoch ")]
    assert ["val loss" in line for line in lines] == [False, True, False, True, False]


def test_a_run_in_the_folder_of_another_draws_its_own_curves_alone(run, pictures):
    first, folder = run("logger=tensorboard")
    (folder / "train" / "ants").mkdir()
    (folder / "train" / "ants" / "mine.jpg").touch()
    second, _ = run("logger=tensorboard", "seed=1")
    for place in (folder, folder / "val"):
        curves = EventAccumulator(str(place)).Reload()
        name = "val/loss" if place == folder else "loss"
        assert [one.value for one in curves.Scalars(name)] == pytest.approx(second.history["val/loss"])
    assert (folder / "train" / "ants" / "mine.jpg").exists() and first.history != second.history


def test_several_loggers_at_once(run):
    _, folder = run("logger=many", "~logger.wandb", "~logger.mlflow")
    assert (folder / "metrics.csv").is_file()
    assert EventAccumulator(str(folder)).Reload().Scalars("val/acc")


def test_fast_dev_run_ends_in_words(run, caplog):
    caplog.set_level("INFO")
    made, folder = run("+trainer.fast_dev_run=true")
    assert made is None and not (folder / "result.json").exists()
    assert "fast_dev_run: training and validation work" in caplog.text


def test_overfitting_learns_ten_pictures_by_heart(run):
    made, _ = run("debug=overfit", "epochs=100", "optim.lr=0.05", "scheduler=null")
    assert max(made.history["train/acc"]) == 1.0


def test_one_batch_goes_from_data_to_artifact(run):
    made, folder = run("debug=one_batch")
    assert made.epochs == 2 and (folder / "artifact" / "artifact.json").is_file()  # epochs=2 wins


def test_lightnings_callbacks_come_by_a_line_of_override(run):
    _, folder = run("callbacks=[default,lr_monitor]")
    assert any(tag.startswith("lr-") for tag in EventAccumulator(str(folder)).Reload().Tags()["scalars"])


def test_a_callback_that_cannot_be_made_is_named(run):
    with pytest.raises(HymtlError, match="callbacks: pytorch_lightning.callbacks.Nothing"):
        run("+callbacks.mine._target_=pytorch_lightning.callbacks.Nothing")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+callbacks.mine._target_=torch.nn.Identity"], "Identity is no callback of Lightning's"),
        (["+callbacks.mine._target_=pytorch_lightning.callbacks.EarlyStopping", "+callbacks.mine.monitor=val_loss"],
         "`val_loss` which is not available.*`val/loss`"),
        (["+trainer.val_check_interval=1000"], "must be less than or equal to the number of the training batches"),
        (["optim=adamw", "+optim.fused=true", "+optim.foreach=true"], "optim or scheduler: .*cannot be"),
        (["optim._target_=torch.optim.SparseAdam", "~optim.momentum", "~optim.weight_decay"], "optim.*not support"),
        (["strategy=gradual", "optim._target_=torch.optim.LBFGS", "~optim.momentum", "~optim.weight_decay"],
         "optim: LBFGS doesn't support per-parameter"),
    ],
)  # fmt: skip
def test_what_only_lightning_or_torch_refuse_is_said_in_words(run, words, said):
    with pytest.raises(HymtlError, match=said):
        run(*words)


def test_a_limit_of_time_ends_training(run):
    made, _ = run("+trainer.max_time=00:00:00:01", "epochs=100000", "scheduler=null")
    assert 1 <= len(made.history["epoch"]) < 1000


def test_the_log_has_class_counts_and_a_line_an_epoch(run, caplog):
    caplog.set_level("INFO")
    run()
    assert "classes   ants (12), bees (12)" in caplog.text
    assert "epoch 1 (the last is 1), loss" in caplog.text and "s left" in caplog.text
